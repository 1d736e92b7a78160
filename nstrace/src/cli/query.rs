//! `nstrace query`: SQL over a recording.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
};

use rusqlite::{Row, types::ValueRef};

use super::{
    exit::{Failure, Outcome},
    output::Stdout,
    shutdown::Shutdown,
};
use crate::{
    query::{Answer, MAX_SQL, Query, QueryError, tables},
    view::{
        escape::escaped,
        rows::{Cell, Form, Rows},
    },
};

/// Lines are gathered to this many bytes.
const WRITE: usize = 64 << 10;

/// Ask a recording in SQL
///
/// The tables events, namespaces, tasks, holders, memberships, containers and findings are made from the recording when they are asked
/// for; 'nstrace query --tables' lists their columns. rec.entry and rec.head are the file itself. Only reading is possible.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_long_help())]
pub(super) struct Args {
    /// The recording
    #[arg(value_name = "FILE", required_unless_present = "tables")]
    file: Option<PathBuf>,

    /// One statement, in the words of SQLite; - reads it from stdin
    #[arg(value_name = "SQL", required_unless_present = "tables")]
    sql: Option<String>,

    /// Print a JSON array of objects, one a line
    #[arg(short = 'J', long)]
    json: bool,

    /// Print comma-separated values (RFC 4180)
    #[arg(long, conflicts_with = "json")]
    csv: bool,

    /// Print no heading
    #[arg(short, long)]
    noheadings: bool,

    /// List the tables and their columns
    #[arg(long, conflicts_with_all = ["file", "sql", "json", "csv", "noheadings"])]
    tables: bool,
}

fn after_long_help() -> String {
    format!(
        "Tables:\n{}\n  rec.entry, rec.head: the rows of the file\n\nAn empty cell is NULL; in JSON, integers beyond 2^53 are strings \
         and blobs are hexadecimal.\n\nExamples:\n  \
         nstrace query trouble.nst \"SELECT type, count(*) FROM events WHERE event = 'created' GROUP BY type\"\n  \
         nstrace query trouble.nst \"SELECT ns, comm, lifetime_ns FROM namespaces ORDER BY lifetime_ns DESC LIMIT 10\"\n  \
         nstrace query -J trouble.nst \"SELECT * FROM memberships WHERE type = 'net' AND left IS NULL\"",
        tables::ALL.map(|table| format!("  {}: {}", table.name, table.about)).join("\n"),
    )
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    let (Some(file), Some(sql)) = (&args.file, &args.sql) else {
        out.text(tables::description().as_bytes())?;
        return Ok(Outcome::Complete);
    };
    let sql = if sql == "-" { from_stdin()? } else { sql.clone() };
    let shutdown = Shutdown::on_signals()?;
    let stop = shutdown.clone();
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let result = Query::prepare(file, &sql, move || stop.requested())
        .map_err(Stopped::from)
        .and_then(|query| print(&query, form, !args.noheadings, out));
    shutdown.finish();
    match result {
        Ok(0) => Ok(Outcome::Nothing("no row is the answer".to_owned())),
        Ok(_) => Ok(Outcome::Complete),
        Err(Stopped::Query(QueryError::Interrupted)) => {
            Ok(Outcome::Partial("the rest of the answer, as it was interrupted".to_owned()))
        }
        Err(Stopped::Query(error @ QueryError::Statement(_))) => {
            let message = error.to_string();
            Err(Failure::Usage(format!("{}; see 'nstrace query --tables'", escaped(message.as_bytes()))))
        }
        Err(Stopped::Query(error)) => Err(Failure::Error(error.into())),
        Err(Stopped::Output(failure)) => Err(failure),
    }
}

/// Why no more rows were printed.
#[derive(Debug)]
enum Stopped {
    Query(QueryError),
    Output(Failure),
}

impl From<QueryError> for Stopped {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error.into())
    }
}

/// Prints the rows and counts them.
fn print(query: &Query, form: Form, headings: bool, out: &mut Stdout) -> Result<u64, Stopped> {
    let mut printer = Printer { form, headings, rows: None, text: Vec::new(), out };
    let result = query.run(&mut printer);
    // What was found before an error is printed, too.
    let count = printer.end(result.is_ok())?;
    result.map(|()| count)
}

struct Printer<'a> {
    form: Form,
    headings: bool,
    rows: Option<Rows>,
    /// Not yet written.
    text: Vec<u8>,
    out: &'a mut Stdout,
}

impl Answer for Printer<'_> {
    type Error = Stopped;

    fn columns(&mut self, names: Vec<String>) -> Result<(), Stopped> {
        self.rows.insert(Rows::new(self.form, names, self.headings)).begin(&mut self.text);
        Ok(())
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), Stopped> {
        if let Some(rows) = &mut self.rows {
            rows.row(&cells(row), &mut self.text);
        }
        if self.text.len() >= WRITE {
            self.out.write_all(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

impl Printer<'_> {
    /// `is_whole`: an empty answer is one.
    fn end(mut self, is_whole: bool) -> Result<u64, Stopped> {
        let Some(mut rows) = self.rows else { return Ok(0) };
        if rows.count() > 0 || is_whole {
            rows.end(&mut self.text);
            self.out.write_all(&self.text)?;
        }
        Ok(rows.count())
    }
}

fn cells<'r>(row: &'r Row<'_>) -> Vec<Cell<'r>> {
    let cell = |column| match row.get_ref(column) {
        Ok(ValueRef::Null) | Err(_) => Cell::Null,
        Ok(ValueRef::Integer(number)) => Cell::Integer(number),
        Ok(ValueRef::Real(number)) => Cell::Real(number),
        Ok(ValueRef::Text(text)) => Cell::Text(text),
        Ok(ValueRef::Blob(bytes)) => Cell::Blob(bytes),
    };
    (0..row.as_ref().column_count()).map(cell).collect()
}

fn from_stdin() -> Result<String, Failure> {
    let mut sql = Vec::new();
    std::io::stdin()
        .take(MAX_SQL as u64 + 1)
        .read_to_end(&mut sql)
        .map_err(|error| anyhow::anyhow!("cannot read the SQL from stdin: {error}"))?;
    String::from_utf8(sql).map_err(|_| Failure::Usage("the SQL on stdin is not UTF-8".to_owned()))
}
