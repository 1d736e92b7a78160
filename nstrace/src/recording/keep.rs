//! Retention: how old and how large a recording may get. Old entries go up to a keyframe, and a cut says so.

use std::time::Duration;

use rusqlite::OptionalExtension as _;

use super::{
    chain::{self, Hash},
    document::{self, Cut},
    entry::{Entry, Kind},
    write::{WriteError, Writer, failure, insert},
};

/// A limit is kept to within this part of it: that often there is a keyframe to cut at.
const PARTS: u32 = 16;

/// What to keep.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Facts that are older may go.
    pub age: Option<Duration>,
    /// Bytes that the entries may have in the file.
    pub size: Option<u64>,
    /// Of the last keyframe, CLOCK_BOOTTIME.
    keyframe: Option<i64>,
    /// Its bytes, and those written since.
    keyframe_bytes: u64,
    since: u64,
}

impl Keep {
    pub fn new(age: Option<Duration>, size: Option<u64>) -> Self {
        Self { age, size, keyframe: None, keyframe_bytes: 0, since: 0 }
    }

    /// Enough has come since the last keyframe to be a part of its own.
    pub(super) fn wants_keyframe(&self, now: i64) -> bool {
        let since = self.keyframe.and_then(|last| u64::try_from(now.saturating_sub(last)).ok());
        let old = |age: Duration| since.is_some_and(|since| Duration::from_nanos(since) > age / PARTS);
        self.age.is_some_and(old) || self.size.is_some_and(|size| self.since > self.part_of(size))
    }

    /// Keyframes of a small recording shall not take most of its room.
    fn part_of(&self, size: u64) -> u64 {
        (size / u64::from(PARTS)).max(2 * self.keyframe_bytes).min(size / 3)
    }

    pub(super) fn wrote(&mut self, entry: &Entry) {
        let now = entry.span.boot.1;
        if entry.kind == Kind::Keyframe {
            (self.keyframe, self.keyframe_bytes, self.since) = (Some(now), entry.data.len() as u64, 0);
        } else {
            self.keyframe.get_or_insert(now);
            self.since = self.since.saturating_add(entry.data.len() as u64);
        }
    }
}

impl Writer {
    /// Drops what is too old or too much, up to a keyframe, in one transaction with the cut that explains it.
    /// True: there was something to drop.
    pub(super) fn drop_old(&mut self) -> Result<bool, WriteError> {
        let cut = self.too_old().map_err(|error| failure(&self.path, error))?;
        let Some((cut, why)) = cut else { return Ok(false) };
        self.cut(cut, why).map(|()| true).map_err(|error| failure(&self.path, error))
    }

    /// The keyframe that may become the oldest entry, and the limit that wants it.
    fn too_old(&self) -> rusqlite::Result<Option<(i64, &'static str)>> {
        if let Some(age) = self.keep.age {
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            let oldest: Option<i64> = self
                .database
                .query_row(
                    "SELECT max(id) FROM entry WHERE kind = 'keyframe' AND boot_last <= ?",
                    [self.now_boot().saturating_sub(age)],
                    |row| row.get(0),
                )
                .optional()?
                .flatten();
            if let Some(keyframe) = oldest.filter(|&id| self.has_before(id).unwrap_or(false)) {
                return Ok(Some((keyframe, "age")));
            }
        }
        if let Some(size) = self.keep.size {
            let limit = i64::try_from(size).unwrap_or(i64::MAX);
            // The oldest keyframe from which on everything fits, else the newest one.
            let mut total = 0_i64;
            let mut fits = None;
            let mut newest = None;
            let mut statement =
                self.database.prepare_cached("SELECT id, kind, length(data) FROM entry ORDER BY id DESC")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                total = total.saturating_add(row.get::<_, i64>(2)?).saturating_add(ROW);
                if row.get_ref(1)?.as_str().is_ok_and(|kind| kind == Kind::Keyframe.name()) {
                    let id: i64 = row.get(0)?;
                    newest.get_or_insert(id);
                    if total <= limit {
                        fits = Some(id);
                    }
                }
            }
            if total > limit
                && let Some(keyframe) = fits.or(newest)
                && self.has_before(keyframe)?
            {
                return Ok(Some((keyframe, "size")));
            }
        }
        Ok(None)
    }

    fn has_before(&self, keyframe: i64) -> rusqlite::Result<bool> {
        self.database
            .query_row("SELECT EXISTS (SELECT 1 FROM entry WHERE id > 1 AND id < ?)", [keyframe], |row| row.get(0))
    }

    fn cut(&mut self, keyframe: i64, why: &str) -> rusqlite::Result<()> {
        let hash: Vec<u8> =
            self.database.query_row("SELECT hash FROM entry WHERE id = ?", [keyframe - 1], |row| row.get(0))?;
        let facts: i64 =
            self.database
                .query_row("SELECT coalesce(sum(facts), 0) FROM entry WHERE id < ?", [keyframe], |row| row.get(0))?;
        let cut = Cut {
            before: keyframe,
            hash: chain::hex(&hash),
            facts: u64::try_from(facts).unwrap_or(0),
            why: why.to_owned(),
        };
        let (data, raw_bytes) =
            document::pack(&cut).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let entry = self.empty_entry(Kind::Cut, raw_bytes, data);
        let hash: Hash = chain::hash(&self.last, &entry);
        let transaction = self.database.transaction()?;
        transaction.execute("DELETE FROM entry WHERE id > 1 AND id < ?", [keyframe])?;
        insert(&transaction, &entry, &hash)?;
        transaction.commit()?;
        (self.last, self.next) = (hash, self.next + 1);
        Ok(())
    }
}

/// Bytes of a row beside its data, roughly.
const ROW: i64 = 128;
