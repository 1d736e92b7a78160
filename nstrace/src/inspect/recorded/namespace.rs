//! One namespace as recorded, and all of a type.

use std::collections::HashMap;

use serde::Serialize;

use super::{NsRef, RecordedMember, Scene};
use crate::{
    inspect::task::CameFrom,
    model::{Namespace, NsKey},
    ns::{NsName, NsType, Slot},
};

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedNs {
    pub ns: NsRef,
    pub initial: bool,
    /// `live` with a member, else `held`. An initial one is always live.
    pub state: &'static str,
    /// The owning user namespace. None: initial, or not recorded.
    pub owner: Option<NsRef>,
    /// Parent of a pid or user namespace.
    pub parent: Option<NsRef>,
    /// Level of a pid or user namespace, 0 = initial.
    pub level: Option<u32>,
    /// Who made a user namespace, a uid in the initial user namespace.
    pub owner_uid: Option<u32>,
    /// The call that made it. None: it was there before.
    pub created: Option<CameFrom>,
    /// An nsfs file or bind mount held it.
    pub pinned: bool,
    /// Pid and user namespaces right below it.
    pub children: Vec<NsRef>,
    /// Of a user namespace: what it owns.
    pub owns: Vec<NsRef>,
    /// Of an initial namespace those only that are in some other one.
    pub members: Vec<RecordedMember>,
    /// Processes whose next children will be members.
    pub pending: Vec<u32>,
}

/// What hangs on each namespace.
#[derive(Debug, Default)]
pub(super) struct Below {
    children: HashMap<NsKey, Vec<NsName>>,
    owned: HashMap<NsKey, Vec<NsName>>,
    /// Processes by the namespace of their next children, where that is not their own.
    pending: HashMap<NsKey, Vec<u32>>,
}

impl Scene<'_> {
    /// One namespace. None: it did not live then.
    pub fn show_ns(&self, key: NsKey) -> Option<RecordedNs> {
        let ns = self.ns(Some(key))?;
        Some(self.recorded_ns(ns, &self.below()))
    }

    /// Every namespace of a type, parents before children: of pid and user namespaces; others by number.
    pub fn map(&self, ns_type: NsType) -> Vec<RecordedNs> {
        let below = self.below();
        let all: Vec<&Namespace> =
            self.world.namespaces().into_iter().filter(|ns| ns.name().ns_type == ns_type).collect();
        let is_top = |ns: &&&Namespace| ns.parent().and_then(|parent| self.world.find(parent)).is_none();
        let mut next: Vec<&Namespace> = all.iter().filter(is_top).rev().copied().collect();
        let mut rows = Vec::with_capacity(all.len());
        while let Some(ns) = next.pop() {
            let children = below.children.get(&ns.key()).into_iter().flatten().rev();
            next.extend(children.filter_map(|&name| self.world.find(name)));
            rows.push(self.recorded_ns(ns, &below));
            // A ring of parents would be a lie of the recording.
            if rows.len() > all.len() {
                break;
            }
        }
        rows
    }

    fn below(&self) -> Below {
        let mut below = Below::default();
        for ns in self.world.namespaces() {
            let key = |name: Option<NsName>| name.and_then(|name| self.world.find(name)).map(Namespace::key);
            if let Some(parent) = key(ns.parent()).filter(|&parent| parent != ns.key()) {
                below.children.entry(parent).or_default().push(ns.name());
            }
            if ns.name().ns_type != NsType::User
                && let Some(owner) = key(ns.owner())
            {
                below.owned.entry(owner).or_default().push(ns.name());
            }
        }
        for (at, slot) in Slot::ALL.into_iter().enumerate() {
            let own = slot.ns_type().index();
            for (task, slots) in self.tasks.iter().filter(|(_, slots)| slots[at] != slots[own]) {
                if let Some(next) = slots[at] {
                    below.pending.entry(next).or_default().push(task.tgid);
                }
            }
        }
        for list in below.pending.values_mut() {
            list.sort_unstable();
            list.dedup();
        }
        below
    }

    fn recorded_ns(&self, ns: &Namespace, below: &Below) -> RecordedNs {
        let name = ns.name();
        let list =
            |of: &HashMap<NsKey, Vec<NsName>>| of.get(&ns.key()).into_iter().flatten().copied().map(NsRef).collect();
        RecordedNs {
            ns: NsRef(name),
            initial: ns.is_initial(),
            state: if ns.nprocs() == Some(0) { "held" } else { "live" },
            owner: ns.owner().map(NsRef),
            parent: ns.parent().map(NsRef),
            level: if ns.is_initial() { Some(0) } else { ns.facts().and_then(|facts| facts.level) }
                .filter(|_| matches!(name.ns_type, NsType::Pid | NsType::User)),
            owner_uid: ns.facts().and_then(|facts| facts.owner_uid),
            created: self.creation(ns),
            pinned: ns.is_pinned(),
            children: list(&below.children),
            owns: list(&below.owned),
            members: self.members(ns.key()).map(|(task, _)| self.member(task)).collect(),
            pending: below.pending.get(&ns.key()).cloned().unwrap_or_default(),
        }
    }
}
