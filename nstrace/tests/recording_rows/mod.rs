//! A recording as plain bytes, and back: what the fuzz target changes. The chain is made good, so that nothing stops a reader at
//! the door and only the content of the rows is hostile.
//!
//! Each row: u8 kind (its place in [`Kind::ALL`]), u32 length (little endian), content as it is before compression.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each user uses its part")]

use std::path::Path;

use nstrace::recording::{
    ReadError, Recording, block,
    chain::{self, Hash},
    entry::{Entry, Kind, Span},
    schema,
};
use rusqlite::{Connection, params};

/// The rows of a recording.
pub fn rows(path: &Path) -> Vec<u8> {
    let recording = Recording::open(path).unwrap();
    let mut bytes = Vec::new();
    recording
        .each(|entry, _| {
            let raw = recording.raw(&entry)?;
            bytes.push(u8::try_from(Kind::ALL.iter().position(|kind| *kind == entry.kind).unwrap()).unwrap());
            bytes.extend_from_slice(&u32::try_from(raw.len()).unwrap().to_le_bytes());
            bytes.extend_from_slice(&raw);
            Ok::<(), ReadError>(())
        })
        .unwrap();
    bytes
}

/// The time of a row, in either clock: rows are a second apart.
pub fn time(row: i64) -> i64 {
    row.saturating_mul(1_000_000_000)
}

/// A recording of these rows; a last one that is cut off ends where the bytes end.
pub fn write(path: &Path, mut bytes: &[u8]) {
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", "OFF").unwrap();
    database.pragma_update(None, "synchronous", "OFF").unwrap();
    database.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    database.pragma_update(None, "user_version", schema::FORMAT).unwrap();
    database.execute_batch(&[schema::ENTRY, schema::HEAD, "BEGIN"].join(";\n")).unwrap();
    let (mut id, mut hash, mut first_fact): (i64, Hash, i64) = (0, chain::START, 0);
    while let Some((&kind, rest)) = bytes.split_first() {
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { break };
        let (raw, rest) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        bytes = rest;
        id += 1;
        let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
        let facts = if kind == Kind::Facts { block::facts(raw).filter(Result::is_ok).count() } else { 0 };
        let span = Span { boot: (time(id), time(id)), utc: (time(id), time(id)) };
        let data = zstd::bulk::compress(raw, 1).unwrap();
        let (facts, raw_bytes) = (i64::try_from(facts).unwrap(), i64::try_from(raw.len()).unwrap());
        let entry = Entry { id, kind, span, first_fact, facts, raw_bytes, data };
        hash = chain::hash(&hash, &entry);
        let time = time(id);
        let row =
            params![id, kind.name(), time, time, time, time, first_fact, facts, raw_bytes, hash.as_slice(), entry.data];
        database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).unwrap();
        first_fact += facts;
    }
    database.execute("INSERT INTO head VALUES (1, ?, ?)", params![id, hash.as_slice()]).unwrap();
    database.execute_batch("COMMIT").unwrap();
}
