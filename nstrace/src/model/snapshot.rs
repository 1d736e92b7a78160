//! The start-up snapshot: tasks, namespaces and nsfs holders that were there before the watch began.
//!
//! Its `snapshot` lines come first. Kernel events that arrive before its end are held; then those apply that are newer
//! than the visit of the task they are about. The source should keep that time short, as every held event takes memory.

use nstrace_common::{slots::TYPES, task::PF_EXITING};

use super::{
    Change, FixedMap, What, World,
    moves::Move,
    resync::Resync,
    sets::{NONE, NsIndex},
};
use crate::{
    event::{NsFacts, PinHolder, SlotSet, Stamp, Stamped, TaskInfo},
    ns::NsName,
};

/// Where in the stream the model is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Before the end of the first snapshot.
    Snapshot {
        held: Vec<Stamped>,
    },
    Live,
    /// In a later snapshot, asked for after a loss.
    Resync(Resync),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Snapshot { held: Vec::new() }
    }
}

impl World {
    pub(super) fn snapshot_task(&mut self, stamp: Stamp, task: &TaskInfo, slots: &SlotSet, out: &mut Vec<Change>) {
        if task.flags & PF_EXITING != 0 {
            return; // it has left, or is leaving, and its exit may have been before the first probe
        }
        match self.later_snapshot() {
            Some(resync) => resync.task(stamp, task, slots),
            None => self.move_task(&Move::visit(stamp, task, slots), out),
        }
    }

    pub(super) fn snapshot_pin(&mut self, stamp: Stamp, name: NsName, holder: &PinHolder, out: &mut Vec<Change>) {
        match self.later_snapshot() {
            Some(resync) => resync.pin(stamp, name),
            None => {
                if let Some(ns) = self.resolve(stamp, name, None, out) {
                    let known = self.namespaces.get_mut(ns);
                    (known.pinned, known.pin_boot_ns) = (true, stamp.boot_ns);
                    known.holders.push(holder.clone());
                }
            }
        }
    }

    /// User space found a namespace. While the world is live that announces it, as a record does.
    pub(super) fn snapshot_namespace(&mut self, stamp: Stamp, facts: &NsFacts, out: &mut Vec<Change>) {
        match &mut self.phase {
            Phase::Live => self.announced(stamp, facts),
            Phase::Resync(resync) => resync.namespace(stamp, *facts),
            Phase::Snapshot { .. } => {
                if let Some(ns) = self.resolve(stamp, facts.ns, None, out) {
                    self.namespaces.get_mut(ns).facts = Some(Box::new(*facts));
                }
            }
        }
    }

    /// The snapshot to collect, when it is not the first one.
    fn later_snapshot(&mut self) -> Option<&mut Resync> {
        if matches!(self.phase, Phase::Live) {
            self.phase = Phase::Resync(Resync::default());
        }
        match &mut self.phase {
            Phase::Resync(resync) => Some(resync),
            Phase::Snapshot { .. } | Phase::Live => None,
        }
    }

    pub(super) fn snapshot_end(&mut self, stamp: Stamp, out: &mut Vec<Change>) {
        self.detectors.census(stamp);
        match &mut self.phase {
            Phase::Snapshot { held } => {
                let held = std::mem::take(held);
                self.log.silent = false;
                self.tell_snapshot(stamp, out);
                for event in &held {
                    self.apply_live(event.stamp, &event.event, out);
                }
                self.phase = Phase::Live;
                let tids: Vec<u32> = self.tasks.iter().map(|known| known.task.key().tid).collect();
                for tid in tids {
                    self.forget_initial(tid);
                }
                self.tasks.shrink();
            }
            Phase::Live => self.resync(stamp, Resync::default(), out),
            Phase::Resync(resync) => {
                let resync = std::mem::take(resync);
                self.phase = Phase::Live;
                self.resync(stamp, resync, out);
            }
        }
    }

    /// One line per namespace.
    fn tell_snapshot(&mut self, stamp: Stamp, out: &mut Vec<Change>) {
        // Members are counted here, those of initial namespaces too.
        let mut nprocs: FixedMap<NsIndex, u32> = FixedMap::default();
        for (_, process) in self.tasks.processes() {
            let mut seen: Vec<NsIndex> = process.sets().flat_map(|set| self.sets.get(set).members()).copied().collect();
            if seen.len() > TYPES {
                seen.sort_unstable();
                seen.dedup();
            }
            for ns in seen {
                *nprocs.entry(ns).or_default() += 1;
            }
        }
        // The first member: of the lowest process, its leader if that one is in it.
        let mut first: FixedMap<NsIndex, (u32, bool, u32)> = FixedMap::default();
        for known in self.tasks.iter() {
            let (key, tgid) = (known.task.key(), known.task.tgid());
            let rank = (tgid, key.tid != tgid, key.tid);
            for &ns in self.sets.get(known.set).members().iter().filter(|&&ns| ns != NONE) {
                let first = first.entry(ns).or_insert(rank);
                *first = rank.min(*first);
            }
        }
        let mut all: Vec<NsIndex> = self.namespaces.iter().map(|(ns, _)| ns).collect();
        all.sort_unstable_by_key(|&ns| (self.namespaces.get(ns).name.ns_type, self.namespaces.get(ns).name.inum));
        for ns in all {
            let known = self.namespaces.get_mut(ns);
            let holders = std::mem::take(&mut known.holders);
            let what =
                What::Snapshot { ns: known.seen(), nprocs: nprocs.get(&ns).copied().unwrap_or_default(), holders };
            let task = first.get(&ns).and_then(|&(_, _, tid)| self.tasks.get(tid)).map(|known| known.task.info());
            self.log.write(out, stamp, what, task.as_ref(), None);
        }
    }
}
