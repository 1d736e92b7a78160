//! Keyframes are conclusions. Here they are drawn again: what a recording begins with in its middle must be what the facts before
//! lead to, or else a reader who begins there sees another story than one who begins at the start.

use super::Fault;
use crate::{
    container,
    event::Stamped,
    model::{Change, Checkpoint, World},
    policy::Policy,
    recording::{
        document::{Keyframe, Session, TOOL},
        entry::Entry,
    },
};

/// Which entry it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    id: i64,
    first_fact: i64,
}

impl From<&Entry> for Place {
    fn from(entry: &Entry) -> Self {
        Self { id: entry.id, first_fact: entry.first_fact }
    }
}

impl Place {
    pub fn fault(self, what: &dyn std::fmt::Display) -> Fault {
        Fault::Entry { id: self.id, first_fact: u64::try_from(self.first_fact).ok(), what: what.to_string() }
    }
}

/// What an entry adds.
#[derive(Debug)]
pub(super) enum Step {
    /// The facts before it were dropped.
    Begin {
        of: Place,
        world: Box<Checkpoint>,
    },
    Events(Vec<Stamped>),
    /// `latest`: [`crate::source::fact::Facts::latest`] after the facts before it; `raw`: the entry's data, decompressed.
    Keyframe {
        of: Place,
        latest: u64,
        raw: Vec<u8>,
    },
}

#[derive(Debug)]
pub(super) struct Derivation {
    world: World,
    /// The same program made the keyframes; another version may know more or less, or write it down in another way.
    comparable: bool,
    derived: u64,
    underived: u64,
    changes: Vec<Change>,
}

impl Derivation {
    /// `session`: what recorded. Rules that were in force made lines, which have numbers.
    pub fn new(session: &Session) -> Self {
        let mut world = World::new(container::from_cgroup_path);
        world.set_policy(Policy::kept(&session.policy()).unwrap_or_default());
        Self { world, comparable: session.tool == TOOL, derived: 0, underived: 0, changes: Vec::new() }
    }

    pub fn step(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Begin { of, world } => {
                let policy = self.world.take_policy();
                self.world = World::restore(*world, container::from_cgroup_path).map_err(|error| of.fault(&error))?;
                self.world.set_policy(policy);
                self.underived += 1;
            }
            Step::Events(events) => {
                for event in &events {
                    self.world.apply(event, &mut self.changes);
                    self.changes.clear();
                }
                self.world.take_suspects();
            }
            Step::Keyframe { .. } if !self.comparable => self.underived += 1,
            Step::Keyframe { of, latest, raw } => {
                // The same state has the same bytes: all of it is in order.
                let again = self.world.checkpoint().map(|world| serde_json::to_vec(&Keyframe { latest, world }));
                if again.and_then(Result::ok).is_none_or(|again| again != raw) {
                    return Err(of.fault(&"it is not what the facts before it lead to"));
                }
                self.derived += 1;
            }
        }
        Ok(())
    }

    /// Keyframes that were derived, and those that could not be.
    pub fn counts(&self) -> (u64, u64) {
        (self.derived, self.underived)
    }
}
