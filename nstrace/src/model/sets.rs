//! Which namespaces tasks refer to, stored once per combination: as the kernel's `nsproxy` does, and with it the user
//! and the pid namespace. Most tasks share a few sets, so a task costs four bytes here.

use nstrace_common::slots::{SLOTS, TYPES};

use super::FixedMap;
use crate::{
    event::SlotSet,
    ns::{NsName, Slot},
};

/// Index of a namespace in [`super::namespaces::Namespaces`].
pub(super) type NsIndex = u32;

/// In the place of an index: no namespace known there.
pub(super) const NONE: NsIndex = u32::MAX;

/// One namespace per slot, in the order of [`Slot::ALL`].
pub(super) type Slots = [NsIndex; SLOTS];

/// Index of a set.
pub(super) type SetId = u32;

#[derive(Debug)]
pub(super) struct Set {
    pub slots: Slots,
    /// Tasks that have it.
    pub tasks: u32,
    /// What records call these namespaces: to recognise the set in a record without looking each one up.
    inum: [u32; SLOTS],
    id: [u64; SLOTS],
}

impl Set {
    /// The namespaces that the tasks of this set are members of, in the order of [`crate::ns::NsType::ALL`].
    pub fn members(&self) -> &[NsIndex] {
        &self.slots[..TYPES]
    }
}

/// All sets that some task has.
#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: Vec<Set>,
    free: Vec<SetId>,
    by_slots: FixedMap<Slots, SetId>,
}

impl Sets {
    pub fn get(&self, id: SetId) -> &Set {
        &self.sets[id as usize]
    }

    /// The set as a record with these readable slots shows it. Unreadable slots match anything.
    pub fn matches(&self, id: SetId, record: &SlotSet) -> bool {
        let set = self.get(id);
        Slot::ALL.into_iter().enumerate().all(|(i, slot)| match record.get(slot) {
            Some(ns) => ns.inum == set.inum[i] && ns.id.unwrap_or(0) == set.id[i],
            None => true,
        })
    }

    /// One more task has the set with these namespaces; true when no other task has it. `name` gives what records call
    /// a namespace.
    pub fn add(&mut self, slots: Slots, name: impl Fn(NsIndex) -> NsName) -> (SetId, bool) {
        let (id, new) = match self.by_slots.get(&slots) {
            Some(&id) => (id, false),
            None => {
                let set = Set { slots, tasks: 0, inum: [0; SLOTS], id: [0; SLOTS] };
                let id = self.free.pop().unwrap_or_else(|| SetId::try_from(self.sets.len()).unwrap_or(SetId::MAX));
                match self.sets.get_mut(id as usize) {
                    Some(place) => *place = set,
                    None => self.sets.push(set),
                }
                self.by_slots.insert(slots, id);
                (id, true)
            }
        };
        let set = &mut self.sets[id as usize];
        set.tasks += 1;
        // Also of a set that is there already: an id may have become known since.
        for (i, &ns) in slots.iter().enumerate().filter(|&(_, &ns)| ns != NONE) {
            let name = name(ns);
            (set.inum[i], set.id[i]) = (name.inum, name.id.unwrap_or(0));
        }
        (id, new)
    }

    /// One more task has it, as one has already.
    pub fn share(&mut self, id: SetId) {
        self.sets[id as usize].tasks += 1;
    }

    /// One task less has it; true when it was the last one.
    pub fn drop_one(&mut self, id: SetId) -> bool {
        let set = &mut self.sets[id as usize];
        set.tasks -= 1;
        if set.tasks > 0 {
            return false;
        }
        self.by_slots.remove(&set.slots);
        self.free.push(id);
        true
    }
}
