//! NST-012, NST-016: what no legal call does.

use super::{
    Direction, Found, Sight,
    catalogue::{FORGED, ID_MAP},
    switch::Switch,
    words,
};
use crate::{
    deed::{Act, Deed},
    event::{TransitionAt, Via},
};

/// Namespaces were switched by none of the calls that switch them.
pub(super) fn transition(sight: Sight<'_>, switch: &Switch<'_>, found: &mut Vec<Found>) {
    let Switch { at, call, task, .. } = *switch;
    let is_switch = matches!(at, TransitionAt::Switch | TransitionAt::Creds);
    let is_legal =
        matches!(call.via, Via::Setns | Via::Unshare | Via::Clone | Via::Clone3 | Via::Fork | Via::Exec | Via::Exit);
    // Kernel threads that run a program for the kernel set up credentials of their own.
    if !is_switch || is_legal || task.is_kernel_thread() {
        return;
    }
    for (ns, from) in switch.changed(sight.world) {
        let explain = format!(
            "{} was put into {}{} though it called none of setns, unshare, clone and execve",
            words::who(sight.world, task),
            words::which(&ns),
            words::from(from),
        );
        let mut one = Found::new(&FORGED, task, explain).about(ns);
        one.direction = Some(Direction::Forged);
        one.from = from;
        found.push(one);
    }
}

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let who = || words::who(sight.world, &deed.task);
    match deed.act {
        Act::Credentials => {
            let explain = format!(
                "{} was given the capabilities {:#x} instead of {:#x} though it called none of execve, set*id and capset",
                who(),
                deed.number,
                deed.task.cap_effective
            );
            found.push(Found::new(&FORGED, &deed.task, explain).with_object(deed.number));
        }
        Act::IdMap if deed.task.uid != 0 && deed.number & 0xffff_ffff == 0 => {
            let kind = if deed.flags & 1 == 0 { "uid" } else { "gid" };
            let explain = format!(
                "{}, whose uid is {}, mapped {} {kind}s of the host from 0 on: root is among them",
                who(),
                deed.task.uid,
                deed.number >> 32
            );
            found.push(Found::new(&ID_MAP, &deed.task, explain).with_object(deed.number));
        }
        _ => {}
    }
}
