//! `events` as a virtual table: each scan replays the recording, nothing is kept.

use std::{
    borrow::Cow,
    collections::VecDeque,
    ffi::{CStr, CString, c_int},
    marker::PhantomData,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, Error, ffi,
    vtab::{Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor},
};

use super::{event_columns::EVENT_COLUMNS, tables};
use crate::{
    container,
    model::{Change, World},
    recording::Recording,
    source::{Replay, Source as _},
};

/// Puts the virtual table in the place of the empty one.
pub(super) fn register(database: &Connection, file: &Path) -> rusqlite::Result<()> {
    const MODULE: Module<'_, Events> = Module::eponymous_only_module();
    database.execute_batch("DROP TABLE temp.events")?;
    database.create_module(tables::EVENTS.name, &MODULE, Some(file.to_owned()))
}

#[repr(C)]
struct Events {
    /// SQLite's part; has to be the first.
    base: ffi::sqlite3_vtab,
    file: PathBuf,
}

// SAFETY: the struct is `repr(C)` and begins with `sqlite3_vtab`.
unsafe impl<'vtab> VTab<'vtab> for Events {
    type Aux = PathBuf;
    type Cursor = Cursor<'vtab>;

    fn connect(
        _: &mut VTabConnection,
        file: Option<&PathBuf>,
        _module_name: &[u8],
        _database_name: &[u8],
        _table_name: &[u8],
        _args: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let file = file.cloned().unwrap_or_default();
        let schema = CString::new(tables::EVENTS.declaration("x"))?;
        Ok((Cow::Owned(schema), Self { base: ffi::sqlite3_vtab::default(), file }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        // Every scan takes all of the recording.
        info.set_estimated_cost(1e9);
        info.set_estimated_rows(1_000_000);
        Ok(true)
    }

    fn open(&'vtab mut self) -> rusqlite::Result<Cursor<'vtab>> {
        Ok(Cursor { base: ffi::sqlite3_vtab_cursor::default(), file: &self.file, replay: None, _vtab: PhantomData })
    }
}

#[repr(C)]
struct Cursor<'vtab> {
    /// SQLite's part; has to be the first.
    base: ffi::sqlite3_vtab_cursor,
    file: &'vtab Path,
    replay: Option<Scan>,
    _vtab: PhantomData<&'vtab Events>,
}

/// A replay on its way.
struct Scan {
    source: Replay,
    world: Box<World>,
    ahead: VecDeque<Change>,
}

impl Scan {
    /// Makes the next change the first one of `ahead`; none is left at the end.
    fn next(&mut self) -> anyhow::Result<()> {
        self.ahead.pop_front();
        let mut changes = Vec::new();
        while self.ahead.is_empty() {
            let Some(events) = self.source.next(Duration::ZERO)? else { break };
            for event in &events {
                self.world.apply(event, &mut changes);
                self.ahead.extend(changes.drain(..));
            }
            self.world.take_suspects();
        }
        Ok(())
    }
}

impl Cursor<'_> {
    fn change(&self) -> Option<&Change> {
        self.replay.as_ref().and_then(|scan| scan.ahead.front())
    }
}

fn failure(error: impl Into<anyhow::Error>) -> Error {
    Error::ModuleError(format!("{:#}", error.into()))
}

// SAFETY: the struct is `repr(C)` and begins with `sqlite3_vtab_cursor`.
unsafe impl VTabCursor for Cursor<'_> {
    fn filter(&mut self, _idx_num: c_int, _idx_str: Option<&str>, _args: &Filters<'_>) -> rusqlite::Result<()> {
        let recording = Recording::open(self.file).map_err(failure)?;
        let (source, world) = Replay::start(recording, None, container::from_cgroup_path).map_err(failure)?;
        let world = Box::new(world);
        let scan = self.replay.insert(Scan { source, world, ahead: VecDeque::new() });
        scan.next().map_err(failure)
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.replay.as_mut().map_or(Ok(()), |scan| scan.next().map_err(failure))
    }

    fn eof(&self) -> bool {
        self.change().is_none()
    }

    fn column(&self, context: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let column = usize::try_from(column).ok().and_then(|column| EVENT_COLUMNS.get(column));
        match self.change().zip(column) {
            Some((change, column)) => context.set_result((column.value)(change)),
            None => Ok(()),
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.change().and_then(|change| i64::try_from(change.seq).ok()).unwrap_or(i64::MAX))
    }
}
