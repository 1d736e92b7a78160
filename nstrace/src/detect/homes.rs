//! Homes: what a container is, told without names. A home is a set of namespaces that were sealed together, by the first
//! execve(2) of a program that lies, with the root directory, in the task's own mount namespace.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::posture::Grant;
use crate::{model::NsKey, ns::NsType};

/// A home of this stream. The host is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HomeId(pub u64);

impl HomeId {
    pub const HOST: Self = Self(0);
}

/// How far a home is from the one around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grade {
    /// An own mount namespace with the root directory of the home around it: a service in a sandbox. Going back is legal.
    Sandbox,
    /// An own root directory as well: a container.
    Container,
}

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Home {
    pub grade: Grade,
    /// The home around it.
    pub parent: HomeId,
    /// File system and inode of its root directory.
    pub root: Option<(u32, u64)>,
    /// Id of the cgroup of the task that sealed it, at that moment.
    pub cgroup: u64,
    /// Everything that was in the slots of the task that sealed it, shared with others or not.
    pub set: BTreeSet<NsKey>,
    /// What it has of the host; absent in recordings of older versions.
    #[serde(default)]
    pub granted: BTreeSet<Grant>,
    /// Types of the namespaces that its tasks made since.
    #[serde(default)]
    made: BTreeSet<NsType>,
    tasks: u64,
    /// Homes inside.
    inside: u64,
}

/// All homes, and what belongs to them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Homes {
    #[serde(with = "super::pairs")]
    homes: super::Map<HomeId, Home>,
    /// Namespaces that a home sealed as the first, or that one of its tasks made. All others are the host's.
    #[serde(with = "super::pairs")]
    owners: super::Map<NsKey, HomeId>,
    last: u64,
}

impl Homes {
    /// A home is younger than the one around it, and numbers do not run out: what every walk here rests on.
    pub fn is_sound(&self) -> bool {
        const MANY: u64 = 1 << 62;
        self.last < MANY
            && self.homes.iter().all(|(id, home)| home.parent < *id && id.0 <= self.last && home.tasks < MANY)
    }

    /// The one that was sealed last; later ones are greater.
    pub fn newest(&self) -> HomeId {
        HomeId(self.last)
    }

    /// None: the host.
    pub fn get(&self, home: HomeId) -> Option<&Home> {
        self.homes.get(&home)
    }

    /// The home that a namespace is part of.
    pub fn owner(&self, ns: NsKey) -> HomeId {
        self.owners.get(&ns).copied().unwrap_or(HomeId::HOST)
    }

    /// A home that has sealed this namespace, not just made it.
    pub fn sealed_with(&self, ns: NsKey) -> Option<HomeId> {
        let owner = self.owner(ns);
        self.get(owner).filter(|home| home.set.contains(&ns)).map(|_| owner)
    }

    /// It came to be in this home after that one was sealed, and no home inside has sealed it.
    pub fn is_made_inside(&self, home: HomeId, ns: NsKey) -> bool {
        self.owner(ns) == home && self.get(home).is_some_and(|home| !home.set.contains(&ns))
    }

    /// The home inside `around` that has this root directory in this mount namespace.
    pub fn with_root(&self, around: HomeId, mnt: NsKey, root: Option<(u32, u64)>) -> Option<HomeId> {
        let is_it = |home: &Home| home.parent == around && home.root == root && home.set.contains(&mnt);
        self.homes.iter().filter(|(_, home)| is_it(home)).map(|(id, _)| *id).min()
    }

    /// A task of `home` made `ns`.
    pub fn made(&mut self, ns: NsKey, home: HomeId) {
        if home != HomeId::HOST {
            self.owners.entry(ns).or_insert(home);
        }
    }

    /// A task of `home` made a namespace of this type: the first of them all.
    pub fn is_first_of_type(&mut self, home: HomeId, ns_type: NsType) -> bool {
        self.homes.get_mut(&home).is_some_and(|home| home.made.insert(ns_type))
    }

    /// The namespace is gone.
    pub fn gone(&mut self, ns: NsKey) {
        let Some(owner) = self.owners.remove(&ns) else { return };
        if let Some(home) = self.homes.get_mut(&owner) {
            home.set.remove(&ns);
        }
    }

    /// A new home inside `parent` with these namespaces; without tasks yet. `initial` ones are in its set and stay the host's.
    pub fn seal(
        &mut self,
        parent: HomeId,
        grade: Grade,
        root: Option<(u32, u64)>,
        cgroup: u64,
        granted: BTreeSet<Grant>,
        namespaces: impl Iterator<Item = (NsKey, bool)>,
    ) -> HomeId {
        self.last += 1;
        let id = HomeId(self.last);
        let mut set = BTreeSet::new();
        for (ns, initial) in namespaces {
            set.insert(ns);
            let owner = self.owner(ns);
            // What nobody sealed before, and was made by the home around (or the host), is the new home's own.
            if !initial && self.sealed_with(ns).is_none() && (owner == HomeId::HOST || owner == parent) {
                self.owners.insert(ns, id);
            }
        }
        if let Some(parent) = self.homes.get_mut(&parent) {
            parent.inside += 1;
        }
        self.homes
            .insert(id, Home { grade, parent, root, cgroup, set, granted, made: BTreeSet::new(), tasks: 0, inside: 0 });
        id
    }

    pub fn add_task(&mut self, home: HomeId) {
        if let Some(home) = self.homes.get_mut(&home) {
            home.tasks += 1;
        }
    }

    /// A home without tasks and homes inside is forgotten; its namespaces that live on (held by descriptors or mounts) become
    /// the surrounding home's.
    pub fn drop_task(&mut self, home: HomeId) {
        if let Some(home) = self.homes.get_mut(&home) {
            home.tasks = home.tasks.saturating_sub(1);
        }
        self.sweep(home);
    }

    fn sweep(&mut self, mut id: HomeId) {
        while let Some(home) = self.homes.get(&id)
            && home.tasks == 0
            && home.inside == 0
        {
            let parent = home.parent;
            self.homes.remove(&id);
            if parent == HomeId::HOST {
                self.owners.retain(|_, owner| *owner != id);
            } else {
                self.owners.values_mut().filter(|owner| **owner == id).for_each(|owner| *owner = parent);
            }
            if let Some(around) = self.homes.get_mut(&parent) {
                around.inside = around.inside.saturating_sub(1);
            }
            id = parent;
        }
    }

    /// `inner` is inside `outer`, at any depth.
    pub fn is_inside(&self, inner: HomeId, outer: HomeId) -> bool {
        let mut at = inner;
        while at != HomeId::HOST {
            let Some(home) = self.get(at) else { return outer == HomeId::HOST };
            at = home.parent;
            if at == outer {
                return true;
            }
        }
        false
    }

    /// The homes whose namespaces a task of `home` may go back to: its own, and as long as these are sandboxes, those around.
    pub fn own(&self, home: HomeId) -> impl Iterator<Item = HomeId> + '_ {
        std::iter::successors(Some(home), |&at| {
            self.get(at).filter(|home| home.grade == Grade::Sandbox).map(|home| home.parent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MNT: NsKey = NsKey(10);
    const NET: NsKey = NsKey(11);

    fn sealed(homes: &mut Homes, parent: HomeId, grade: Grade, keys: &[NsKey]) -> HomeId {
        let home = homes.seal(parent, grade, None, 0, BTreeSet::new(), keys.iter().map(|&key| (key, false)));
        homes.add_task(home);
        home
    }

    #[test]
    fn the_first_to_seal_a_namespace_owns_it() {
        let mut homes = Homes::default();
        let a = sealed(&mut homes, HomeId::HOST, Grade::Container, &[MNT, NET]);
        let b = sealed(&mut homes, HomeId::HOST, Grade::Container, &[NsKey(12), NET]);
        assert_eq!((homes.owner(NET), homes.owner(NsKey(12))), (a, b));
        assert!(homes.get(b).expect("it has a task").set.contains(&NET));
    }

    #[test]
    fn what_a_container_makes_is_its_own_until_an_inner_one_seals_it() {
        let mut homes = Homes::default();
        let outer = sealed(&mut homes, HomeId::HOST, Grade::Container, &[MNT]);
        homes.made(NET, outer);
        assert_eq!(homes.owner(NET), outer);
        assert_eq!(homes.sealed_with(NET), None);
        let inner = sealed(&mut homes, outer, Grade::Container, &[NET]);
        assert_eq!(homes.owner(NET), inner);
        assert!(homes.is_inside(inner, outer) && homes.is_inside(inner, HomeId::HOST));
        assert!(!homes.is_inside(outer, inner));
    }

    #[test]
    fn an_empty_home_is_forgotten_with_those_around_it() {
        let mut homes = Homes::default();
        let outer = sealed(&mut homes, HomeId::HOST, Grade::Container, &[MNT]);
        let inner = sealed(&mut homes, outer, Grade::Container, &[NET]);
        homes.drop_task(outer);
        assert!(homes.get(outer).is_some(), "it has one inside");
        homes.drop_task(inner);
        assert!(homes.get(outer).is_none() && homes.get(inner).is_none());
        assert_eq!(homes.owner(NET), HomeId::HOST);
    }

    #[test]
    fn a_sandbox_may_go_back_and_a_container_may_not() {
        let mut homes = Homes::default();
        let sandbox = sealed(&mut homes, HomeId::HOST, Grade::Sandbox, &[MNT]);
        let container = sealed(&mut homes, HomeId::HOST, Grade::Container, &[NET]);
        assert_eq!(homes.own(sandbox).collect::<Vec<_>>(), [sandbox, HomeId::HOST]);
        assert_eq!(homes.own(container).collect::<Vec<_>>(), [container]);
    }
}
