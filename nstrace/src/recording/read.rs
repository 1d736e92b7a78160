//! Reading: somebody else's file, possibly made to harm.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, limits::Limit, types::ValueRef};

use super::{
    chain::Hash,
    document::{Configuration, Cut, Session},
    entry::{DataError, Entry, Kind, MAX_DATA, Span},
    schema,
};

/// Why a file is no recording, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot open the recording {path}: {error}")]
    Open { path: String, error: std::io::Error },
    #[error("{path} is no recording of nstrace")]
    Foreign { path: String },
    #[error("{path} has format {is}; this nstrace reads format {}: use the nstrace that made it", schema::FORMAT)]
    Format { path: String, is: i32 },
    #[error("{path} is damaged: its table is not that of a recording: run 'nstrace verify' on it")]
    Schema { path: String },
    #[error("{path} is damaged at entry {id}: {what}: run 'nstrace verify' on it")]
    Entry { path: String, id: i64, what: String },
    #[error("{path} cannot be read: {error}: if it is damaged, 'nstrace verify' says where")]
    Database { path: String, error: rusqlite::Error },
    #[error(
        "{path} cannot be read: its write-ahead log needs a folder that may be written: copy {path} and {path}-wal \
         together to one"
    )]
    Log { path: String },
}

/// An open recording. It may grow while it is read.
#[derive(Debug)]
pub struct Recording {
    database: Connection,
    path: PathBuf,
    session: Session,
}

impl Recording {
    /// Opens a file and reads its first entry.
    ///
    /// # Errors
    /// As [`ReadError`] says.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let database = open(path)?;
        let mut recording = Self {
            database,
            path: path.to_owned(),
            session: Session {
                tool: String::new(),
                abi: 0,
                kernel: String::new(),
                machine: String::new(),
                host: String::new(),
                boot_id: String::new(),
                layout: String::new(),
                command: Vec::new(),
                report: serde_json::Value::Null,
                configuration: Configuration::default(),
                exceptions: Vec::new(),
                rules: Vec::new(),
            },
        };
        recording.session = recording.read_session()?;
        Ok(recording)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who recorded what, where, how.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The open database, for reading.
    pub fn database(&self) -> &Connection {
        &self.database
    }

    fn read_session(&self) -> Result<Session, ReadError> {
        let damaged = |what: String| self.damaged(1, what);
        let (entry, _) = self.entry(1)?.ok_or_else(|| damaged("it is gone".to_owned()))?;
        if entry.kind != Kind::Session {
            return Err(damaged(format!("a {} entry in the place of the session", entry.kind)));
        }
        let raw = entry.raw().map_err(|error| damaged(error.to_string()))?;
        serde_json::from_slice(&raw).map_err(|error| damaged(error.to_string()))
    }

    /// The entry with this id and its hash.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn entry(&self, id: i64) -> Result<Option<(Entry, Hash)>, ReadError> {
        self.first("id = ?1", id)
    }

    /// The first entry after this id, and its hash.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn entry_after(&self, id: i64) -> Result<Option<(Entry, Hash)>, ReadError> {
        self.first("id > ?1", id)
    }

    fn first(&self, condition: &str, id: i64) -> Result<Option<(Entry, Hash)>, ReadError> {
        let sql = format!("SELECT {COLUMNS} FROM entry WHERE {condition} ORDER BY id LIMIT 1");
        let read = || {
            let mut statement = self.database.prepare_cached(&sql)?;
            statement.query_row([id], |row| Ok(row_entry(row))).optional()
        };
        match read().map_err(|error| self.failure(error))? {
            None => Ok(None),
            Some(Ok(entry)) => Ok(Some(entry)),
            Some(Err((id, what))) => Err(self.damaged(id, what)),
        }
    }

    /// Id and hash of the entry that was the last one when it was written; None: the row is gone or holds something else.
    pub fn head(&self) -> Option<(i64, Hash)> {
        let sql = "SELECT id, hash FROM head WHERE one = 1";
        self.database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
    }

    /// The ids of all entries of a kind, ascending.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn ids(&self, kind: Kind) -> Result<Vec<i64>, ReadError> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = self.database.prepare_cached("SELECT id FROM entry WHERE kind = ?1 ORDER BY id")?;
            statement.query_map([kind.name()], |row| row.get(0))?.collect()
        };
        read().map_err(|error| self.failure(error))
    }

    /// The newest cut, if entries were dropped.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn last_cut(&self) -> Result<Option<Cut>, ReadError> {
        let id = || {
            let sql = "SELECT max(id) FROM entry WHERE kind = 'cut'";
            self.database.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
        };
        let Some(id) = id().map_err(|error| self.failure(error))? else { return Ok(None) };
        let Some((entry, _)) = self.entry(id)? else { return Ok(None) };
        let cut = serde_json::from_slice(&self.raw(&entry)?);
        cut.map(Some).map_err(|error| self.damaged(id, error.to_string()))
    }

    /// Hands every entry and its hash to `take`, in order, until it fails or the entries end.
    ///
    /// # Errors
    /// Those of `take`, and when a row cannot be read.
    pub fn each<E: From<ReadError>>(&self, mut take: impl FnMut(Entry, Hash) -> Result<(), E>) -> Result<(), E> {
        let sql = format!("SELECT {COLUMNS} FROM entry ORDER BY id");
        let mut statement = self.database.prepare(&sql).map_err(|error| self.failure(error))?;
        let mut rows = statement.query([]).map_err(|error| self.failure(error))?;
        while let Some(row) = rows.next().map_err(|error| self.failure(error))? {
            let (entry, hash) = row_entry(row).map_err(|(id, what)| self.damaged(id, what))?;
            take(entry, hash)?;
        }
        Ok(())
    }

    /// The id of the entry to start reading at so that no fact from this UTC time on is missed: a keyframe, or the first one.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn start_for(&self, utc_ns: i64) -> Result<i64, ReadError> {
        let id = |sql: &str, value: i64| -> Result<Option<i64>, ReadError> {
            let read = || self.database.prepare_cached(sql)?.query_row([value], |row| row.get(0));
            read().map_err(|error| self.failure(error))
        };
        let later = id("SELECT min(id) FROM entry WHERE kind = 'facts' AND utc_last >= ?1", utc_ns)?;
        let later = later.unwrap_or(i64::MAX);
        let before = id("SELECT max(id) FROM entry WHERE kind = 'keyframe' AND id < ?1", later)?;
        match before {
            Some(keyframe) => Ok(keyframe),
            None => Ok(id("SELECT min(id) FROM entry WHERE id > ?1", 0)?.unwrap_or(1)),
        }
    }

    /// The first time (UTC, nanoseconds) of the facts and the last one.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn span(&self) -> Result<Option<(i64, i64)>, ReadError> {
        let read = || {
            self.database.query_row("SELECT min(utc_first), max(utc_last) FROM entry WHERE kind = 'facts'", [], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
            })
        };
        read().map_err(|error| self.failure(error))
    }

    /// The UTC time (nanoseconds) of a CLOCK_BOOTTIME, by the clock reading that was in force; 0 where nothing was recorded.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn utc_at(&self, boot_ns: i64) -> Result<i64, ReadError> {
        const SELECT: &str = "SELECT boot_first, utc_first FROM entry WHERE kind = 'facts' AND boot_first";
        let row = |condition: &str| -> Result<Option<(i64, i64)>, ReadError> {
            let read = || {
                let mut statement = self.database.prepare(&format!("{SELECT} {condition} LIMIT 1"))?;
                statement.query_row([boot_ns], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            };
            read().map_err(|error| self.failure(error))
        };
        let (boot, utc) = match row("<= ?1 ORDER BY id DESC")? {
            None => row("> ?1 ORDER BY id")?.unwrap_or((boot_ns, 0)),
            Some(before) => before,
        };
        Ok(utc.saturating_add(boot_ns.saturating_sub(boot)))
    }

    /// The CLOCK_BOOTTIME of a UTC time (nanoseconds), as [`Recording::utc_at`].
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn boot_at(&self, utc_ns: i64) -> Result<u64, ReadError> {
        let read = || {
            let sql = "SELECT boot_first, utc_first FROM entry WHERE kind = 'facts' AND utc_first <= ?1
                       ORDER BY id DESC LIMIT 1";
            self.database.query_row(sql, [utc_ns], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()
        };
        let (boot, utc) = read().map_err(|error| self.failure(error))?.unwrap_or((0, utc_ns));
        Ok(u64::try_from(boot.saturating_add(utc_ns.saturating_sub(utc))).unwrap_or(0))
    }

    /// An error about one entry.
    pub fn damaged(&self, id: i64, what: String) -> ReadError {
        ReadError::Entry { path: self.path.display().to_string(), id, what }
    }

    /// The facts of a block, decompressed.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn raw(&self, entry: &Entry) -> Result<Vec<u8>, ReadError> {
        entry.raw().map_err(|error: DataError| self.damaged(entry.id, error.to_string()))
    }

    fn failure(&self, error: rusqlite::Error) -> ReadError {
        ReadError::Database { path: self.path.display().to_string(), error }
    }
}

const COLUMNS: &str = "id, kind, boot_first, boot_last, utc_first, utc_last, first_fact, facts, raw_bytes, hash, data";

/// Columns of other types than ours come from elsewhere; the error names the entry.
fn row_entry(row: &Row<'_>) -> Result<(Entry, Hash), (i64, String)> {
    let id = row.get(0).unwrap_or(-1);
    let integer = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Integer(value)) => Ok(value),
        _ => Err((id, format!("column {} is no number", name(column)))),
    };
    let blob = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Blob(value)) => Ok(value),
        _ => Err((id, format!("column {} is no blob", name(column)))),
    };
    let kind = match row.get_ref(1) {
        Ok(ValueRef::Text(text)) => std::str::from_utf8(text).ok().and_then(Kind::named),
        _ => None,
    };
    let hash = Hash::try_from(blob(9)?).map_err(|_| (id, "its hash has not 32 bytes".to_owned()))?;
    let entry = Entry {
        id: integer(0)?,
        kind: kind.ok_or_else(|| (id, "its kind is unknown".to_owned()))?,
        span: Span { boot: (integer(2)?, integer(3)?), utc: (integer(4)?, integer(5)?) },
        first_fact: integer(6)?,
        facts: integer(7)?,
        raw_bytes: integer(8)?,
        data: blob(10)?.to_vec(),
    };
    Ok((entry, hash))
}

fn name(column: usize) -> &'static str {
    COLUMNS.split(", ").nth(column).unwrap_or("?")
}

/// Read-only, trusting nothing that the file says about itself.
fn open(path: &Path) -> Result<Connection, ReadError> {
    let shown = || path.display().to_string();
    // SQLite's own message does not tell why.
    std::fs::File::open(path).map_err(|error| ReadError::Open { path: shown(), error })?;
    let failure = |error| ReadError::Database { path: shown(), error };
    // Readers of a write-ahead log make an index of it beside the file and leave it there. Without a log nobody writes, and
    // the file alone is enough.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    let database = match connect(path, !has_log) {
        Ok(database) => database,
        Err(error) if has_log && wants_to_write(&error) => return Err(ReadError::Log { path: shown() }),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(ReadError::Foreign { path: shown() });
        }
        Err(error) => return Err(failure(error)),
    };
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id").map_err(failure)? != schema::APPLICATION_ID {
        return Err(ReadError::Foreign { path: shown() });
    }
    let is = pragma("user_version").map_err(failure)?;
    if is != schema::FORMAT {
        return Err(ReadError::Format { path: shown(), is });
    }
    for (name, ours) in [("entry", schema::ENTRY), ("head", schema::HEAD)] {
        let sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?";
        let table: Option<String> = database.query_row(sql, [name], |row| row.get(0)).optional().map_err(failure)?;
        if table.as_deref() != Some(ours) {
            return Err(ReadError::Schema { path: shown() });
        }
    }
    Ok(database)
}

fn wants_to_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    use rusqlite::config::DbConfig;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags(uri(path, immutable), flags)?;
    // A copy that was cut off is read up to there; without this (or with SQLITE_DBCONFIG_DEFENSIVE) SQLite would refuse
    // all of it. Nothing can be written anyway.
    database.pragma_update(None, "writable_schema", true)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_DATA)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.pragma_update(None, "cell_size_check", true)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    // Only now the file is read.
    database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))?;
    Ok(database)
}

/// SQLite's name of a file, for reading; `immutable`: nobody writes to it.
pub(crate) fn uri(path: &Path, immutable: bool) -> String {
    let mut uri = "file:".to_owned();
    for &byte in std::os::unix::ffi::OsStrExt::as_bytes(std::path::absolute(path).unwrap_or_default().as_os_str()) {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri.push_str(if immutable { "?immutable=1" } else { "?mode=ro" });
    uri
}
