//! The namespaces that a record shows a task in, beside those that the last one left it in. Every call that moves a task is told
//! where it takes effect, so a difference is either a record that was lost or a write to kernel memory.

use super::{
    World,
    sets::{NONE, SetId},
};
use crate::{
    deed::{Act, Deed},
    event::{Event, SlotSet, Stamp, TaskInfo, TransitionAt, Via},
    ns::{NsName, NsType, Slot},
};

/// A task is not where its last transition left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub task: TaskInfo,
    /// Boot time of the last record that showed where it was.
    pub since: u64,
    /// What the slots that differ hold, and what they held.
    pub slots: Vec<(NsName, NsName)>,
}

impl Mismatch {
    /// All that the task is in now.
    pub(super) fn now(&self) -> SlotSet {
        let mut now = SlotSet::default();
        for (name, _) in &self.slots {
            now.set(Slot::Member(name.ns_type), Some(*name));
        }
        now
    }
}

/// Slots that change by a call only. The time namespace follows that for children at execve(2), which some hooks tell late.
const COMPARED: [Slot; 7] = [
    Slot::Member(NsType::Mnt),
    Slot::Member(NsType::Pid),
    Slot::Member(NsType::Net),
    Slot::Member(NsType::Ipc),
    Slot::Member(NsType::Uts),
    Slot::Member(NsType::User),
    Slot::Member(NsType::Cgroup),
];

impl World {
    /// What `event`, which has not been taken in yet, shows of a task against what is known of it. None: nothing, or the task is
    /// not known, or what is known of it is not beyond doubt.
    pub(super) fn mismatch(&self, stamp: Stamp, event: &Event) -> Option<Mismatch> {
        let (task, now, compared) = self.shown(event)?;
        // Kernel threads set themselves up to run programs for the kernel.
        if task.is_kernel_thread() {
            return None;
        }
        let known = self.tasks.get(task.key.tid).filter(|known| known.task.is(task))?;
        if known.raced || stamp.boot_ns < known.boot_ns {
            return None;
        }
        // Nearly always.
        if self.sets.matches(known.set, now) {
            return None;
        }
        let slots: Vec<_> = self.differing(known.set, now, compared).collect();
        (!slots.is_empty()).then_some(Mismatch { task: *task, since: known.boot_ns, slots })
    }

    /// Which of these slots hold something else in a record than in a set, and what in each of them. What only one of them
    /// knows is no difference.
    fn differing<'a>(
        &'a self,
        set: SetId,
        now: &'a SlotSet,
        compared: &'a [Slot],
    ) -> impl Iterator<Item = (NsName, NsName)> + 'a {
        let slots = &self.sets.get(set).slots;
        Slot::ALL.into_iter().zip(slots).filter(|(slot, _)| compared.contains(slot)).filter_map(|(slot, &at)| {
            let name = now.get(slot)?;
            let was = (at != NONE).then(|| self.namespaces.get(at).name())?;
            let is_other = was.inum != name.inum || was.id.zip(name.id).is_some_and(|(a, b)| a != b);
            is_other.then_some((name, was))
        })
    }

    /// Where a task is that runs while the record is written, and which slots say so.
    fn shown<'e>(&self, event: &'e Event) -> Option<(&'e TaskInfo, &'e SlotSet, &'static [Slot])> {
        match event {
            // One transition may be told by two hooks, and then the task is already where it leads to; as far as that is
            // known: a number that a census or an end has given another meaning since leaves its slot empty.
            Event::Transition { at, call, task, before, after, .. }
                if *at != TransitionAt::Copy && call.via != Via::Exec =>
            {
                let known = self.tasks.get(task.key.tid)?;
                self.differing(known.set, after, &Slot::ALL).next()?;
                Some((task, before, &COMPARED[..]))
            }
            // A thread that is not the leader goes on as the leader, which may have been elsewhere.
            Event::Exec { task, slots, former_tid: None } => Some((task, slots, &COMPARED)),
            Event::Exit { task, slots } => Some((task, slots, &COMPARED)),
            // A child that asks for nothing is where its creator is.
            Event::Fork { call, creator, slots, .. } if call.via == Via::Fork => Some((creator, slots, WITHOUT_PID)),
            Event::Deed(deed) if is_by_itself(deed) => Some((&deed.task, &deed.slots, &COMPARED)),
            _ => None,
        }
    }
}

/// Of a child the pid namespace is the one that its creator has for children.
const WITHOUT_PID: &[Slot] = &[
    Slot::Member(NsType::Mnt),
    Slot::Member(NsType::Net),
    Slot::Member(NsType::Ipc),
    Slot::Member(NsType::Uts),
    Slot::Member(NsType::User),
    Slot::Member(NsType::Cgroup),
];

/// The task was running in a call of its own. A worker of an io_uring speaks for the leader of its process, who may be in the
/// middle of a move; a program that the kernel runs is started by whoever happens to run; execve(2) changes what a task is.
pub(crate) fn is_by_itself(deed: &Deed) -> bool {
    deed.act != Act::Helper && !matches!(deed.call.via, Via::Exec | Via::Kernel | Via::Unknown)
}
