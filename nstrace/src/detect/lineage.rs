//! Which home each task is of: inherited by fork, given by the first execve(2) in an own mount namespace, never cleared.

use serde::{Deserialize, Serialize};

use super::{
    homes::{Grade, Home, HomeId, Homes},
    posture,
};
use crate::{
    deed::{Mounted, Place, Placed},
    event::{Call, Event, SlotSet, TaskInfo, TaskKey},
    model::{Change, NsKey, NsSeen, What, World},
    ns::{NsName, NsType, Slot},
};

const SLOTS: usize = nstrace_common::slots::SLOTS;

/// A task that is of some home. All others are the host's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sealed {
    pub key: TaskKey,
    pub home: HomeId,
    /// Where it, or who it descends from, was when it became one of this home.
    arrived: [Option<NsKey>; SLOTS],
    /// What its last transition led to: a second record of the same says nothing new.
    after: Option<Box<SlotSet>>,
    /// By its last execve(2), or that of who it descends from.
    #[serde(default)]
    powers: Option<Powers>,
    /// The capabilities that it can have at most, until its next execve(2) or change of user namespace: no other call gives more
    /// than is permitted (capabilities(7)).
    #[serde(default)]
    limit: Option<u64>,
}

/// What a task may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Powers {
    /// Over its own user namespace, bit n = capability n (capabilities(7)).
    pub permitted: u64,
    pub bounding: u64,
    /// 0 off, 1 strict, 2 filter (seccomp(2)).
    pub seccomp: Option<u32>,
    pub no_new_privs: Option<bool>,
}

impl From<&Placed> for Powers {
    fn from(placed: &Placed) -> Self {
        Self {
            permitted: placed.cap_permitted,
            bounding: placed.cap_bounding,
            seccomp: placed.seccomp,
            no_new_privs: placed.no_new_privs,
        }
    }
}

/// A task of a container or sandbox, as the world knows it.
#[derive(Clone, Copy, Debug)]
pub struct Contained {
    pub task: TaskInfo,
    /// Tells one home from another.
    pub home: u64,
    /// Its home is a sandbox.
    pub sandbox: bool,
    /// By [`NsType::index`]; None: not known.
    pub namespaces: [Option<NsSeen>; NsType::ALL.len()],
    pub powers: Option<Powers>,
}

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lineage {
    pub homes: Homes,
    #[serde(with = "super::pairs")]
    tasks: super::Map<u32, Sealed>,
}

/// More tasks than pid_max allows cannot live: those beyond are dead, and left without a record.
const MANY: usize = 1 << 22;

fn keys(world: &World, slots: &SlotSet) -> [Option<NsKey>; SLOTS] {
    Slot::ALL.map(|slot| slots.get(slot).and_then(|name| world.find(name)).map(|ns| ns.key()))
}

/// The namespace that a name stands for, with what lines say of it.
pub(super) fn seen(world: &World, name: NsName) -> Option<NsSeen> {
    world.find(name).map(|ns| NsSeen { key: ns.key(), name: ns.name(), initial: ns.is_initial() })
}

/// The namespace of this type that a task with these slots is a member of.
pub(super) fn seen_in(world: &World, slots: &SlotSet, ns_type: NsType) -> Option<NsSeen> {
    slots.get(Slot::Member(ns_type)).and_then(|name| seen(world, name))
}

impl Lineage {
    /// None: a task of the host, sealed by nothing.
    pub fn get(&self, task: &TaskInfo) -> Option<&Sealed> {
        self.tasks.get(&task.key.tid).filter(|known| known.key.same_task(task.key))
    }

    /// The home of a task.
    pub fn home(&self, task: &TaskInfo) -> HomeId {
        self.get(task).map_or(HomeId::HOST, |known| known.home)
    }

    /// The task is of a container: not of the host, and of no sandbox of the host.
    pub fn is_contained(&self, task: &TaskInfo) -> bool {
        self.homes.own(self.home(task)).all(|home| home != HomeId::HOST)
    }

    /// A child goes on where its creator is.
    pub fn forked(&mut self, call: &Call, creator: &TaskInfo, child: &TaskInfo) {
        let Some(sealed) = self.get(creator).cloned() else { return };
        // Over a user namespace of its own a task has all capabilities.
        let limit = sealed.limit.filter(|_| call.flags & NsType::User.clone_flag() == 0);
        self.put(child, Sealed { key: child.key, after: None, limit, ..sealed });
    }

    /// The capabilities that a task can have at most.
    pub fn limit(&self, task: &TaskInfo) -> Option<u64> {
        self.get(task)?.limit
    }

    /// It has these all the same.
    pub fn raise_limit(&mut self, task: &TaskInfo, capabilities: u64) {
        if let Some(limit) = self.get_mut(task).and_then(|known| known.limit.as_mut()) {
            *limit |= capabilities;
        }
    }

    /// What gave more may have been lost.
    pub fn forget_limits(&mut self) {
        self.tasks.values_mut().for_each(|known| known.limit = None);
    }

    fn get_mut(&mut self, task: &TaskInfo) -> Option<&mut Sealed> {
        self.tasks.get_mut(&task.key.tid).filter(|known| known.key.same_task(task.key))
    }

    /// After execve(2) by a thread that was not the leader the leader's entry is this thread's.
    pub fn took_over(&mut self, former_tid: u32, task: &TaskInfo) {
        // Not by way of `put`: the home keeps this task, it only has another name.
        if let Some(sealed) = self.tasks.remove(&former_tid)
            && let Some(leader) = self.tasks.insert(task.key.tid, Sealed { key: task.key, ..sealed })
        {
            self.homes.drop_task(leader.home);
        }
    }

    pub fn exited(&mut self, task: &TaskInfo) {
        if let Some(sealed) = self.get(task)
            && let home = sealed.home
            && self.tasks.remove(&task.key.tid).is_some()
        {
            self.homes.drop_task(home);
        }
    }

    /// Forgets tasks.
    pub fn forget(&mut self, gone: impl Fn(TaskKey) -> bool) {
        let homes = &mut self.homes;
        self.tasks.retain(|_, known| {
            let gone = gone(known.key);
            if gone {
                homes.drop_task(known.home);
            }
            !gone
        });
    }

    /// A task goes on with these namespaces. False: that is known, from another hook at the same place.
    pub fn moved(&mut self, world: &World, task: &TaskInfo, before: &SlotSet, after: &SlotSet) -> bool {
        // Of a task that is in initial namespaces only nothing is told, execve(2) neither.
        let unseen = || before.iter().all(|(_, name)| seen(world, name).is_some_and(|ns| ns.initial));
        match self.get_mut(task) {
            Some(known) if known.after.as_deref() == Some(after) => false,
            Some(known) => {
                known.after = Some(Box::new(*after));
                let user = Slot::Member(NsType::User);
                known.limit = known.limit.filter(|_| before.get(user) == after.get(user) && !unseen());
                true
            }
            None => true,
        }
    }

    /// Who made the namespaces that came to be. One that shows without its maker is taken for the work of whoever is first seen
    /// in it: a maker whose call has not returned yet is of the same home as who can enter what it made.
    pub fn learn_makers(&mut self, event: &Event, changes: &[Change]) {
        let seen_in = match event {
            Event::Transition { task, .. } | Event::Fork { creator: task, .. } => Some(task),
            _ => None,
        };
        for change in changes {
            if let What::Created { ns, .. } = &change.what
                && let Some(task) = change.task.as_ref().or(seen_in)
            {
                self.homes.made(ns.key, self.home(task));
            }
        }
    }

    /// The task has been in this namespace, or its home has.
    pub fn has_been_in(&self, task: &TaskInfo, ns: NsKey, initial: bool) -> bool {
        let Some(known) = self.get(task) else { return true };
        known.arrived.contains(&Some(ns))
            || self.homes.own(known.home).any(|home| match self.homes.get(home) {
                Some(home_of) => home_of.set.contains(&ns) || self.homes.owner(ns) == home,
                None => initial || self.homes.owner(ns) == HomeId::HOST,
            })
    }

    /// The home that a namespace belongs to, an initial one to the host.
    pub fn owner(&self, ns: &NsSeen) -> HomeId {
        if ns.initial { HomeId::HOST } else { self.homes.owner(ns.key) }
    }

    /// What a task executes, and where, makes it one of a home: of the one that sealed its mount namespace, or of a new one. True:
    /// of a new one.
    pub fn placed(&mut self, world: &World, placed: &Placed) -> bool {
        let limit = Some(placed.cap_permitted);
        if let Some(known) = self.get_mut(&placed.task) {
            known.limit = limit;
        }
        let Some(mnt) = seen_in(world, &placed.slots, NsType::Mnt).filter(|mnt| !mnt.initial) else { return false };
        let is_own = |place: &Option<Place>| match place.as_ref().map(|place| place.mounted) {
            Some(Mounted::In(ns)) => ns.inum == mnt.name.inum,
            Some(Mounted::Detached | Mounted::Internal) => false,
            Some(Mounted::Unknown) | None => true,
        };
        // A runtime that runs a program of its own inside the container's mount namespace is still the runtime. With a root directory
        // of its own, and nobody before it, it is the container's first program, wherever that lies.
        let is_first = || {
            placed.root.is_some_and(|root| !root.host_root)
                && matches!(placed.exe.map(|exe| exe.mounted), Some(Mounted::In(_)))
                && self.homes.sealed_with(mnt.key).is_none()
        };
        if !is_own(&placed.root) || !is_own(&placed.exe) && !is_first() {
            return false;
        }
        if let Some(known) = self.get_mut(&placed.task) {
            known.powers = Some(placed.into());
        }
        let before = self.home(&placed.task);
        let around = if before == HomeId::HOST { self.around(world, placed) } else { before };
        let is_settled = |home: &Home| home.grade == Grade::Container && home.set.contains(&mnt.key);
        if self.homes.get(before).is_some_and(is_settled) {
            return false;
        }
        let newest = self.homes.newest();
        let home = match self.homes.sealed_with(mnt.key) {
            Some(home) => self.inside(world, home, mnt.key, placed),
            None => self.found(world, around, placed),
        };
        if home == before {
            return false;
        }
        let arrived = keys(world, &placed.slots);
        self.put(
            &placed.task,
            Sealed { key: placed.task.key, home, arrived, after: None, powers: Some(placed.into()), limit },
        );
        home > newest
    }

    /// Of this task, unless it is the host's: its home, whether that is a sandbox, and what it may do.
    pub fn contained(&self, task: &TaskInfo) -> Option<(u64, bool, Option<Powers>)> {
        let known = self.get(task)?;
        let home = self.homes.get(known.home)?;
        Some((known.home.0, home.grade == Grade::Sandbox, known.powers))
    }

    /// What the home of a task has of the host; None: it is in none.
    pub fn granted(&self, task: &TaskInfo) -> Option<&std::collections::BTreeSet<posture::Grant>> {
        self.homes.get(self.home(task)).map(|home| &home.granted)
    }

    /// The home around a task whose forbears were not seen: that of its pid namespace's parent.
    fn around(&self, world: &World, placed: &Placed) -> HomeId {
        let pid = placed.slots.get(Slot::Member(NsType::Pid)).and_then(|name| world.find(name));
        let parent = pid.and_then(|pid| pid.parent()).and_then(|name| world.find(name));
        parent.map_or(HomeId::HOST, |parent| self.homes.owner(parent.key()))
    }

    /// Of a sandbox's tasks those that got a root directory of their own, by pivot_root(2) or chroot(2), are a container inside it:
    /// a container that is made by one program after the other starts as a sandbox.
    fn inside(&mut self, world: &World, home: HomeId, mnt: NsKey, placed: &Placed) -> HomeId {
        let Some(place) = placed.root.as_ref().filter(|root| !root.host_root) else { return home };
        let root = Some((place.dev, place.ino));
        match self.homes.get(home) {
            Some(sandbox) if sandbox.grade == Grade::Sandbox && sandbox.root != root => {
                self.homes.with_root(home, mnt, root).unwrap_or_else(|| self.found(world, home, placed))
            }
            _ => home,
        }
    }

    /// A new home.
    fn found(&mut self, world: &World, around: HomeId, placed: &Placed) -> HomeId {
        let root = placed.root.as_ref().map(|root| (root.dev, root.ino));
        let same_root = match self.homes.get(around) {
            None => placed.root.is_some_and(|root| root.host_root),
            Some(home) => root.is_some() && home.root == root,
        };
        let grade = if same_root { Grade::Sandbox } else { Grade::Container };
        let namespaces = placed.slots.iter().filter_map(|(_, name)| seen(world, name));
        let granted = posture::granted(world, placed);
        let namespaces = namespaces.map(|ns| (ns.key, ns.initial));
        self.homes.seal(around, grade, root, placed.task.cgroup, granted, namespaces)
    }

    fn put(&mut self, task: &TaskInfo, sealed: Sealed) {
        if self.tasks.len() >= MANY {
            self.tasks.clear();
            self.homes = Homes::default();
        }
        self.homes.add_task(sealed.home);
        if let Some(old) = self.tasks.insert(task.key.tid, sealed) {
            self.homes.drop_task(old.home);
        }
    }
}
