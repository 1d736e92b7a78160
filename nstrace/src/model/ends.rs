//! Tasks end: by exit(2), by the execve(2) of another thread, or unseen.

use nstrace_common::slots::SLOTS;

use super::{
    Cause, Change, World,
    members::{Causes, Place, Step, Tell},
    moves::Standing,
    sets::NONE,
};
use crate::event::{SlotSet, Stamp, TaskInfo, Via};

impl World {
    /// The task is dying: it leaves everything.
    pub(super) fn exit(&mut self, stamp: Stamp, task: &TaskInfo, slots: &SlotSet, out: &mut Vec<Change>) {
        let tid = task.key.tid;
        let departed = self.tasks.departed(task.key);
        if departed.is_some_and(|d| d.exited && d.boot_ns >= stamp.boot_ns) {
            return;
        }
        let known = self.tasks.get(tid).filter(|known| known.task.is(task));
        // A visit may see a task a moment longer than it lives. A record after the end is that of another thread, which
        // took the place of the leader with execve.
        if known.is_some_and(|known| stamp.boot_ns < known.boot_ns && !known.visited) {
            return;
        }
        if known.is_none() {
            let at_rest = departed.is_some_and(|d| d.exited || d.boot_ns >= stamp.boot_ns);
            if at_rest || matches!(self.standing(stamp, task, out), Standing::Stale) || self.is_initial(slots) {
                self.tasks.depart_unless_newer(task.key, stamp.boot_ns);
                return;
            }
            let slots = self.resolve_all(stamp, slots, &{ self.initial }, &[NONE; SLOTS], |_| None, out);
            // How it got there was lost: who leaves has to have joined.
            let step = Step { stamp, visit: false, task, tell: Tell::Foreign, causes: Causes::UNKNOWN };
            self.settle(step, None, Place::Slots(slots), out);
        }
        let old = self.tasks.get(tid).map(|known| known.set);
        let step = Step { stamp, visit: false, task, tell: Tell::Foreign, causes: Causes::all(Cause::by(Via::Exit)) };
        self.settle(step, old, Place::Nowhere, out);
        self.log.containers.forget_task(tid);
        self.attempts.forget_task(tid);
    }

    /// execve(2) leaves one thread in a process, under the leader's tid and start time (de_thread). When another thread
    /// called it, the leader's exit was reported before, and no record ever ends the caller's old tid.
    pub(super) fn take_over_threads(&mut self, stamp: Stamp, task: &TaskInfo, out: &mut Vec<Change>) {
        let Some(process) = self.tasks.process(task.tgid) else { return };
        if process.tids.as_slice() == [task.key.tid] {
            return;
        }
        let mut others: Vec<u32> = process.tids.iter().copied().filter(|&tid| tid != task.key.tid).collect();
        others.retain(|&tid| self.tasks.get(tid).is_some_and(|known| known.boot_ns <= stamp.boot_ns));
        others.sort_unstable();
        let standing = self.standing(stamp, task, out);
        if self.tasks.get(task.key.tid).is_some_and(|known| !known.task.is(task)) {
            return; // about an earlier process of this pid
        }
        let mut others = others.into_iter();
        if matches!(standing, Standing::Unknown | Standing::Initial)
            && let Some(caller) = others.next()
        {
            self.tasks.rename(caller, task, stamp.boot_ns);
        }
        for tid in others {
            self.lose(stamp, tid, out);
        }
    }

    /// A task is gone, nobody knows how.
    pub(super) fn lose(&mut self, stamp: Stamp, tid: u32, out: &mut Vec<Change>) {
        if let Some((info, set)) = self.tasks.get(tid).map(|known| (known.task.info(), known.set)) {
            let step = Step { stamp, visit: false, task: &info, tell: Tell::Foreign, causes: Causes::UNKNOWN };
            self.settle(step, Some(set), Place::Nowhere, out);
            self.log.containers.forget_task(tid);
            self.attempts.forget_task(tid);
        }
    }
}
