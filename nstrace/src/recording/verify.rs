//! Is a recording whole and untouched: every entry against the chain, every fact against its numbers.

use std::path::Path;

use serde::Serialize;

use super::{
    ReadError, Recording, block,
    chain::{self, Hash},
    document::{Cut, End, Seal, Session},
    entry::{Entry, Kind},
    seal::{self, PublicKey},
};
use crate::{
    event::Event,
    source::{
        fact::{Fact, Facts, Written},
        numbers::Numbers,
    },
};

/// What a whole recording consists of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Whole {
    pub session: Session,
    pub entries: u64,
    /// Facts inside; [`Cut`] may have taken earlier ones.
    pub facts: u64,
    /// UTC of the first and the last fact, nanoseconds.
    pub span: Option<(i64, i64)>,
    /// The newest cut, if any.
    pub cut: Option<Cut>,
    /// Records lost, as the facts tell.
    pub lost: u64,
    /// Numbers of records that never came, by CPU: losses that the numbers prove.
    pub missing: Vec<(u32, u64)>,
    /// None: it was cut off, or is still being made.
    pub end: Option<End>,
    pub seals: Vec<Sealed>,
    /// Id and hash (hexadecimal) of the last entry. Who noted it elsewhere knows later that nothing before it was changed.
    pub head: (i64, String),
}

/// A seal that fits the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sealed {
    /// Id of the last entry that it covers.
    pub covers: i64,
    /// It was made with the key asked for; None: no key was given.
    pub by_key: Option<bool>,
    #[serde(skip)]
    pub seal: Seal,
}

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be opened as a recording.
    #[error(transparent)]
    File(ReadError),
    /// It is shorter than it says: a copy that was not finished, not the work of somebody who knew what he did.
    #[error("torn: the file is cut off at {length} of {expected} bytes; whole up to entry {last} ({facts} facts)")]
    Torn { length: u64, expected: u64, last: i64, facts: u64 },
    #[error("not sealed: no entry has a seal of key {key}")]
    Unsealed { key: String },
    #[error("changed: entry {id}{}: {what}", facts(*.first_fact))]
    Entry { id: i64, first_fact: Option<u64>, what: String },
    #[error("damaged: whole up to entry {last} ({facts} facts), and then: {error}")]
    Unreadable { last: i64, facts: u64, error: ReadError },
}

fn facts(first: Option<u64>) -> String {
    first.map_or(String::new(), |first| format!(" (facts from {first} on)"))
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::File(error)
    }
}

/// Reads everything; `key` checks the seals.
///
/// # Errors
/// The first fault.
pub fn verify(path: &Path, key: Option<&PublicKey>) -> Result<Whole, Fault> {
    let recording = Recording::open(path).map_err(|error| torn(path, 0, 0).unwrap_or(Fault::File(error)))?;
    // One state of a recording that may grow meanwhile.
    let _state = recording.database().unchecked_transaction();
    let mut check = Check::new(&recording, key);
    match recording.each(|entry, hash| check.entry(&entry, hash)) {
        Ok(()) => check.finish(),
        Err(Fault::File(error)) => {
            let (last, facts) = (check.last, check.facts);
            Err(torn(path, last, facts).unwrap_or(Fault::Unreadable { last, facts, error }))
        }
        Err(fault) => Err(fault),
    }
}

struct Check<'a> {
    recording: &'a Recording,
    key: Option<&'a PublicKey>,
    cut: Option<Cut>,
    /// Id and hash of the last entry.
    last: i64,
    hash: Hash,
    entries: u64,
    facts: u64,
    /// The number that the next fact must have.
    next_fact: Option<i64>,
    span: Option<(i64, i64)>,
    events: Facts,
    numbers: Numbers,
    lost: u64,
    end: Option<End>,
    seals: Vec<Sealed>,
}

impl<'a> Check<'a> {
    fn new(recording: &'a Recording, key: Option<&'a PublicKey>) -> Self {
        Self {
            recording,
            key,
            cut: None,
            last: 0,
            hash: chain::START,
            entries: 0,
            facts: 0,
            next_fact: Some(0),
            span: None,
            events: Facts::default(),
            numbers: Numbers::default(),
            lost: 0,
            end: None,
            seals: Vec::new(),
        }
    }

    fn entry(&mut self, entry: &Entry, hash: Hash) -> Result<(), Fault> {
        if entry.id != self.last + 1 {
            self.gap(entry)?;
        }
        if chain::hash(&self.hash, entry) != hash {
            return Err(self.fault(entry.id, "it is not what was recorded, or what comes before it is not"));
        }
        let raw = entry.raw().map_err(|error| self.fault(entry.id, &error.to_string()))?;
        if self.end.is_some() && entry.kind != Kind::Seal {
            return Err(self.fault(entry.id, "it comes after the end"));
        }
        if self.next_fact.is_some_and(|next| next != entry.first_fact) {
            return Err(self.fault(entry.id, "facts are missing before it"));
        }
        match entry.kind {
            Kind::Session if entry.id != 1 => return Err(self.fault(entry.id, "it begins another recording")),
            Kind::Facts => self.facts(entry, &raw)?,
            Kind::Seal => self.seal(entry, &raw)?,
            Kind::End => {
                let end = serde_json::from_slice(&raw);
                self.end = Some(end.map_err(|error| self.fault(entry.id, &error.to_string()))?);
            }
            Kind::Cut => {
                let cut = serde_json::from_slice(&raw);
                self.cut = Some(cut.map_err(|error| self.fault(entry.id, &error.to_string()))?);
            }
            Kind::Session | Kind::Keyframe | Kind::Container => {}
        }
        self.next_fact = entry.first_fact.checked_add(entry.facts);
        (self.last, self.hash, self.entries) = (entry.id, hash, self.entries + 1);
        Ok(())
    }

    /// Entries are missing before this one: a cut may have taken them.
    fn gap(&mut self, entry: &Entry) -> Result<(), Fault> {
        let missing = self.last + 1;
        if self.last == 1
            && let Some(cut) = self.recording.last_cut()?
            && cut.before == entry.id
            && entry.kind == Kind::Keyframe
            && let Some(hash) = chain::from_hex(&cut.hash)
        {
            (self.hash, self.next_fact) = (hash, Some(entry.first_fact));
            return Ok(());
        }
        Err(self.fault(missing, "it is gone"))
    }

    fn facts(&mut self, entry: &Entry, raw: &[u8]) -> Result<(), Fault> {
        let mut count = 0;
        for fact in block::facts(raw) {
            let fact = fact.map_err(|error| self.fault(entry.id, &error.to_string()))?;
            let event = self.events.event(fact).map_err(|error| self.fault(entry.id, &error.to_string()))?;
            if matches!(fact, Fact::Record(Written::Ring, _)) {
                self.numbers.saw(event.stamp);
            }
            if let Event::Lost { count, .. } = event.event {
                self.lost = self.lost.saturating_add(count);
            }
            count += 1;
        }
        if count != entry.facts {
            return Err(self.fault(entry.id, &format!("it has {count} facts instead of {}", entry.facts)));
        }
        self.facts += u64::try_from(count).unwrap_or(0);
        let (first, last) = self.span.unwrap_or(entry.span.utc);
        self.span = Some((first.min(entry.span.utc.0), last.max(entry.span.utc.1)));
        Ok(())
    }

    fn seal(&mut self, entry: &Entry, raw: &[u8]) -> Result<(), Fault> {
        let seal: Seal = serde_json::from_slice(raw).map_err(|error| self.fault(entry.id, &error.to_string()))?;
        if seal::covered(&seal.text) != Some((self.last, self.hash)) {
            return Err(self.fault(entry.id, "its seal is not about what comes before it"));
        }
        let by_key = self.key.map(|key| key.made(&seal));
        if by_key == Some(false) {
            return Err(self.fault(entry.id, "its seal was not made with this key"));
        }
        self.seals.push(Sealed { covers: self.last, by_key, seal });
        Ok(())
    }

    fn fault(&self, id: i64, what: &str) -> Fault {
        let first_fact = self.next_fact.and_then(|next| u64::try_from(next).ok());
        Fault::Entry { id, first_fact, what: what.to_owned() }
    }

    fn finish(self) -> Result<Whole, Fault> {
        if self.entries == 0 {
            return Err(self.fault(1, "it is gone"));
        }
        if self.recording.head() != Some((self.last, self.hash)) {
            return Err(self.fault(self.last + 1, "it is gone: entries were taken from the end"));
        }
        if let Some(key) = self.key
            && self.seals.is_empty()
        {
            return Err(Fault::Unsealed { key: key.id() });
        }
        Ok(Whole {
            session: self.recording.session().clone(),
            entries: self.entries,
            facts: self.facts,
            span: self.span,
            cut: self.cut,
            lost: self.lost,
            missing: self.numbers.missing().filter(|&(_, missing)| missing > 0).collect(),
            end: self.end,
            seals: self.seals,
            head: (self.last, chain::hex(&self.hash)),
        })
    }
}

/// The file is shorter than its header says (the page size at 16, the number of pages at 28; sqlite.org/fileformat2.html).
fn torn(path: &Path, last: i64, facts: u64) -> Option<Fault> {
    use std::io::Read as _;
    let mut header = [0; 100];
    let mut file = std::fs::File::open(path).ok()?;
    file.read_exact(&mut header).ok()?;
    let length = file.metadata().ok()?.len();
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    let expected = page.checked_mul(pages)?;
    let is_database = header.starts_with(b"SQLite format 3\0") && page.is_power_of_two() && page >= 512;
    (is_database && length < expected).then_some(Fault::Torn { length, expected, last, facts })
}
