//! The facts: each one that decodes, as many as their row says, with numbers that have no gaps but losses.

use super::{
    Fault, Inside,
    derive::{Derivation, Place, Step},
};
use crate::{
    event::Event,
    model::Checkpoint,
    recording::{
        block,
        containers::Containers,
        document::Keyframe,
        entry::{Entry, Kind},
    },
    source::{
        fact::{Fact, Facts, Written},
        numbers::Numbers,
    },
};

#[derive(Debug)]
pub(super) struct Reader {
    events: Facts,
    numbers: Numbers,
    lost: u64,
    met_facts: bool,
}

fn fault(entry: &Entry, what: &dyn std::fmt::Display) -> Fault {
    Place::from(entry).fault(what)
}

impl Reader {
    pub fn new() -> Self {
        Self { events: Facts::default(), numbers: Numbers::default(), lost: 0, met_facts: false }
    }

    /// What the world is to learn of an entry.
    pub fn entry(&mut self, entry: &Entry) -> Result<Option<Step>, Fault> {
        let raw = entry.raw().map_err(|error| fault(entry, &error))?;
        match entry.kind {
            Kind::Facts => self.facts(entry, &raw).map(Some),
            // What is left of entries that were dropped begins with one.
            Kind::Keyframe if !self.met_facts => {
                let keyframe: Keyframe<Checkpoint> =
                    serde_json::from_slice(&raw).map_err(|error| fault(entry, &error))?;
                self.events = Facts::after(keyframe.latest);
                Ok(Some(Step::Begin { of: entry.into(), world: Box::new(keyframe.world) }))
            }
            Kind::Keyframe => Ok(Some(Step::Keyframe { of: entry.into(), latest: self.events.latest(), raw })),
            Kind::Container => {
                let read = serde_json::from_slice::<Containers>(&raw);
                read.map(|_| None).map_err(|error| fault(entry, &error))
            }
            Kind::Session | Kind::Cut | Kind::Seal | Kind::End => Ok(None),
        }
    }

    fn facts(&mut self, entry: &Entry, raw: &[u8]) -> Result<Step, Fault> {
        self.met_facts = true;
        let mut events = Vec::with_capacity(block::MAX_FACTS);
        for fact in block::facts(raw) {
            let fact = fact.map_err(|error| fault(entry, &error))?;
            let event = self.events.event(fact).map_err(|error| fault(entry, &error))?;
            if matches!(fact, Fact::Record(Written::Ring, _)) {
                self.numbers.saw(event.stamp);
            }
            if let Event::Lost { count, .. } = event.event {
                self.lost = self.lost.saturating_add(count);
            }
            events.push(event);
        }
        if i64::try_from(events.len()) != Ok(entry.facts) {
            let what = format!("it has {} facts instead of {}", events.len(), entry.facts);
            return Err(fault(entry, &what));
        }
        Ok(Step::Events(events))
    }

    pub fn finish(self, derivation: &Derivation) -> Inside {
        let (derived, underived) = derivation.counts();
        Inside {
            lost: self.lost,
            missing: self.numbers.missing().filter(|&(_, missing)| missing > 0).collect(),
            derived,
            underived,
        }
    }
}
