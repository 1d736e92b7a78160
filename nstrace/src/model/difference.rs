//! What came and went between two states of the world. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Namespace, NsKey, World};
use crate::{event::Comm, ns::NsName};

/// A process that is in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub pid: u32,
    /// Of its leader, or of the thread with the lowest number in that namespace.
    pub comm: Comm,
    pub uid: u32,
    start_boottime: u64,
}

/// A namespace with who and what was in it or held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub name: NsName,
    /// By PID.
    pub members: Vec<Member>,
    /// A nsfs file or bind mount holds it.
    pub pinned: bool,
}

/// A namespace that is in both worlds, but not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub name: NsName,
    pub came: Vec<Member>,
    pub went: Vec<Member>,
    /// Whether a nsfs file or bind mount holds it, before and after.
    pub pinned: (bool, bool),
}

/// Everything that differs. Members are those of namespaces other than the initial ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub came: Vec<State>,
    pub went: Vec<State>,
    pub changed: Vec<Changed>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty() && self.changed.is_empty()
    }

    /// From `before` to `after`. `same_stream`: both are of one recording, so that its keys tell namespaces apart; else their
    /// names have to do.
    pub fn between(before: &World, after: &World, same_stream: bool) -> Self {
        let (mut before, after) = (states(before, same_stream), states(after, same_stream));
        let mut difference = Self::default();
        for (identity, after) in after {
            match before.remove(&identity) {
                None => difference.came.push(after),
                Some(before) => difference.changed.extend(changed(&before, &after)),
            }
        }
        difference.went = before.into_values().collect();
        difference.went.sort_unstable_by_key(|state| order(state.name));
        difference.came.sort_unstable_by_key(|state| order(state.name));
        difference.changed.sort_unstable_by_key(|state| order(state.name));
        difference
    }
}

fn order(name: NsName) -> (usize, u32, Option<u64>) {
    (name.ns_type.index(), name.inum, name.id)
}

/// A key of the stream, and a name where that is no identity.
type Identity = (Option<NsKey>, Option<(usize, u32, Option<u64>)>);

fn states(world: &World, same_stream: bool) -> BTreeMap<Identity, State> {
    let identity = |ns: &Namespace| {
        if same_stream { (Some(ns.key()), None) } else { (None, Some(order(ns.name()))) }
    };
    let mut members: BTreeMap<NsKey, BTreeMap<u32, Member>> = BTreeMap::new();
    for (task, spaces) in world.tasks() {
        let member = Member { pid: task.tgid, comm: task.comm, uid: task.uid, start_boottime: task.key.start_boottime };
        for key in spaces.into_iter().flatten() {
            let known = members.entry(key).or_default().entry(task.tgid).or_insert(member);
            if task.is_leader() {
                *known = member;
            }
        }
    }
    let mut states = BTreeMap::new();
    for ns in world.namespaces() {
        let members = members.remove(&ns.key()).filter(|_| !ns.is_initial()).unwrap_or_default();
        let members = members.into_values().collect();
        states.insert(identity(ns), State { name: ns.name(), members, pinned: ns.is_pinned() });
    }
    states
}

fn changed(before: &State, after: &State) -> Option<Changed> {
    let identity = |member: &Member| (member.pid, member.start_boottime);
    let old: BTreeSet<_> = before.members.iter().map(identity).collect();
    let new: BTreeSet<_> = after.members.iter().map(identity).collect();
    let came: Vec<Member> = after.members.iter().filter(|member| !old.contains(&identity(member))).copied().collect();
    let went: Vec<Member> = before.members.iter().filter(|member| !new.contains(&identity(member))).copied().collect();
    let pinned = (before.pinned, after.pinned);
    let is_same = came.is_empty() && went.is_empty() && pinned.0 == pinned.1;
    (!is_same).then_some(Changed { name: after.name, came, went, pinned })
}
