//! What a statement may do: read, within limits.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{
    Connection,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::tables;
use crate::recording::entry::MAX_DATA;

/// What SQLite tells of a statement while it prepares it.
#[derive(Clone, Debug, Default)]
pub(super) struct References(Arc<Mutex<Read>>);

impl References {
    fn note(&self, change: impl FnOnce(&mut Read)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn taken(&self) -> Read {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a statement reads of [`tables`].
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    /// One for each time it is opened; others than ours are empty.
    pub scans: Vec<String>,
    /// Of `events`, as far as SQLite tells: not those of USING and NATURAL JOIN.
    columns: BTreeSet<String>,
    recursive: bool,
}

impl Read {
    pub fn any(&self) -> bool {
        self.scans.iter().any(|scanned| !scanned.is_empty())
    }

    /// Nothing but this table is read.
    pub fn only(&self, table: &tables::Table) -> bool {
        self.scans.iter().all(|scanned| scanned.is_empty() || scanned == table.name)
    }

    pub fn table(&self, table: &tables::Table) -> bool {
        self.scans.iter().any(|scanned| scanned == table.name)
    }

    /// Whether a column of `events` may be read by this statement (in lower case).
    pub fn event_column(&self, name: &str, sql: &str) -> bool {
        self.columns.contains(name) || sql.contains(name) || sql.contains("natural")
    }

    /// Nothing but `events` is read, from its begin to its end, and once.
    pub fn is_streamable(&self) -> bool {
        self.scans == [tables::EVENTS.name] && !self.recursive
    }
}

/// Bounds what a statement, or a hostile file, can make SQLite do.
pub(super) fn limit(database: &Connection) -> rusqlite::Result<()> {
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_DATA),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, (super::MAX_SQL + 64).try_into().unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_COLUMN, 500),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 1),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        database.set_limit(limit, value)?;
    }
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}

/// From now on only reading is allowed; what is read is noted.
pub(super) fn install(database: &mut Connection, references: Option<References>) -> rusqlite::Result<()> {
    database.authorizer(Some(move |context: AuthContext<'_>| {
        if let Some(references) = &references {
            references.note(|read| note(read, &context));
        }
        judge(&context.action)
    }))
}

pub(super) fn remove(database: &mut Connection) -> rusqlite::Result<()> {
    database.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
}

fn note(read: &mut Read, context: &AuthContext<'_>) {
    match context.action {
        AuthAction::Read { table_name, column_name } if table_name.eq_ignore_ascii_case(tables::EVENTS.name) => {
            read.columns.insert(column_name.to_ascii_lowercase());
        }
        AuthAction::Recursive => read.recursive = true,
        _ => {}
    }
}

fn judge(action: &AuthAction<'_>) -> Authorization {
    let allowed = match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|name| function_name.eq_ignore_ascii_case(name))
        }
        AuthAction::Pragma { pragma_name, .. } => {
            ["table_info", "table_xinfo", "table_list"].iter().any(|name| pragma_name.eq_ignore_ascii_case(name))
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}
