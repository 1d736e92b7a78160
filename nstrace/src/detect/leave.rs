//! NST-001 and NST-017: a contained task enters a namespace that is not of its home.

use super::{
    Direction, Found, Sight,
    catalogue::{LATERAL, LEAVE},
    switch::Switch,
    words,
};
use crate::{
    event::{SlotSet, TaskInfo, TransitionAt},
    model::{NsSeen, World},
    ns::{NsName, NsType, Slot},
};

/// `CAP_SYS_ADMIN` (linux/capability.h).
pub(super) const CAP_SYS_ADMIN: u32 = 21;

/// A task changes namespaces.
pub(super) fn transition(sight: Sight<'_>, switch: &Switch<'_>, found: &mut Vec<Found>) {
    let Switch { at, call, task, before, .. } = *switch;
    if at == TransitionAt::Copy || call.errno.is_some() || !sight.lineage.is_contained(task) {
        return;
    }
    // The pid namespace of children is where a setns to one is seen; children are born into it.
    for (ns, from) in switch.changed(sight.world) {
        let Some(direction) = direction(sight, task, &ns) else { continue };
        let rule = if direction == Direction::Leave { &LEAVE } else { &LATERAL };
        let explain = format!(
            "{} {} {}{} by {}{}",
            words::who(sight.world, task),
            match direction {
                Direction::Leave => "left its container for",
                _ => "entered another container's",
            },
            words::which(&ns),
            words::from(from),
            call.via.name(),
            powers(sight.world, task, &ns, before),
        );
        let mut one = Found::new(rule, task, explain).about(ns);
        one.direction = Some(direction);
        one.from = from;
        found.push(one);
    }
}

/// None: back to where it was, or further in.
pub(super) fn direction(sight: Sight<'_>, task: &TaskInfo, ns: &NsSeen) -> Option<Direction> {
    let Sight { lineage, .. } = sight;
    if lineage.has_been_in(task, ns.key, ns.initial) {
        return None;
    }
    let (home, owner) = (lineage.home(task), lineage.owner(ns));
    if lineage.homes.is_inside(owner, home) {
        None
    } else if lineage.homes.is_inside(home, owner) {
        Some(Direction::Leave)
    } else {
        Some(Direction::Lateral)
    }
}

/// `, with CAP_SYS_ADMIN over user:[4026531837], which owns it`.
fn powers(world: &World, task: &TaskInfo, ns: &NsSeen, slots: &SlotSet) -> String {
    let Some(owner) = owner(world, ns) else { return String::new() };
    let has = match capable(world, task, slots.get(Slot::Member(NsType::User)), owner, CAP_SYS_ADMIN) {
        true => "with",
        false => "without",
    };
    format!(", {has} CAP_SYS_ADMIN over {owner}, which owns it")
}

/// The user namespace that owns `ns`; of a user namespace itself: that.
fn owner(world: &World, ns: &NsSeen) -> Option<NsName> {
    if ns.name.ns_type == NsType::User {
        return Some(ns.name);
    }
    match world.find(ns.name).and_then(|ns| ns.owner()) {
        Some(owner) => Some(owner),
        // Initial namespaces are the initial user namespace's.
        None if ns.initial => world.initial(NsType::User).map(|ns| ns.name()),
        None => None,
    }
}

/// `ns_capable` (kernel/capability.c, `cap_capable`): whether a task whose user namespace is `own` has a capability over `target`.
pub(super) fn capable(world: &World, task: &TaskInfo, own: Option<NsName>, target: NsName, capability: u32) -> bool {
    let Some(own) = own else { return false };
    let mut at = target;
    // MAX_USER_NS_LEVEL is 32 (include/linux/user_namespace.h).
    for _ in 0..=33 {
        if at == own {
            return task.cap_effective >> capability & 1 == 1;
        }
        let Some(facts) = world.find(at).and_then(|ns| ns.facts()) else { return false };
        let Some(parent) = facts.parent.or(facts.owner) else { return false };
        // Whoever made a user namespace has all capabilities over it, from the namespace around it.
        if parent == own && facts.owner_uid == Some(task.euid) {
            return true;
        }
        at = parent;
    }
    false
}
