//! Calls that asked for a namespace and were refused.

use std::collections::VecDeque;

use super::{Change, FixedMap, NsSeen, What, World};
use crate::{
    event::{Call, Stamp, TaskInfo, TaskKey, Via},
    ns::{NsName, NsType},
};

/// Refusals remembered, to know the same record when it comes again.
const REMEMBERED: usize = 64;

/// Failing installs whose call has not returned yet. Each task has at most one; more than this are leftovers of lost returns.
const INSTALLS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The namespace that a running setns(2) was refused.
    pub(super) refused: FixedMap<u32, (TaskKey, NsName, u64)>,
    pub(super) reported: VecDeque<(TaskKey, u64)>,
}

impl Attempts {
    pub fn forget_task(&mut self, tid: u32) {
        if !self.refused.is_empty() {
            self.refused.remove(&tid);
        }
    }
}

/// ERESTARTSYS to ERESTART_RESTARTBLOCK (include/linux/errno.h): a signal interrupted the call, which nobody sees return. It
/// is made again, or ends with its task.
const RESTARTS: std::ops::RangeInclusive<i32> = 512..=516;

impl World {
    /// setns(2) was refused one namespace. Recordings of earlier versions tell what was permitted, too: the transition that follows
    /// says more.
    pub(super) fn installed(
        &mut self,
        stamp: Stamp,
        call: &Call,
        task: &TaskInfo,
        name: NsName,
        out: &mut Vec<Change>,
    ) {
        let seen_again = |&(key, at): &(TaskKey, u64)| key == task.key && at >= stamp.boot_ns;
        if call.errno.is_none() || self.attempts.reported.iter().any(seen_again) {
            return;
        }
        self.resolve(stamp, name, None, out);
        if self.attempts.refused.len() >= INSTALLS {
            self.attempts.refused.clear();
        }
        self.attempts.refused.insert(task.key.tid, (task.key, name, stamp.boot_ns));
    }

    pub(super) fn returned(&mut self, stamp: Stamp, call: &Call, task: &TaskInfo, out: &mut Vec<Change>) {
        if call.errno.is_some_and(|errno| RESTARTS.contains(&errno)) {
            return;
        }
        if call.errno.is_some() {
            self.denied(stamp, call, task, out);
        } else if self.attempts.refused.get(&task.key.tid).is_some_and(|&(.., at)| at < stamp.boot_ns) {
            self.attempts.forget_task(task.key.tid);
        }
    }

    /// One line per type asked for. setns(2) names at most one namespace that it was refused.
    pub(super) fn denied(&mut self, stamp: Stamp, call: &Call, task: &TaskInfo, out: &mut Vec<Change>) {
        let once = (task.key, stamp.boot_ns);
        if self.attempts.reported.contains(&once) {
            return;
        }
        let asked = NsType::ALL.into_iter().filter(|t| call.flags & t.clone_flag() != 0);
        let mut lines: Vec<(Option<NsType>, Option<NsSeen>)> = Vec::new();
        match call.via {
            Via::Setns => match self.attempts.refused.remove(&task.key.tid) {
                Some((key, name, _)) if key.same_task(task.key) => {
                    lines.push((Some(name.ns_type), self.find(name).map(super::Namespace::seen)));
                }
                _ => {
                    lines.extend(asked.map(|t| (Some(t), None)));
                    if lines.is_empty() {
                        lines.push((None, None));
                    }
                }
            },
            Via::Unshare | Via::Clone | Via::Clone3 => lines.extend(asked.map(|t| (Some(t), None))),
            _ => {}
        }
        if lines.is_empty() {
            return;
        }
        if self.attempts.reported.len() >= REMEMBERED {
            self.attempts.reported.pop_front();
        }
        self.attempts.reported.push_back(once);
        for (ns_type, ns) in lines {
            self.log.write(out, stamp, What::Denied { ns_type, ns }, Some(task), Some(call.into()));
        }
    }
}
