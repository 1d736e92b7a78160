//! A recording as a [`Source`].

use std::time::Duration;

use super::{Source, fact::Facts};
use crate::{
    event::Stamped,
    model::{Checkpoint, Container, World},
    ns::NsName,
    policy::Policy,
    recording::{
        ReadError, Recording, block,
        chain::{self, Hash},
        document::Keyframe,
        entry::Kind,
    },
};

/// The facts of a recording as events, in their order, the chain checked on the way.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    facts: Facts,
    /// Id and hash of the last entry read.
    at: (i64, Hash),
    until: Option<i64>,
}

/// The rules and exceptions that were in force while it was recorded.
fn kept_policy(recording: &Recording) -> Result<Policy, ReadError> {
    Policy::kept(&recording.session().policy()).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        recording.damaged(1, format!("its rules are none of this nstrace: {first}"))
    })
}

/// Longer than any census takes, nanoseconds.
const CENSUS: i64 = 60_000_000_000;

impl Replay {
    /// From the first fact that is left, with the model to apply the events to. `since`: not earlier than needed to miss
    /// nothing from that UTC time (nanoseconds) on.
    ///
    /// The rules and exceptions are those that were in force while it was recorded.
    ///
    /// # Errors
    /// When the recording is damaged where it begins.
    pub fn start(
        recording: Recording,
        since: Option<i64>,
        container_of: fn(&str) -> Option<Container>,
    ) -> Result<(Self, World), ReadError> {
        let policy = kept_policy(&recording)?;
        let (replay, mut world) = Self::start_plain(recording, since, container_of)?;
        world.set_policy(policy);
        Ok((replay, world))
    }

    /// The same without rules and exceptions.
    ///
    /// # Errors
    /// When the recording is damaged where it begins.
    pub fn start_plain(
        recording: Recording,
        since: Option<i64>,
        container_of: fn(&str) -> Option<Container>,
    ) -> Result<(Self, World), ReadError> {
        let start = recording.start_for(since.unwrap_or(i64::MIN))?;
        let Some((entry, hash)) = recording.entry(start)?.filter(|(entry, _)| entry.kind == Kind::Keyframe) else {
            return Ok((
                Self { recording, facts: Facts::default(), at: (0, chain::START), until: None },
                World::new(container_of),
            ));
        };
        let damaged = |what: String| recording.damaged(entry.id, what);
        let before = match recording.entry(entry.id - 1)? {
            Some((_, hash)) => Some(hash),
            // The oldest one that is left: the cut knows.
            None => {
                recording.last_cut()?.filter(|cut| cut.before == entry.id).and_then(|cut| chain::from_hex(&cut.hash))
            }
        };
        if before.is_none_or(|before| chain::hash(&before, &entry) != hash) {
            return Err(damaged("it was changed, or what comes before it is gone".to_owned()));
        }
        let raw = recording.raw(&entry)?;
        let keyframe: Keyframe<Checkpoint> =
            serde_json::from_slice(&raw).map_err(|error| damaged(error.to_string()))?;
        let world = World::restore(keyframe.world, container_of).map_err(|error| damaged(error.to_string()))?;
        Ok((Self { recording, facts: Facts::after(keyframe.latest), at: (start, hash), until: None }, world))
    }

    /// Ends after this UTC time (nanoseconds) instead of with the recording.
    pub fn until(self, utc_ns: Option<i64>) -> Self {
        Self { until: utc_ns, ..self }
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
            if entry.id != last + 1 {
                return Err(self.recording.damaged(last + 1, "it is gone".to_owned()).into());
            }
            if chain::hash(&before, &entry) != hash {
                return Err(self.recording.damaged(entry.id, "it was changed".to_owned()).into());
            }
            self.at = (entry.id, hash);
            if entry.kind != Kind::Facts {
                continue;
            }
            // What is told later may have happened earlier, while a census was taken.
            if self.until.is_some_and(|until| entry.span.utc.0 > until.saturating_add(CENSUS)) {
                return Ok(None);
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
