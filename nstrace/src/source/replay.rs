//! A recording as a [`Source`].

use std::time::Duration;

use super::{Source, fact::Facts};
use crate::{
    event::Stamped,
    ns::NsName,
    recording::{
        Recording, block,
        chain::{self, Hash},
        entry::Kind,
    },
};

/// The facts of a recording as events, in their order, the chain checked on the way.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    facts: Facts,
    /// Id and hash of the last entry read; the hash of what went before the first is not known.
    at: (i64, Option<Hash>),
}

impl Replay {
    /// From the first fact on.
    pub fn new(recording: Recording) -> Self {
        Self { recording, facts: Facts::default(), at: (0, None) }
    }

    /// From the facts after entry `id` on, whose hash is `hash`; the record before them was of the time `latest`.
    pub fn after(recording: Recording, id: i64, hash: Hash, latest: u64) -> Self {
        Self { recording, facts: Facts::after(latest), at: (id, Some(hash)) }
    }

    pub fn recording(&self) -> &Recording {
        &self.recording
    }
}

impl Source for Replay {
    fn next(&mut self, _wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        loop {
            let (last, before) = self.at;
            let Some((entry, hash)) = self.recording.entry_after(last)? else { return Ok(None) };
            // After a cut the chain starts anew behind the session; verify looks for the cut.
            let expected = before.filter(|_| last != 1 || entry.id == 2).or((last == 0).then_some(chain::START));
            if last > 1 && entry.id != last + 1 {
                return Err(self.recording.damaged(last + 1, "it is gone".to_owned()).into());
            }
            if expected.is_some_and(|before| chain::hash(&before, &entry) != hash) {
                return Err(self.recording.damaged(entry.id, "it was changed".to_owned()).into());
            }
            self.at = (entry.id, Some(hash));
            if entry.kind != Kind::Facts {
                continue;
            }
            let raw = self.recording.raw(&entry)?;
            let mut events = Vec::with_capacity(block::MAX_FACTS);
            for fact in block::facts(&raw) {
                let fact = fact.map_err(|error| self.recording.damaged(entry.id, error.to_string()))?;
                let event = self.facts.event(fact);
                events.push(event.map_err(|error| self.recording.damaged(entry.id, error.to_string()))?);
            }
            return Ok(Some(events));
        }
    }

    fn await_end(&mut self, _suspects: &[NsName]) {}
}
