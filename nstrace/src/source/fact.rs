//! What a stream is made of before anything is decided about it: the bytes that the kernel wrote, and what user space
//! found out. The same facts in the same order give the same events, live and replayed.

use super::order::Order;
use crate::{
    decode::{DecodeError, decode},
    event::{Event, Stamped},
};

/// Which program of the kernel wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// A hook, into the ring buffer: these records are numbered per CPU.
    Ring,
    /// An iterator, read at once.
    Iterator,
}

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A record, verbatim.
    Record(Written, &'a [u8]),
    /// An event that only user space knows, as JSON.
    Told(&'a [u8]),
}

/// Why a fact of a recording says nothing.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    #[error(transparent)]
    Record(#[from] DecodeError),
    #[error("a fact of user space of {size} bytes is not one that this nstrace knows: {error}")]
    Told { size: usize, error: serde_json::Error },
}

/// Facts → events.
#[derive(Debug, Default)]
pub struct Facts {
    order: Order,
}

impl Facts {
    /// Goes on after a record of this time (of [`Facts::latest`]).
    pub fn after(latest: u64) -> Self {
        Self { order: Order::after(latest) }
    }

    /// The time of the latest record.
    pub fn latest(&self) -> u64 {
        self.order.latest()
    }

    /// The event of the next fact.
    ///
    /// # Errors
    /// Of a damaged recording, or one of another version.
    pub fn event(&mut self, fact: Fact<'_>) -> Result<Stamped, FactError> {
        let mut stamped = match fact {
            Fact::Record(_, bytes) => decode(bytes)?,
            Fact::Told(bytes) => {
                serde_json::from_slice(bytes).map_err(|error| FactError::Told { size: bytes.len(), error })?
            }
        };
        // As the live source does: iterators and user space have their own times, but an end comes after its releases.
        let in_order = match fact {
            Fact::Record(Written::Ring, _) => true,
            Fact::Record(Written::Iterator, _) => false,
            Fact::Told(_) => matches!(stamped.event, Event::Freed { .. }),
        };
        if in_order {
            stamped.stamp = self.order.record(stamped.stamp);
        }
        Ok(stamped)
    }
}

/// Where the events of one batch came from.
#[derive(Debug, Default)]
pub struct Origins {
    /// Off: nobody asks.
    pub keep: bool,
    bytes: Vec<u8>,
    /// Place of the event in its batch, who wrote it, end of its bytes.
    records: Vec<(usize, Written, usize)>,
}

impl Origins {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// The event at this place of the batch is the content of this record. Places ascend.
    pub fn add(&mut self, place: usize, written: Written, record: &[u8]) {
        if self.keep {
            self.bytes.extend_from_slice(record);
            self.records.push((place, written, self.bytes.len()));
        }
    }

    /// The record behind each of the first `events` events; None: told by user space.
    pub fn of(&self, events: usize) -> impl Iterator<Item = Option<(Written, &[u8])>> {
        let mut records = self.records.iter().peekable();
        let mut start = 0;
        (0..events).map(move |place| {
            let &(_, written, end) = records.next_if(|(at, ..)| *at == place)?;
            let bytes = self.bytes.get(start..end)?;
            start = end;
            Some((written, bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_told_by_their_place() {
        let mut origins = Origins { keep: true, ..Origins::default() };
        origins.add(1, Written::Ring, b"one");
        origins.add(3, Written::Iterator, b"three");
        let all: Vec<_> = origins.of(5).collect();
        let ring = Some((Written::Ring, b"one".as_slice()));
        assert_eq!(all, [None, ring, None, Some((Written::Iterator, b"three".as_slice())), None]);
        origins.clear();
        assert_eq!(origins.of(2).collect::<Vec<_>>(), [None, None]);
    }
}
