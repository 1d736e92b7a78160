//! After records were lost: a new snapshot repairs the model.
//!
//! What the snapshot saw and what the kernel said meanwhile are applied in the order in which they happened; then what
//! the snapshot should have seen and did not is gone: so a later snapshot has to look for nsfs holders, as the first one did.

use super::{Cause, Change, FixedMap, What, World, moves::Move, sets::NsIndex, tasks::CompactTask};
use crate::{
    deed::Placed,
    event::{Event, NsFacts, SlotSet, Stamp, Stamped, TaskInfo},
    ns::NsName,
};

/// A later snapshot while it comes in.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// Events of the kernel that came meanwhile.
    pub held: Vec<Stamped>,
    tasks: Vec<(Stamp, CompactTask, SlotSet)>,
    pins: Vec<(Stamp, NsName)>,
    namespaces: Vec<(Stamp, NsFacts)>,
    placed: Vec<Placed>,
}

impl Resync {
    pub fn task(&mut self, stamp: Stamp, task: &TaskInfo, slots: &SlotSet) {
        self.tasks.push((stamp, task.into(), *slots));
    }

    pub fn pin(&mut self, stamp: Stamp, name: NsName) {
        self.pins.push((stamp, name));
    }

    pub fn namespace(&mut self, stamp: Stamp, facts: NsFacts) {
        self.namespaces.push((stamp, facts));
    }

    pub fn placed(&mut self, placed: &Placed) {
        self.placed.push(placed.clone());
    }

    /// When it began: what is known from later the snapshot need not have seen.
    fn began(&self, end: Stamp) -> u64 {
        let tasks = self.tasks.iter().map(|(stamp, ..)| stamp.boot_ns);
        let pins = self.pins.iter().map(|(stamp, _)| stamp.boot_ns);
        tasks.chain(pins).min().unwrap_or(end.boot_ns)
    }
}

impl World {
    pub(super) fn resync(&mut self, stamp: Stamp, mut snapshot: Resync, out: &mut Vec<Change>) {
        let began = snapshot.began(stamp);
        snapshot.tasks.sort_by_key(|(stamp, ..)| stamp.boot_ns);
        // A visit knows the start time to a tick only; what is known exactly stays so.
        let mut visited: FixedMap<u32, ()> = FixedMap::default();
        let mut visits = snapshot.tasks.iter().peekable();
        for event in &snapshot.held {
            while let Some((at, task, slots)) = visits.next_if(|(at, ..)| at.boot_ns <= event.stamp.boot_ns) {
                self.visit(*at, task, slots, out);
            }
            self.apply_live(event.stamp, &event.event, out);
        }
        for (at, task, slots) in visits {
            self.visit(*at, task, slots, out);
        }
        for (_, task, _) in &snapshot.tasks {
            if self.tasks.get(task.key().tid).is_some_and(|known| known.task.key().same_task(task.key())) {
                visited.insert(task.key().tid, ());
            }
        }

        let mut gone: Vec<u32> = self
            .tasks
            .iter()
            .filter(|known| known.boot_ns < began && !visited.contains_key(&known.task.key().tid))
            .map(|known| known.task.key().tid)
            .collect();
        gone.sort_unstable();
        for tid in gone {
            self.lose(stamp, tid, out);
        }
        self.stand(&snapshot.placed);
        self.resync_holders(stamp, began, &snapshot, out);
        // What was lost since the census was taken is not repaired by it: another one follows.
        let is_repaired = !snapshot.held.iter().any(|held| matches!(held.event, Event::Lost { .. }));
        if is_repaired {
            self.log.write(out, stamp, What::Resynced, None, None);
        }
    }

    fn visit(&mut self, at: Stamp, task: &CompactTask, slots: &SlotSet, out: &mut Vec<Change>) {
        let mut info = task.info();
        if let Some(known) = self.tasks.get(info.key.tid).map(|known| known.task.key())
            && info.key.is_to_the_tick()
            && known.same_task(info.key)
        {
            info.key = known;
        }
        self.move_task(&Move::visit(at, &info, slots), out);
    }

    /// A namespace that lived at this time. Records from before, which the snapshot was faster than, may still name one that
    /// was not known: by number alone it has to pass for what they mean.
    fn find_out(&mut self, at: Stamp, name: NsName, began: u64, out: &mut Vec<Change>) -> Option<NsIndex> {
        let known = self.namespaces.last_key;
        let ns = self.resolve(at, name, None, out)?;
        let entry = self.namespaces.get_mut(ns);
        if entry.key.0 > known && entry.name.id.is_none() {
            entry.found_boot_ns = Some(at.boot_ns);
            entry.first_seen = entry.first_seen.min(began);
        }
        Some(ns)
    }

    /// Pins, and namespaces that nothing holds any more.
    fn resync_holders(&mut self, stamp: Stamp, began: u64, snapshot: &Resync, out: &mut Vec<Change>) {
        let mut found: FixedMap<super::NsKey, bool> = FixedMap::default();
        for (at, facts) in &snapshot.namespaces {
            self.announced(*at, facts);
            if let Some(ns) = self.find_out(*at, facts.ns, began, out) {
                found.entry(self.namespaces.get(ns).key).or_insert(false);
            }
        }
        for (at, name) in &snapshot.pins {
            if let Some(ns) = self.find_out(*at, *name, began, out) {
                let known = self.namespaces.get_mut(ns);
                found.insert(known.key, true);
                if at.boot_ns >= known.pin_boot_ns {
                    known.pin_boot_ns = at.boot_ns;
                    if !std::mem::replace(&mut known.pinned, true) {
                        let what = What::Pinned { ns: known.seen() };
                        self.log.write(out, stamp, what, None, Some(Cause::UNKNOWN));
                    }
                }
            }
        }
        let stale = |ns: &super::Namespace| {
            ns.pinned && ns.pin_boot_ns < began && !found.get(&ns.key).copied().unwrap_or_default()
        };
        let mut unpinned: Vec<_> =
            self.namespaces.iter().filter(|(_, ns)| stale(ns)).map(|(i, ns)| (ns.key, i)).collect();
        unpinned.sort_unstable();
        for (_, ns) in unpinned {
            let known = self.namespaces.get_mut(ns);
            known.pinned = false;
            let what = What::Unpinned { ns: known.seen() };
            self.log.write(out, stamp, what, None, Some(Cause::UNKNOWN));
            self.released(stamp, ns, None, Cause::UNKNOWN);
        }
        // What is gone may have held its owner and its parent, so look again until nothing more is gone.
        loop {
            let mut held: FixedMap<super::NsKey, ()> = FixedMap::default();
            for (_, ns) in self.namespaces.iter() {
                for holder in [ns.owner(), ns.parent()].into_iter().flatten() {
                    if let Some(holder) = self.namespaces.find(holder) {
                        held.insert(self.namespaces.get(holder).key, ());
                    }
                }
            }
            let ended = |ns: &super::Namespace| {
                let in_use = ns.initial || ns.sets > 0 || ns.pinned || held.contains_key(&ns.key);
                !in_use && ns.first_seen < began && !found.contains_key(&ns.key)
            };
            let mut gone: Vec<_> =
                self.namespaces.iter().filter(|(_, ns)| ended(ns)).map(|(i, ns)| (ns.key, i)).collect();
            if gone.is_empty() {
                return;
            }
            gone.sort_unstable();
            for (_, ns) in gone {
                self.retire(stamp, ns, false, out);
            }
        }
    }
}
