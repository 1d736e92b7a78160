//! NST-012, NST-013, NST-016: what no legal call does.

use super::{
    Direction, Found, Sight,
    catalogue::{FORGED, ID_MAP, MISMATCH},
    lineage::seen,
    words,
};
use crate::{
    deed::{Act, Deed},
    event::{Call, SlotSet, TaskInfo, TransitionAt, Via},
    ns::Slot,
};

/// Namespaces were switched by none of the calls that switch them.
pub(super) fn transition(
    sight: Sight<'_>,
    at: TransitionAt,
    call: &Call,
    task: &TaskInfo,
    before: &SlotSet,
    after: &SlotSet,
    found: &mut Vec<Found>,
) {
    let is_switch = matches!(at, TransitionAt::Switch | TransitionAt::Creds);
    let is_legal =
        matches!(call.via, Via::Setns | Via::Unshare | Via::Clone | Via::Clone3 | Via::Fork | Via::Exec | Via::Exit);
    // Kernel threads that run a program for the kernel set up credentials of their own.
    if !is_switch || is_legal || task.is_kernel_thread() {
        return;
    }
    for slot in Slot::ALL {
        let Some(name) = after.get(slot).filter(|&name| before.get(slot) != Some(name)) else { continue };
        let Some(ns) = seen(sight.world, name) else { continue };
        let explain = format!(
            "{} was put into {}{} though it called none of setns, unshare, clone and execve",
            words::who(sight.world, task),
            words::which(&ns),
            words::from(before.get(slot)),
        );
        let mut one = Found::new(&FORGED, task, explain).about(ns);
        one.direction = Some(Direction::Forged);
        one.from = before.get(slot);
        found.push(one);
    }
}

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let who = words::who(sight.world, &deed.task);
    match deed.act {
        Act::Credentials => {
            let explain = format!(
                "{who} was given the capabilities {:#x} instead of {:#x} though it called none of execve, set*id and capset",
                deed.number, deed.task.cap_effective
            );
            found.push(Found::new(&FORGED, &deed.task, explain).with_object(deed.number));
        }
        Act::Mismatch => {
            let explain = format!("the namespaces of {who} are not those that its last transition left");
            found.push(Found::new(&MISMATCH, &deed.task, explain));
        }
        Act::IdMap if deed.call.errno.is_none() && deed.task.uid != 0 && deed.number & 0xffff_ffff == 0 => {
            let kind = if deed.flags & 1 == 0 { "uid" } else { "gid" };
            let explain = format!(
                "{who}, whose uid is {}, mapped {} {kind}s of the host from 0 on: root is among them",
                deed.task.uid,
                deed.number >> 32
            );
            found.push(Found::new(&ID_MAP, &deed.task, explain).with_object(deed.number));
        }
        _ => {}
    }
}
