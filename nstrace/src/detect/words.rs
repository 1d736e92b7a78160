//! The words of explanations.

use crate::{
    event::TaskInfo,
    model::{NsSeen, World},
    ns::NsName,
};

/// `sh (pid 4321) of container 3c9f…`. Hostile.
pub(super) fn who(world: &World, task: &TaskInfo) -> String {
    let container = world.container(task).map(|c| format!(" of {} container {}", c.runtime, c.id)).unwrap_or_default();
    format!("{} (pid {}){container}", task.comm.to_string_lossy(), task.tgid)
}

/// `the initial net:[4026531840]`, `net:[4026532177]`.
pub(super) fn which(ns: &NsSeen) -> String {
    if ns.initial { format!("the initial {}", ns.name) } else { ns.name.to_string() }
}

/// `12 ms`, `3.4 s`.
pub(super) fn age(nanoseconds: u64) -> String {
    match nanoseconds / 1_000_000 {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

/// ` from net:[…]`, or nothing.
pub(super) fn from(ns: Option<NsName>) -> String {
    ns.map(|ns| format!(" from {ns}")).unwrap_or_default()
}
