//! Is a recording whole and untouched: every entry against the chain ([`links`]), every fact against its numbers ([`inside`]),
//! every keyframe against the facts before it ([`derive`]). Each has a thread: whoever verifies waits for it, and none of them
//! needs what a later one finds.

mod derive;
mod inside;
mod links;

use std::{path::Path, sync::mpsc};

use serde::Serialize;

use self::{derive::Derivation, inside::Reader, links::Links};
use super::{
    ReadError, Recording,
    document::{Cut, End, Seal, Session},
    entry::Entry,
    seal::PublicKey,
};

/// Entries on their way from one thread to the next.
const AHEAD: usize = 4;

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
    /// What the inside of the entries says; None: nobody looked ([`Depth::Chain`]).
    pub inside: Option<Inside>,
    /// None: it was cut off, or is still being made.
    pub end: Option<End>,
    pub seals: Vec<Sealed>,
    /// Id and hash (hexadecimal) of the last entry. Who noted it elsewhere knows later that nothing before it was changed.
    pub head: (i64, String),
}

/// What the facts say of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inside {
    /// Records lost, as the facts tell.
    pub lost: u64,
    /// Numbers of records that never came, by CPU: losses that the numbers prove.
    pub missing: Vec<(u32, u64)>,
    /// Keyframes that are what the facts before them lead to.
    pub derived: u64,
    /// Keyframes that nobody can derive: what led to them was dropped, or another version of nstrace made them.
    pub underived: u64,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// That every row is what was written, in its place, and what the seals are about. The facts are not looked at.
    Chain,
    /// Also that the facts are facts, that their numbers have no gaps but losses, and that the keyframes follow from them.
    #[default]
    All,
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

/// Reads everything that `depth` asks for; `key` checks the seals.
///
/// # Errors
/// The first fault.
pub fn verify(path: &Path, key: Option<&PublicKey>, depth: Depth) -> Result<Whole, Fault> {
    let recording = Recording::open(path).map_err(|error| torn(path, 0, 0).unwrap_or(Fault::File(error)))?;
    // One state of a recording that may grow meanwhile.
    let _state = recording.database().unchecked_transaction();
    let mut links = Links::new(&recording, key);
    if depth == Depth::Chain {
        read(path, &recording, &mut links, |_| true)?;
        return links.finish(None);
    }
    std::thread::scope(|scope| {
        let (entries, to_read) = mpsc::sync_channel::<Entry>(AHEAD);
        let (steps, to_derive) = mpsc::sync_channel(AHEAD);
        let mut reader = Reader::new();
        let mut derivation = Derivation::new(recording.session());
        let reading = scope.spawn(move || {
            let fault = to_read.into_iter().find_map(|entry| match reader.entry(&entry) {
                // Who derives is gone when he found a fault, which counts.
                Ok(step) => step.and_then(|step| steps.send(step).err()).map(|_| None),
                Err(fault) => Some(Some(fault)),
            });
            (reader, fault.flatten())
        });
        let deriving = scope.spawn(move || {
            let fault = to_derive.into_iter().find_map(|step| derivation.step(step).err());
            (derivation, fault)
        });
        let read = read(path, &recording, &mut links, |entry| entries.send(entry).is_ok());
        drop(entries);
        let (reader, unreadable) = joined(reading.join());
        let (derivation, underivable) = joined(deriving.join());
        // What comes later in the pipeline is about earlier entries.
        if let Some(fault) = underivable.or(unreadable) {
            return Err(fault);
        }
        read?;
        links.finish(Some(reader.finish(&derivation)))
    })
}

/// Threads of this module do not panic; if one does, so does who waits for it.
fn joined<T>(result: std::thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Why no more entries are read.
enum Stop {
    Fault(Fault),
    /// Who takes them found a fault of his own.
    Enough,
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

/// Checks every link and hands its entry on, until `take` wants no more.
fn read(
    path: &Path,
    recording: &Recording,
    links: &mut Links<'_>,
    mut take: impl FnMut(Entry) -> bool,
) -> Result<(), Fault> {
    let read = recording.each(|entry, hash| {
        links.entry(&entry, hash).map_err(Stop::Fault)?;
        if take(entry) { Ok(()) } else { Err(Stop::Enough) }
    });
    match read {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Fault(Fault::File(error))) => {
            let (last, facts) = links.reached();
            Err(torn(path, last, facts).unwrap_or(Fault::Unreadable { last, facts, error }))
        }
        Err(Stop::Fault(fault)) => Err(fault),
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
