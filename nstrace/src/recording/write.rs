//! Writing: facts into blocks, blocks into rows, each commit one block.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    block,
    chain::{self, Hash},
    document::{self, End, Seal, Session},
    entry::{Entry, Kind, Span},
    keep::Keep,
    schema,
    seal::SecretKey,
};
use crate::{
    event::{Event, Stamp, Stamped},
    source::fact::Fact,
};

/// A fact is in the file after this time at the latest, and on the disk.
const DELAY: Duration = Duration::from_secs(1);
/// [`Writer::flush`] waits for the disk this often at most: whoever causes findings shall not hold up the recorder.
const FLUSHING: Duration = Duration::from_millis(50);
/// Facts between two keyframes: a reader that starts in the middle applies so many at most.
const KEYFRAME_FACTS: u64 = 200_000;
/// Time between two seals of what has come since.
const SEALING: Duration = Duration::from_secs(60);
/// Pages that may wait in the write-ahead log.
const WAL_PAGES: u32 = 1000;

/// How to record.
#[derive(Debug, Default)]
pub struct Options {
    pub keep: Keep,
    /// Seals the recording with this key now and then, and at its end.
    pub sign: Option<SecretKey>,
    /// Facts between two keyframes; None: as many as a reader applies in less than a second.
    pub keyframe: Option<u64>,
}

/// Why nothing can be recorded (any more). What was recorded before stays readable.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot create the recording {path}: {error}{}", remedy(error))]
    Create { path: String, error: io::Error },
    #[error(
        "cannot record into {path}: no space left: free some or record elsewhere; what was recorded before is whole"
    )]
    Full { path: String },
    #[error("cannot record into {path}: {error}; what was recorded before is whole")]
    Database { path: String, error: rusqlite::Error },
    #[error("cannot record into {path}: {error}")]
    Data { path: String, error: io::Error },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AlreadyExists => ": a recording is never overwritten; choose another name or remove it",
        io::ErrorKind::NotFound => ": make its folder first",
        _ => "",
    }
}

/// A recording that is being made. Dropping it without [`Writer::end`] writes what it has, and the recording says that it was
/// cut off.
#[derive(Debug)]
pub struct Writer {
    pub(super) database: Connection,
    pub(super) path: PathBuf,
    pub(super) keep: Keep,
    sign: Option<SecretKey>,
    keyframe: u64,
    session: Session,
    /// Entries up to this one are sealed.
    sealed: (i64, Instant),
    /// Hash of the last entry.
    pub(super) last: Hash,
    /// Id of the next entry.
    pub(super) next: i64,
    block: Block,
    /// CLOCK_BOOTTIME and UTC of one moment.
    anchor: (u64, i64),
    now: Span,
    facts: u64,
    lost: u64,
    since_keyframe: u64,
    synced: Instant,
    syncing: bool,
    /// Something waits for the disk that shall not wait for its turn.
    urgent: bool,
    failed: bool,
}

/// The facts that wait for the next commit.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    facts: usize,
    span: Option<Span>,
    since: Option<Instant>,
}

impl Writer {
    /// Makes the file, which must not exist, for its owner's eyes only.
    ///
    /// # Errors
    /// As [`WriteError`] says.
    pub fn create(path: &Path, session: &Session, at: Span, options: Options) -> Result<Self, WriteError> {
        let shown = || path.display().to_string();
        let create = |path: &Path| fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        for leftover in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(leftover);
            let leftover = PathBuf::from(name);
            if leftover.exists() {
                // SQLite would take it for a part of the new file.
                let error = io::ErrorKind::AlreadyExists.into();
                return Err(WriteError::Create { path: leftover.display().to_string(), error });
            }
        }
        create(path).map_err(|error| WriteError::Create { path: shown(), error })?;
        let failed = |error| failure(path, error);
        let database = Connection::open(path).map_err(failed)?;
        database.pragma_update(None, "application_id", schema::APPLICATION_ID).map_err(failed)?;
        database.pragma_update(None, "user_version", schema::FORMAT).map_err(failed)?;
        database.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed)?;
        database.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(failed)?;
        database.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        database.execute_batch(&[schema::ENTRY, schema::HEAD].join(";\n")).map_err(failed)?;
        let mut writer = Self {
            database,
            path: path.to_owned(),
            keep: options.keep,
            sign: options.sign,
            keyframe: options.keyframe.unwrap_or(KEYFRAME_FACTS),
            session: session.clone(),
            sealed: (0, Instant::now()),
            last: chain::START,
            next: 1,
            block: Block::default(),
            anchor: (u64::try_from(at.boot.0).unwrap_or(0), at.utc.0),
            now: at,
            facts: 0,
            lost: 0,
            since_keyframe: 0,
            synced: Instant::now(),
            syncing: true,
            urgent: false,
            failed: false,
        };
        writer.document(Kind::Session, session)?;
        Ok(writer)
    }

    /// Facts so far.
    pub fn facts(&self) -> u64 {
        self.facts
    }

    /// Keeps one fact; `event` is what it means.
    ///
    /// # Errors
    /// When a block is full and cannot be written.
    pub fn fact(&mut self, fact: Fact<'_>, event: &Stamped) -> Result<(), WriteError> {
        match event.event {
            Event::Clock { utc_ns } => self.anchor = (event.stamp.boot_ns, utc_ns),
            Event::Lost { count, .. } => self.lost = self.lost.saturating_add(count),
            _ => {}
        }
        self.now = self.moment(event.stamp);
        self.block.span = Some(self.block.span.map_or(self.now, |span| span.with(self.now)));
        self.block.since.get_or_insert_with(Instant::now);
        self.block.facts += 1;
        block::push(&mut self.block.bytes, fact);
        self.facts += 1;
        self.since_keyframe += 1;
        if self.block.facts >= block::MAX_FACTS || self.block.bytes.len() >= block::MAX_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    /// Writes what has waited long enough; to be called all the time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tick(&mut self) -> Result<(), WriteError> {
        if self.urgent {
            self.flush()?;
        }
        if self.block.since.is_some_and(|since| since.elapsed() >= DELAY / 2) {
            self.commit()?;
        }
        if self.sealed.1.elapsed() >= SEALING {
            self.seal()?;
        }
        Ok(())
    }

    /// Writes everything that waits.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(&mut self) -> Result<(), WriteError> {
        let Some(span) = self.block.span.take() else { return Ok(()) };
        let (facts, raw) = (self.block.facts, std::mem::take(&mut self.block.bytes));
        self.block = Block::default();
        let data = zstd::bulk::compress(&raw, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(|error| self.data(error))?;
        let entry = Entry {
            id: self.next,
            kind: Kind::Facts,
            span,
            first_fact: number(self.facts) - number(facts as u64),
            facts: number(facts as u64),
            raw_bytes: number(raw.len() as u64),
            data,
        };
        self.block.bytes = raw;
        self.block.bytes.clear();
        self.append(&entry)
    }

    /// Writes everything that waits, and waits until the disk has it: at once, or with the next [`Writer::tick`] where the
    /// last time was just now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.urgent = true;
        if self.synced.elapsed() < FLUSHING {
            return Ok(());
        }
        if self.block.span.is_some() {
            return self.commit();
        }
        // It was committed a moment ago, and the log is not on the disk yet: what is written back is.
        let written = self.database.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        written.map_err(|error| failure(&self.path, error))?;
        (self.urgent, self.synced) = (false, Instant::now());
        Ok(())
    }

    /// Whether it is time for a [`Writer::keyframe`].
    pub fn wants_keyframe(&self) -> bool {
        self.since_keyframe >= self.keyframe || (self.since_keyframe > 0 && self.keep.wants_keyframe(self.now_boot()))
    }

    /// Keeps the state after the facts so far, and drops what is too old or too much before it. True: something was
    /// dropped, and with it what was learned of containers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keyframe(&mut self, state: &impl Serialize) -> Result<bool, WriteError> {
        self.commit()?;
        self.since_keyframe = 0;
        self.document(Kind::Keyframe, state)?;
        self.drop_old()
    }

    /// Adds an entry that is no fact.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn document(&mut self, kind: Kind, document: &impl Serialize) -> Result<(), WriteError> {
        self.commit()?;
        let (data, raw_bytes) = document::pack(document).map_err(|error| self.data(error))?;
        let entry = self.empty_entry(kind, raw_bytes, data);
        self.append(&entry)
    }

    /// The next entry, without facts in it.
    pub(super) fn empty_entry(&self, kind: Kind, raw_bytes: i64, data: Vec<u8>) -> Entry {
        Entry { id: self.next, kind, span: self.now, first_fact: number(self.facts), facts: 0, raw_bytes, data }
    }

    /// CLOCK_BOOTTIME of the last fact.
    pub(super) fn now_boot(&self) -> i64 {
        self.now.boot.1
    }

    /// The hash of the last entry and its id.
    pub fn head(&self) -> (i64, Hash) {
        (self.next - 1, self.last)
    }

    /// Writes everything, and that this was all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self) -> Result<(), WriteError> {
        self.commit()?;
        self.document(Kind::End, &End { facts: self.facts, lost: self.lost })?;
        self.seal().map(|_| ())
    }

    /// Seals everything so far, where there is a key to do so and anything new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn seal(&mut self) -> Result<Option<Seal>, WriteError> {
        self.commit()?;
        let (id, hash) = self.head();
        let Some(key) = self.sign.as_ref().filter(|_| id > self.sealed.0) else { return Ok(None) };
        let seal = key.seal(id, &hash, self.facts, self.now.utc.1, &self.session).map_err(|error| self.data(error))?;
        self.document(Kind::Seal, &seal)?;
        self.sealed = (self.head().0, Instant::now());
        Ok(Some(seal))
    }

    fn moment(&self, stamp: Stamp) -> Span {
        let (boot_ns, utc_ns) = self.anchor;
        let utc = i128::from(utc_ns) + i128::from(stamp.boot_ns) - i128::from(boot_ns);
        Span::moment(stamp.boot_ns, i64::try_from(utc).unwrap_or(i64::MAX))
    }

    /// One row, one commit. Each second at least one of them waits until the disk has it, and with it all before.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), WriteError> {
        let due = self.urgent || self.synced.elapsed() >= DELAY / 2 || entry.kind != Kind::Facts;
        if due != self.syncing {
            let mode = if due { "FULL" } else { "NORMAL" };
            self.database.pragma_update(None, "synchronous", mode).map_err(|error| failure(&self.path, error))?;
            self.syncing = due;
        }
        let hash = chain::hash(&self.last, entry);
        let write = || {
            let transaction = self.database.unchecked_transaction()?;
            insert(&transaction, entry, &hash)?;
            transaction.commit()
        };
        if let Err(error) = write() {
            self.failed = true;
            return Err(failure(&self.path, error));
        }
        if due {
            (self.urgent, self.synced) = (false, Instant::now());
        }
        (self.last, self.next) = (hash, self.next + 1);
        self.keep.wrote(entry);
        Ok(())
    }

    fn data(&self, error: io::Error) -> WriteError {
        WriteError::Data { path: self.path.display().to_string(), error }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.failed {
            // Who drops it without an end has an error to tell already.
            let _ = self.commit();
        }
    }
}

/// The entry, and that it is the last one.
pub(super) fn insert(database: &Connection, entry: &Entry, hash: &Hash) -> rusqlite::Result<()> {
    let Entry { id, kind, span, first_fact, facts, raw_bytes, data } = entry;
    let (boot, utc) = (span.boot, span.utc);
    database.prepare_cached("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        id,
        kind.name(),
        boot.0,
        boot.1,
        utc.0,
        utc.1,
        first_fact,
        facts,
        raw_bytes,
        hash.as_slice(),
        data.as_slice()
    ])?;
    database.prepare_cached("INSERT OR REPLACE INTO head VALUES (1, ?, ?)")?.execute(params![id, hash.as_slice()])?;
    Ok(())
}

pub(super) fn failure(path: &Path, error: rusqlite::Error) -> WriteError {
    let path = path.display().to_string();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => WriteError::Full { path },
        _ => WriteError::Database { path, error },
    }
}

fn number(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
