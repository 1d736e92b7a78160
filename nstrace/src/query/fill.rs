//! One replay that fills the tables a statement reads.

use std::time::Duration;

use rusqlite::{Connection, Statement, params, params_from_iter, types::Value};

use super::{QueryError, event_columns::EVENT_COLUMNS, guard::Read, lives::Lives, tables};
use crate::{
    container,
    engine::Named,
    model::{Change, What},
    recording::Recording,
    source::{Replay, Source as _},
    view::time,
};

/// Replays the recording into the tables that are read. `stop` is asked once a batch.
pub(super) fn fill(
    database: &Connection,
    recording: Recording,
    read: &Read,
    sql: &str,
    stop: &dyn Fn() -> bool,
) -> Result<(), QueryError> {
    let failed = |error: rusqlite::Error| QueryError::running(&error);
    database.execute_batch("BEGIN").map_err(failed)?;
    let mut events =
        read.table(&tables::EVENTS).then(|| Events::new(database, read, sql)).transpose().map_err(failed)?;
    let mut lives = Lives::new(database, read).map_err(failed)?;
    if read.table(&tables::CONTAINERS) {
        containers(database, &recording)?;
        if read.only(&tables::CONTAINERS) {
            return database.execute_batch("COMMIT").map_err(failed);
        }
    }
    let start = recording.span()?.map_or(0, |(first, _)| first);
    let (mut source, mut world) = Replay::start(recording, None, container::from_cgroup_path)?;
    // What is left of a recording that drops what is old begins in the middle, and no line tells of what was there.
    lives.start(&world, start).map_err(failed)?;
    let mut changes = Vec::new();
    let mut started = false;
    while let Some(batch) = source.next(Duration::ZERO)? {
        if stop() {
            return Err(QueryError::Interrupted);
        }
        for event in &batch {
            world.apply(event, &mut changes);
            for change in &changes {
                if let Some(events) = &mut events {
                    events.insert(change).map_err(failed)?;
                }
                lives.learn(change).map_err(failed)?;
            }
            // The lines of the snapshot name first members only.
            if !started && changes.iter().any(|change| matches!(change.what, What::Snapshot { .. })) {
                started = true;
                let now = changes.last().map_or(start, |change| change.utc_ns);
                lives.start(&world, now).map_err(failed)?;
            }
            changes.clear();
        }
        world.take_suspects();
    }
    lives.end(&world).map_err(failed)?;
    drop((events, lives));
    database.execute_batch("COMMIT").map_err(failed)
}

fn containers(database: &Connection, recording: &Recording) -> Result<(), QueryError> {
    let failed = |error: rusqlite::Error| QueryError::running(&error);
    let sql = "INSERT INTO temp.containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = database.prepare(sql).map_err(failed)?;
    for (id, (utc_ns, named)) in recording.learned(None)? {
        let Named { runtime, name, image, image_id, pod, pod_namespace, pid, .. } = named;
        let learned = time::rfc3339(utc_ns);
        let row = params![id, runtime, name, image, image_id, pod, pod_namespace, pid, learned];
        insert.execute(row).map_err(failed)?;
    }
    Ok(())
}

/// `events`; columns that nobody reads stay NULL.
struct Events<'d> {
    insert: Statement<'d>,
    read: Vec<bool>,
}

impl<'d> Events<'d> {
    fn new(database: &'d Connection, read: &Read, sql: &str) -> rusqlite::Result<Self> {
        let sql = sql.to_ascii_lowercase();
        let places = vec!["?"; EVENT_COLUMNS.len()].join(", ");
        let insert = database.prepare(&format!("INSERT INTO temp.events VALUES ({places})"))?;
        Ok(Self { insert, read: EVENT_COLUMNS.iter().map(|column| read.event_column(column.name, &sql)).collect() })
    }

    fn insert(&mut self, change: &Change) -> rusqlite::Result<()> {
        let values = EVENT_COLUMNS
            .iter()
            .zip(&self.read)
            .map(|(column, read)| if *read { (column.value)(change) } else { Value::Null });
        self.insert.execute(params_from_iter(values)).map(|_| ())
    }
}
