//! What the lines lead to against what the kernel says, at a moment when nobody acts.
//!
//! Others may use this machine, and the kernel frees namespaces when it gets round to it: so the caller looks again and
//! again, and only what differs every time is a divergence. Each difference is one sentence that stays the same.

use std::collections::BTreeSet;

use crate::{
    census::Census,
    lives::{Lives, Name},
    walk::Walk,
};

fn show((ns_type, inum): &Name) -> String {
    format!("{ns_type}:[{inum}]")
}

/// Lines against /proc. `hidden`: what messages and rings keep; None for holders when nstrace cannot see pins here.
pub fn with_walk(lives: &Lives, walk: &Walk, hidden: Option<&BTreeSet<Name>>) -> BTreeSet<String> {
    let mut differences = BTreeSet::new();
    for name in walk.seen.iter().filter(|name| !lives.living.contains_key(name)) {
        differences.insert(format!("{} lives by /proc, and by no line", show(name)));
    }
    let nobody = BTreeSet::new();
    let hidden_mounts = lives.living.iter().any(|((ns_type, _), life)| *ns_type == "mnt" && life.members.is_empty());
    for (name, life) in lives.living.iter().filter(|(_, life)| !life.initial) {
        let members = walk.members.get(name).unwrap_or(&nobody);
        for pid in life.members.difference(members).filter(|pid| !walk.unreadable.contains(pid)) {
            differences.insert(format!("{pid} is a member of {} by the lines, not by /proc", show(name)));
        }
        let unnamed = members.difference(&life.members).count() as u64;
        if unnamed != life.unnamed {
            let whom =
                if life.unnamed == 0 { format!("{:?}", members.difference(&life.members)) } else { String::new() };
            differences.insert(format!(
                "{} has {unnamed} members by /proc that no line named, {} by the snapshot {whom}",
                show(name),
                life.unnamed
            ));
        }
        if let Some(hidden) = hidden {
            let held = walk.held.contains(name) || hidden.contains(name);
            if held && !life.pinned {
                differences.insert(format!("{} is held by a file or mount, and by no line", show(name)));
            }
            // In a mount namespace without members nobody can look by /proc.
            if life.pinned && !held && !hidden_mounts {
                differences.insert(format!("{} is pinned by the lines, but nothing holds it", show(name)));
            }
        }
    }
    differences
}

/// Lines against the census. `all`: the kernel lists every namespace, so what is not in there does not live. `before`: the census
/// before the watch, whose snapshot has what tasks and files lead to. `early_ends`: what sockets and the like alone hold was told as
/// ended.
pub fn with_census(
    lives: &Lives,
    census: &Census,
    all: bool,
    before: &Census,
    early_ends: Option<&Walk>,
) -> BTreeSet<String> {
    let mut differences = BTreeSet::new();
    let ended_early = |name: &Name, id: &Option<u64>| {
        early_ends.is_some_and(|walk| !walk.seen.contains(name)) && id.is_some_and(|id| lives.has_ended(id))
    };
    for (name, id) in &census.living {
        match lives.living.get(name) {
            None if before.living.get(name) == Some(id) || ended_early(name, id) => {}
            None => {
                differences.insert(format!("{} id {id:?} lives by the census, and by no line", show(name)));
            }
            Some(life) if life.id != *id => {
                differences.insert(format!("{} has id {id:?} by the census, {:?} by the lines", show(name), life.id));
            }
            Some(_) => {}
        }
    }
    for (name, life) in
        lives.living.iter().filter(|(name, life)| all && !life.initial && !census.living.contains_key(*name))
    {
        differences.insert(format!("{} id {:?} lives by the lines, not by the census", show(name), life.id));
    }
    differences
}
