//! Whoever changes a recording is found out, and where; whoever makes a file to harm the reader gets an error.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_support;

use std::{fs, path::Path};

use nstrace::recording::{
    Keep, Options,
    verify::{Depth, Fault, Whole, verify},
};
use proptest::{prelude::*, test_runner::TestRunner};
use recording_support::{host, record, replay};
use rusqlite::{Connection, params};

/// A small recording with everything in it: keyframes, a cut, a seal.
fn original(folder: &Path) -> (Vec<u8>, Whole) {
    let path = folder.join("original.nst");
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let secret = folder.join("key");
    fs::write(&secret, pair.sk.to_box(None).unwrap().to_string()).unwrap();
    let sign = Some(nstrace::recording::seal::SecretKey::read(&secret).unwrap());
    let keep = Keep::new(None, Some(80_000));
    record(&path, &host(3_000), Options { keep, sign, keyframe: Some(500) });
    let whole = verify(&path, None, Depth::All).unwrap();
    assert!(whole.cut.is_some() && whole.seals.len() == 1 && whole.end.is_some() && whole.entries > 10, "{whole:?}");
    (fs::read(&path).unwrap(), whole)
}

/// Something done to the rows. The numbers choose among what there is.
#[derive(Clone, Debug)]
enum Change {
    Flip {
        row: prop::sample::Index,
        column: usize,
        bit: prop::sample::Index,
    },
    Delete {
        row: prop::sample::Index,
    },
    /// Rows from here to the end but one go.
    DeleteMany {
        row: prop::sample::Index,
    },
    Copy {
        row: prop::sample::Index,
        to: prop::sample::Index,
    },
    Insert {
        row: prop::sample::Index,
    },
    Swap {
        one: prop::sample::Index,
        other: prop::sample::Index,
    },
    SwapData {
        one: prop::sample::Index,
        other: prop::sample::Index,
    },
    Type {
        row: prop::sample::Index,
        column: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let row = any::<prop::sample::Index>;
    prop_oneof![
        6 => (row(), 0..11_usize, row()).prop_map(|(row, column, bit)| Change::Flip { row, column, bit }),
        1 => row().prop_map(|row| Change::Delete { row }),
        1 => row().prop_map(|row| Change::DeleteMany { row }),
        1 => (row(), row()).prop_map(|(row, to)| Change::Copy { row, to }),
        1 => row().prop_map(|row| Change::Insert { row }),
        1 => (row(), row()).prop_map(|(one, other)| Change::Swap { one, other }),
        1 => (row(), row()).prop_map(|(one, other)| Change::SwapData { one, other }),
        1 => (row(), 1..11_usize).prop_map(|(row, column)| Change::Type { row, column }),
    ]
}

const COLUMNS: [&str; 11] = [
    "id",
    "kind",
    "boot_first",
    "boot_last",
    "utc_first",
    "utc_last",
    "first_fact",
    "facts",
    "raw_bytes",
    "hash",
    "data",
];

/// The id of the first row that is not as it was; None: nothing was done.
fn perform(database: &Connection, change: &Change) -> Option<i64> {
    let ids: Vec<i64> = database
        .prepare("SELECT id FROM entry ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let pick = |index: &prop::sample::Index| *index.get(&ids);
    let last = *ids.last().unwrap();
    match change {
        Change::Flip { row, column, bit } => {
            let id = pick(row);
            let name = COLUMNS[*column];
            let value: rusqlite::types::Value =
                database.query_row(&format!("SELECT {name} FROM entry WHERE id = ?"), [id], |row| row.get(0)).unwrap();
            let flipped = match value {
                rusqlite::types::Value::Integer(n) => rusqlite::types::Value::Integer(n ^ 1 << bit.index(62)),
                rusqlite::types::Value::Text(text) => {
                    let mut bytes = text.into_bytes();
                    let at = bit.index(bytes.len());
                    bytes[at] ^= 1;
                    rusqlite::types::Value::Text(String::from_utf8(bytes).unwrap())
                }
                rusqlite::types::Value::Blob(mut bytes) => {
                    let at = bit.index(bytes.len() * 8);
                    bytes[at / 8] ^= 1 << (at % 8);
                    rusqlite::types::Value::Blob(bytes)
                }
                other => panic!("{other:?}"),
            };
            // A number that is taken already.
            let sql = format!("UPDATE OR IGNORE entry SET {name} = ? WHERE id = ?");
            (database.execute(&sql, params![flipped, id]).unwrap() == 1).then_some(id)
        }
        Change::Delete { row } => {
            let id = pick(row);
            database.execute("DELETE FROM entry WHERE id = ?", [id]).unwrap();
            Some(id)
        }
        Change::DeleteMany { row } => {
            let id = pick(row);
            (database.execute("DELETE FROM entry WHERE id >= ? AND id < ?", [id, last]).unwrap() > 0).then_some(id)
        }
        Change::Copy { row, to } => {
            let (id, to) = (pick(row), pick(to));
            let sql = "INSERT OR REPLACE INTO entry SELECT ?2, kind, boot_first, boot_last, utc_first, utc_last, \
                       first_fact, facts, raw_bytes, hash, data FROM entry WHERE id = ?1";
            database.execute(sql, [id, to]).unwrap();
            (id != to).then_some(to)
        }
        Change::Insert { row } => {
            let sql = "INSERT INTO entry SELECT ?2, kind, boot_first, boot_last, utc_first, utc_last, \
                       first_fact, facts, raw_bytes, hash, data FROM entry WHERE id = ?1";
            database.execute(sql, [pick(row), last + 1]).unwrap();
            Some(last + 1)
        }
        Change::Swap { one, other } => {
            let (one, other) = (pick(one), pick(other));
            for (from, to) in [(one, -1), (other, one), (-1, other)] {
                database.execute("UPDATE OR IGNORE entry SET id = ?2 WHERE id = ?1", [from, to]).unwrap();
            }
            (one != other).then_some(one.min(other))
        }
        Change::SwapData { one, other } => {
            let (one, other) = (pick(one), pick(other));
            let sql = "UPDATE entry SET data = CASE id WHEN ?1 THEN (SELECT data FROM entry WHERE id = ?2) \
                       ELSE (SELECT data FROM entry WHERE id = ?1) END WHERE id IN (?1, ?2)";
            database.execute(sql, [one, other]).unwrap();
            (one != other).then_some(one.min(other))
        }
        Change::Type { row, column } => {
            let id = pick(row);
            let name = COLUMNS[*column];
            let sql = format!(
                "UPDATE entry SET {name} = CASE typeof({name}) WHEN 'text' THEN x'00' ELSE 'zzz' END WHERE id = ?"
            );
            database.execute(&sql, [id]).unwrap();
            Some(id)
        }
    }
}

/// The entry that a fault is about.
fn place(fault: &Fault) -> Option<i64> {
    match fault {
        Fault::Entry { id, .. } => Some(*id),
        Fault::Unreadable { last, .. } | Fault::Torn { last, .. } => Some(last + 1),
        Fault::File(_) | Fault::Unsealed { .. } => None,
    }
}

#[test]
fn every_change_of_rows_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, whole) = original(folder.path());
    let first = whole.cut.as_ref().unwrap().before;
    let path = folder.path().join("changed.nst");
    let mut runner = TestRunner::new(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() });
    let found_ref = std::cell::Cell::new(0);
    runner
        .run(&change(), |change| {
            fs::write(&path, &bytes).unwrap();
            let database = Connection::open(&path).unwrap();
            database.pragma_update(None, "journal_mode", "MEMORY").unwrap();
            database.pragma_update(None, "synchronous", "OFF").unwrap();
            let changed = perform(&database, &change);
            drop(database);
            let verdict = verify(&path, None, Depth::All);
            match changed {
                None => prop_assert_eq!(verdict.unwrap(), whole.clone()),
                Some(id) => {
                    let fault = verdict.expect_err("a change went unseen");
                    found_ref.set(found_ref.get() + 1);
                    if let Some(place) = place(&fault) {
                        // A row that was moved leaves a gap where it was. Of the cut, which explains a gap, the gap tells.
                        let near = place == id
                            || place == 2
                            || place == first
                            || (place < id && matches!(change, Change::Flip { column: 0, .. }));
                        prop_assert!(near, "changed at {}, found at {}: {}", id, place, fault);
                    } else {
                        prop_assert!(id == 1 || matches!(change, Change::Flip { column: 0, .. }), "{}: {}", id, fault);
                    }
                    // Whoever reads it all the same is not harmed.
                    if found_ref.get() % 8 == 1 {
                        let _ = replay(&path, None);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    let found = found_ref.get();
    assert!(found > 700 && first > 2, "{found}");
}

/// Bits of the file: either the damage is told, or the rows are exactly what they were (the bit was in no row).
#[test]
fn every_damage_of_the_file_is_told_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, whole) = original(folder.path());
    let path = folder.path().join("damaged.nst");
    let told = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(ProptestConfig { cases: 1_000, failure_persistence: None, ..Default::default() });
    let damage = prop_oneof![
        6 => prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        // The pages' headers, where the structure is.
        3 => prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
            .prop_map(|all| all.into_iter().collect()),
    ];
    runner
        .run(&(damage, any::<bool>()), |(damage, headers)| {
            let mut changed = bytes.clone();
            for (at, byte) in damage {
                let at = if headers {
                    at.index(changed.len() / 4096 * 16) / 16 * 4096 + at.index(16)
                } else {
                    at.index(changed.len())
                };
                changed[at] = byte;
            }
            fs::write(&path, &changed).unwrap();
            match verify(&path, None, Depth::All) {
                Ok(seen) => prop_assert_eq!(seen, whole.clone()),
                Err(_) => {
                    told.set(told.get() + 1);
                    if told.get().is_multiple_of(8) {
                        let _ = replay(&path, None);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(told.get() > 250, "{}", told.get());
}

#[test]
fn a_torn_copy_is_told_from_a_changed_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.nst");
    let lines = record(&path, &host(12_000), Options::default());
    let bytes = fs::read(&path).unwrap();
    let mut most = 0;
    for part in 1..20 {
        fs::write(&path, &bytes[..bytes.len() * part / 20]).unwrap();
        match verify(&path, None, Depth::All).expect_err("a part is not whole") {
            Fault::Torn { length, expected, facts, .. } => {
                assert_eq!((length, expected), ((bytes.len() * part / 20) as u64, bytes.len() as u64));
                assert!(facts >= most, "{facts} after {most}");
                most = facts;
            }
            other => panic!("{part}/20: {other}"),
        }
        let (some, end) = replay(&path, None);
        assert!(end.is_err());
        assert_eq!(some, lines[..some.len()]);
    }
    assert!(most > 9_000, "{most}");
}

/// Data that inflates without end, facts without end, a world that cannot be.
#[test]
fn hostile_entries_are_refused() {
    use nstrace::recording::{
        chain,
        entry::{Entry, Kind, Span},
    };
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original.nst");
    record(&original, &host(100), Options::default());
    let (database, path) = (|path: &Path| Connection::open(path).unwrap(), folder.path().join("hostile.nst"));
    let facts = |raw: &[u8], raw_bytes: i64| (Kind::Facts, zstd::bulk::compress(raw, 1).unwrap(), raw_bytes);
    let zeros = vec![0; 4 << 20];
    let many: Vec<u8> = [3, 0, 0, 0, 0].repeat(2_000);
    let deep = "[".repeat(100_000);
    let keyframe = |json: &str| (Kind::Keyframe, zstd::bulk::compress(json.as_bytes(), 1).unwrap(), json.len() as i64);
    let cases = [
        facts(&zeros, zeros.len() as i64),
        facts(&zeros, 100),
        facts(&zeros, i64::MAX),
        facts(&zeros, -1),
        facts(b"x", 5_000_000),
        facts(&many, many.len() as i64),
        facts(&[1, 255, 255, 255, 255], 5),
        (Kind::Facts, b"no zstd".to_vec(), 100),
        keyframe(&deep),
        keyframe("{}"),
        (Kind::End, zstd::bulk::compress(deep.as_bytes(), 1).unwrap(), deep.len() as i64),
    ];
    for (i, (kind, data, raw_bytes)) in cases.into_iter().enumerate() {
        fs::copy(&original, &path).unwrap();
        let database = database(&path);
        database.execute_batch("DELETE FROM entry WHERE id > 2; DELETE FROM head").unwrap();
        let (next, hash): (i64, Vec<u8>) = database
            .query_row("SELECT first_fact + facts, hash FROM entry WHERE id = 2", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        let span = Span { boot: (0, 0), utc: (i64::MIN, i64::MIN) };
        let entry = Entry { id: 3, kind, span, first_fact: next, facts: 1, raw_bytes, data };
        // A good chain: only the content is bad.
        let hash = chain::hash(&hash.try_into().unwrap(), &entry);
        let row = params![3, kind.name(), 0, 0, i64::MIN, i64::MIN, next, 1, raw_bytes, hash.as_slice(), entry.data];
        database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).unwrap();
        database.execute("INSERT INTO head VALUES (1, 3, ?)", [hash.as_slice()]).unwrap();
        drop(database);
        let (_, end) = replay(&path, Some(i64::MAX));
        if kind == Kind::Facts || kind == Kind::Keyframe {
            assert!(end.is_err(), "case {i}");
        }
        if kind != Kind::Keyframe {
            assert!(matches!(verify(&path, None, Depth::All), Err(Fault::Entry { id: 3, .. })), "case {i}");
        }
    }
}
