//! A task changes namespaces: what is looked at both by who judges the way it went and by who judges where it went to.

use super::lineage::seen;
use crate::{
    event::{Call, SlotSet, TaskInfo, TransitionAt},
    model::{NsSeen, World},
    ns::{NsName, Slot},
};

/// One [`crate::event::Event::Transition`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch<'a> {
    pub at: TransitionAt,
    pub call: &'a Call,
    pub task: &'a TaskInfo,
    pub before: &'a SlotSet,
    pub after: &'a SlotSet,
}

impl Switch<'_> {
    /// What the slots that change hold now, and what they held.
    pub fn changed(&self, world: &World) -> impl Iterator<Item = (NsSeen, Option<NsName>)> {
        Slot::ALL.into_iter().filter_map(|slot| {
            let from = self.before.get(slot);
            let name = self.after.get(slot).filter(|&name| from != Some(name))?;
            Some((seen(world, name)?, from))
        })
    }
}
