//! Who is in which namespace: one step puts a task into a place, counts members by process, and tells what that changed.

use nstrace_common::slots::{SLOTS, TYPES};

use super::{
    Cause, Change, NsSeen, What, World,
    sets::{NONE, NsIndex, SetId, Slots},
    snapshot::Phase,
    tasks::KnownTask,
};
use crate::event::{Stamp, TaskInfo};

/// Which of the namespaces joined and left are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nothing,
    /// All but the initial ones.
    Foreign,
    Everything,
}

/// What brought a step about. One record may show what its call did beside what happened before, unseen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Causes {
    call: Cause,
    /// Bits of the slots that the call made the task leave; the others it left by no known way.
    left: u32,
    joined: u32,
}

impl Causes {
    pub const UNKNOWN: Self = Self::partly(Cause::UNKNOWN, 0, 0);

    pub const fn all(call: Cause) -> Self {
        Self::partly(call, u32::MAX, u32::MAX)
    }

    pub const fn partly(call: Cause, left: u32, joined: u32) -> Self {
        Self { call, left, joined }
    }

    const fn of_left(&self, slot: usize) -> Cause {
        if self.left & 1 << slot != 0 { self.call } else { Cause::UNKNOWN }
    }

    const fn of_joined(&self, slot: usize) -> Cause {
        if self.joined & 1 << slot != 0 { self.call } else { Cause::UNKNOWN }
    }
}

/// Where a task goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// To these namespaces.
    Slots(Slots),
    /// To those of another task.
    Set(SetId),
    /// It ends.
    Nowhere,
}

/// One task, one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub stamp: Stamp,
    /// The stamp is that of a visit.
    pub visit: bool,
    pub task: &'a TaskInfo,
    pub tell: Tell,
    pub causes: Causes,
}

impl World {
    /// Puts a task, which has the set `old` or none, into a place, and tells what that changes.
    ///
    /// Members are processes: a thread joins for its process what no other thread of it is in, and leaves likewise.
    pub(super) fn settle(&mut self, step: Step<'_>, old: Option<SetId>, to: Place, out: &mut Vec<Change>) {
        let Step { stamp, task, .. } = step;
        let before = old.map_or([NONE; SLOTS], |set| self.sets.get(set).slots);
        let after = match to {
            Place::Slots(slots) => slots,
            Place::Set(set) => self.sets.get(set).slots,
            Place::Nowhere => [NONE; SLOTS],
        };
        let (left, joined) = self.moved(task, old, &before, &after);

        match to {
            Place::Slots(_) | Place::Set(_) => {
                let set = match to {
                    Place::Set(set) => {
                        self.sets.share(set);
                        set
                    }
                    _ => self.add_set(after),
                };
                let (boot_ns, visited) = (stamp.boot_ns, step.visit);
                self.tasks.put(KnownTask { task: task.into(), boot_ns, visited, raced: false, set }, old);
            }
            Place::Nowhere => {
                self.tasks.take(task.key.tid, true, stamp.boot_ns);
            }
        }
        if let Some(old) = old {
            self.drop_set(old);
        }

        for of_type in bits(joined) {
            self.namespaces.get_mut(after[of_type]).nprocs += 1;
        }
        for of_type in bits(left) {
            let nprocs = &mut self.namespaces.get_mut(before[of_type]).nprocs;
            *nprocs = nprocs.saturating_sub(1);
        }
        for (slot, &ns) in before.iter().enumerate() {
            if ns != NONE && !after.contains(&ns) {
                let known = self.namespaces.get(ns);
                if known.sets == 0 || (left & 1 << slot != 0 && known.nprocs == 0) {
                    self.released(stamp, ns, Some(task), step.causes.of_left(slot));
                }
            }
        }
        for of_type in bits(left) {
            self.tell_member(&step, before[of_type], |ns| What::Left { ns }, step.causes.of_left(of_type), out);
        }
        for of_type in bits(joined) {
            self.tell_member(&step, after[of_type], |ns| What::Joined { ns }, step.causes.of_joined(of_type), out);
        }
    }

    /// The types (as bits) whose namespace the process of the task leaves and joins.
    fn moved(&self, task: &TaskInfo, old: Option<SetId>, before: &Slots, after: &Slots) -> (u32, u32) {
        let (mut left, mut joined) = (0, 0);
        if before == after {
            return (left, joined);
        }
        // The leader of a thread, when it is not kept, is in the initial namespaces.
        let leader_initial = !task.is_leader() && self.tasks.get(task.tgid).is_none();
        let process = self.tasks.process(task.tgid);
        let has_another = |of_type: usize, ns: NsIndex, without: Option<SetId>| {
            (leader_initial && self.namespaces.get(ns).initial)
                || process.is_some_and(|p| p.has_member(&self.sets, of_type, ns, without))
        };
        for of_type in 0..TYPES {
            let (from, to) = (before[of_type], after[of_type]);
            if from != to {
                left |= u32::from(from != NONE && !has_another(of_type, from, old)) << of_type;
                joined |= u32::from(to != NONE && !has_another(of_type, to, None)) << of_type;
            }
        }
        (left, joined)
    }

    fn tell_member(
        &mut self,
        step: &Step<'_>,
        ns: NsIndex,
        what: fn(NsSeen) -> What,
        cause: Cause,
        out: &mut Vec<Change>,
    ) {
        let ns = self.namespaces.get(ns).seen();
        if step.tell == Tell::Everything || (step.tell == Tell::Foreign && !ns.initial) {
            self.log.write(out, step.stamp, what(ns), Some(step.task), Some(cause));
        }
    }

    /// One task more has the set of these namespaces.
    pub(super) fn add_set(&mut self, slots: Slots) -> SetId {
        let namespaces = &self.namespaces;
        let (set, new) = self.sets.add(slots, |ns| namespaces.get(ns).name);
        if new {
            for &ns in slots.iter().filter(|&&ns| ns != NONE) {
                self.namespaces.get_mut(ns).sets += 1;
            }
        }
        set
    }

    /// One task less has this set.
    fn drop_set(&mut self, set: SetId) {
        if self.sets.drop_one(set) {
            for ns in self.sets.get(set).slots {
                if ns != NONE {
                    let sets = &mut self.namespaces.get_mut(ns).sets;
                    *sets = sets.saturating_sub(1);
                }
            }
        }
    }

    /// While snapshots are merged every task counts, later only those that are not in the initial namespaces.
    pub(super) fn keeps_initial(&self) -> bool {
        matches!(self.phase, Phase::Snapshot { .. })
    }

    fn is_all_initial(&self, set: SetId) -> bool {
        self.sets.get(set).slots.iter().all(|&ns| ns == NONE || self.namespaces.get(ns).initial)
    }

    /// Forgets a task that refers to initial namespaces only.
    pub(super) fn forget_initial(&mut self, tid: u32) {
        if self.keeps_initial() {
            return;
        }
        if let Some((set, boot_ns)) = self.tasks.get(tid).map(|known| (known.set, known.boot_ns))
            && self.is_all_initial(set)
        {
            self.tasks.take(tid, false, boot_ns);
            self.drop_set(set);
        }
    }

    /// Takes these tasks out of `ns`, by no known way, and says where each of them was before. They are kept even if all that
    /// is known of them now is initial: where they went is not known, and their next record tells.
    pub(super) fn take_out(
        &mut self,
        stamp: Stamp,
        tids: &[u32],
        ns: NsIndex,
        out: &mut Vec<Change>,
    ) -> Vec<(TaskInfo, u64, Slots)> {
        let mut were = Vec::with_capacity(tids.len());
        for &tid in tids {
            if let Some(known) = self.tasks.get(tid) {
                let (info, boot_ns) = (known.task.info(), known.boot_ns);
                let slots = self.sets.get(known.set).slots;
                let without = slots.map(|s| if s == ns { NONE } else { s });
                self.place(stamp, &info, boot_ns, without, out);
                were.push((info, boot_ns, slots));
            }
        }
        were
    }

    /// Puts tasks that were taken out of `old` back, into its successor.
    pub(super) fn put_back(
        &mut self,
        stamp: Stamp,
        were: Vec<(TaskInfo, u64, Slots)>,
        old: NsIndex,
        successor: NsIndex,
        out: &mut Vec<Change>,
    ) {
        for (info, boot_ns, slots) in were {
            self.place(stamp, &info, boot_ns, slots.map(|s| if s == old { successor } else { s }), out);
        }
    }

    /// A task turned out to be elsewhere; that does not make what is known of it newer.
    fn place(&mut self, stamp: Stamp, info: &TaskInfo, boot_ns: u64, slots: Slots, out: &mut Vec<Change>) {
        let tid = info.key.tid;
        let old = self.tasks.get(tid).map(|known| known.set);
        let tell = if old.is_some() { Tell::Everything } else { Tell::Foreign };
        let (visit, raced) = self.tasks.get(tid).map_or((false, false), |known| (known.visited, known.raced));
        let step = Step { stamp, visit, task: info, tell, causes: Causes::UNKNOWN };
        self.settle(step, old, Place::Slots(slots), out);
        if let Some(known) = self.tasks.get_mut(tid) {
            (known.boot_ns, known.raced) = (boot_ns, raced);
        }
    }
}

/// The numbers of the bits that are set.
fn bits(of: u32) -> impl Iterator<Item = usize> {
    (0..TYPES).filter(move |bit| of & 1 << bit != 0)
}
