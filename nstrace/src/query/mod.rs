//! SQL over a recording: tables of what happened, made on demand from its facts, and the file itself.
//!
//! [`Query::prepare`] finds out which [`tables`] a statement reads. A statement that reads nothing but `events`, once, gets
//! them one by one while the recording is replayed ([`stream`]); any other one gets the tables it reads filled first
//! ([`fill`]), in a database that SQLite keeps in temporary files, so that memory stays bounded. [`guard`] allows reading only.

mod event_columns;
mod fill;
mod guard;
mod lives;
mod stream;
pub mod tables;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row};

use self::guard::References;
use crate::recording::{ReadError, Recording};

/// Longest statement, in bytes.
pub const MAX_SQL: usize = 1 << 20;

/// The number of the database `temp`.
const TEMP: i64 = 1;

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement is wrong.
    #[error("bad SQL: {0}")]
    Statement(String),
    #[error(transparent)]
    Recording(#[from] ReadError),
    /// The recording is damaged.
    #[error(transparent)]
    Source(#[from] anyhow::Error),
    #[error("the query failed: {0}")]
    Database(String),
    /// [`Query`]'s `stop` said so.
    #[error("it was interrupted")]
    Interrupted,
}

impl QueryError {
    /// Of an error met after the statement was found to be right.
    fn running(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Self::Interrupted,
            Some(ErrorCode::DiskFull) => {
                Self::Database("no space left for temporary files: set TMPDIR to a folder that has some".to_owned())
            }
            Some(ErrorCode::OutOfMemory) => {
                Self::Database("it takes more than 1 GiB of memory: ask for less at once".to_owned())
            }
            _ => Self::Database(message(error)),
        }
    }
}

/// SQLite's words without the code and the statement.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::MultipleStatement => "more than one statement".to_owned(),
        other => other.to_string(),
    }
}

/// A statement over a recording, ready to run.
#[derive(Debug)]
pub struct Query {
    database: Connection,
    sql: String,
}

impl Query {
    /// Checks the statement and makes what it reads. `stop` is asked now and then and ends it.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    pub fn prepare(
        file: &Path,
        sql: &str,
        stop: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<Self, QueryError> {
        let recording = Recording::open(file)?;
        let mut database = open(&recording).map_err(|error| QueryError::running(&error))?;
        let references = References::default();
        guard::install(&mut database, Some(references.clone())).map_err(|error| QueryError::running(&error))?;
        let scans = check(&database, sql)?;
        guard::remove(&mut database).map_err(|error| QueryError::running(&error))?;
        let mut read = references.taken();
        read.scans = scans;
        if read.is_streamable() {
            stream::register(&database, file).map_err(|error| QueryError::running(&error))?;
        } else if read.any() {
            fill::fill(&database, recording, &read, sql, &stop)?;
        }
        guard::install(&mut database, None).map_err(|error| QueryError::running(&error))?;
        database.progress_handler(10_000, Some(stop)).map_err(|error| QueryError::running(&error))?;
        Ok(Self { database, sql: sql.to_owned() })
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`QueryError`] says, or what `answer` ends it with.
    pub fn run<A: Answer>(&self, answer: &mut A) -> Result<(), A::Error> {
        let failed = |error| A::Error::from(QueryError::running(&error));
        let mut statement = self.database.prepare(&self.sql).map_err(failed)?;
        answer.columns(statement.column_names().map(str::to_owned).collect())?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            answer.row(row)?;
        }
        Ok(())
    }
}

/// Who takes the rows of a statement.
pub trait Answer {
    type Error: From<QueryError>;

    /// The names of the columns, before the first row.
    ///
    /// # Errors
    /// Ends the statement.
    fn columns(&mut self, names: Vec<String>) -> Result<(), Self::Error>;

    /// The next row.
    ///
    /// # Errors
    /// Ends the statement.
    fn row(&mut self, row: &Row<'_>) -> Result<(), Self::Error>;
}

/// A database with the tables, empty, and the file as `rec`.
fn open(recording: &Recording) -> rusqlite::Result<Connection> {
    // The flags hold for what is attached, too.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags(":memory:", flags)?;
    guard::limit(&database)?;
    database.execute_batch(
        "PRAGMA temp_store = FILE; PRAGMA temp.journal_mode = OFF; PRAGMA temp.cache_size = -65536;
         PRAGMA hard_heap_limit = 1073741824;",
    )?;
    for immutable in [false, true] {
        let attached = database
            .execute("ATTACH ?1 AS rec", [crate::recording::uri(recording.path(), immutable)])
            .and_then(|_| database.query_row("SELECT count(*) FROM rec.sqlite_master", [], |_| Ok(())));
        match attached {
            Ok(()) => break,
            // A damaged file may still tell its facts; without its raw rows then.
            Err(_) => {
                let _ = database.execute("DETACH rec", []);
            }
        }
    }
    for table in tables::ALL {
        database.execute_batch(&table.sql())?;
    }
    Ok(database)
}

/// That the statement is one and reads only; which of the tables it opens, each as often as it does.
///
/// The authorizer alone would not do: it is not told of tables and columns that only a USING names.
fn check(database: &Connection, sql: &str) -> Result<Vec<String>, QueryError> {
    let wrong = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::AuthorizationForStatementDenied) => QueryError::Statement(format!(
            "{}: only reading is allowed: SELECT, WITH, VALUES, EXPLAIN, PRAGMA table_info",
            message(&error)
        )),
        _ => QueryError::Statement(message(&error)),
    };
    if sql.len() > MAX_SQL {
        return Err(QueryError::Statement(format!("longer than {MAX_SQL} bytes")));
    }
    let statement = database.prepare(sql).map_err(wrong)?;
    if statement.column_count() == 0 {
        return Err(QueryError::Statement("it asks for nothing: begin with SELECT".to_owned()));
    }
    if !statement.readonly() {
        return Err(QueryError::Statement("only reading is allowed".to_owned()));
    }
    if statement.parameter_count() > 0 {
        return Err(QueryError::Statement("parameters have no values here: write them out".to_owned()));
    }
    if statement.is_explain() != 0 {
        return Ok(Vec::new());
    }
    let mut plan = database.prepare(&format!("EXPLAIN {sql}")).map_err(wrong)?;
    let mut rows = plan.query([]).map_err(wrong)?;
    let mut table = database
        .prepare("SELECT tbl_name FROM temp.sqlite_master WHERE rootpage = ?1")
        .map_err(|error| QueryError::running(&error))?;
    let mut scans = Vec::new();
    while let Some(row) = rows.next().map_err(wrong)? {
        let opcode: String = row.get(1).map_err(wrong)?;
        if !matches!(opcode.as_str(), "OpenRead" | "ReopenIdx") {
            continue;
        }
        // p2 is the root page of the table or index, p3 the number of the database; 1 is always temp.
        let (root, of): (i64, i64) = (row.get(3).map_err(wrong)?, row.get(4).map_err(wrong)?);
        let name = if of == TEMP { table.query_row([root], |row| row.get(0)).optional() } else { Ok(None) };
        scans.push(name.map_err(|error| QueryError::running(&error))?.unwrap_or_default());
    }
    Ok(scans)
}
