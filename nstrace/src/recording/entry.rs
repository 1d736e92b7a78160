//! One row of a recording.

use std::fmt;

/// Bytes that the data of one entry may have when decompressed; a reader refuses more before it allocates.
pub const MAX_RAW: u64 = 256 << 20;
/// The same of a block of facts: what a writer closes a block at, and one large fact.
const MAX_RAW_FACTS: u64 = 2 << 20;
/// The same of what was learned of containers, which comes in small pieces.
const MAX_RAW_CONTAINER: u64 = 16 << 20;

/// Bytes that the data of one row may have in the file.
pub const MAX_DATA: i32 = 64 << 20;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first one: who recorded what, where, how ([`super::document::Session`]).
    Session,
    /// A block of facts ([`super::block`]).
    Facts,
    /// What the model knew after all facts before it ([`crate::model::Checkpoint`]): no evidence, a place to start at.
    Keyframe,
    /// What was learned of containers ([`super::containers::Containers`]).
    Container,
    /// Entries were dropped to keep the file small ([`super::document::Cut`]).
    Cut,
    /// A signature over the chain so far ([`super::document::Seal`]).
    Seal,
    /// The recorder ended by itself ([`super::document::End`]).
    End,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Session, Self::Facts, Self::Keyframe, Self::Container, Self::Cut, Self::Seal, Self::End];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Facts => "facts",
            Self::Keyframe => "keyframe",
            Self::Container => "container",
            Self::Cut => "cut",
            Self::Seal => "seal",
            Self::End => "end",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The time an entry spans: of the facts inside, or the moment it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Earliest and latest, nanoseconds of CLOCK_BOOTTIME.
    pub boot: (i64, i64),
    /// Earliest and latest, nanoseconds since 1970 in UTC.
    pub utc: (i64, i64),
}

impl Span {
    pub fn moment(boot_ns: u64, utc_ns: i64) -> Self {
        let boot = i64::try_from(boot_ns).unwrap_or(i64::MAX);
        Self { boot: (boot, boot), utc: (utc_ns, utc_ns) }
    }

    /// Widened to this one.
    pub fn with(self, other: Self) -> Self {
        Self {
            boot: (self.boot.0.min(other.boot.0), self.boot.1.max(other.boot.1)),
            utc: (self.utc.0.min(other.utc.0), self.utc.1.max(other.utc.1)),
        }
    }
}

/// See [`super::schema::ENTRY`] for the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub kind: Kind,
    pub span: Span,
    pub first_fact: i64,
    pub facts: i64,
    pub raw_bytes: i64,
    /// As in the file.
    pub data: Vec<u8>,
}

/// Data that is not what its row says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    #[error("its data says to have {0} bytes")]
    Size(i64),
    #[error("its data does not decompress: {0}")]
    Compression(String),
    #[error("its data has {is} bytes decompressed instead of {should}")]
    Length { is: usize, should: i64 },
}

impl Entry {
    /// The data, decompressed.
    ///
    /// # Errors
    /// Of a damaged entry; never allocates more than [`MAX_RAW`].
    pub fn raw(&self) -> Result<Vec<u8>, DataError> {
        let most = match self.kind {
            Kind::Facts => MAX_RAW_FACTS,
            Kind::Container => MAX_RAW_CONTAINER,
            _ => MAX_RAW,
        };
        let should = u64::try_from(self.raw_bytes).ok().filter(|&n| n <= most);
        let Some(should) = should.and_then(|n| usize::try_from(n).ok()) else {
            return Err(DataError::Size(self.raw_bytes));
        };
        let raw =
            zstd::bulk::decompress(&self.data, should).map_err(|error| DataError::Compression(error.to_string()))?;
        if raw.len() == should { Ok(raw) } else { Err(DataError::Length { is: raw.len(), should: self.raw_bytes }) }
    }
}
