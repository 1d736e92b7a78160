//! The namespaces that live, one entry per generation of an inode number.

use serde::{Deserialize, Serialize};

use super::{FixedMap, NsKey, NsSeen, sets::NsIndex, tasks::CompactTask};
use crate::{
    event::{NsFacts, PinHolder, TaskInfo, Via},
    ns::NsName,
};

/// How a namespace came to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Creation {
    /// CLOCK_BOOTTIME of the record that published it.
    pub boot_ns: u64,
    pub via: Via,
    /// `CLONE_*` flags of the call.
    pub flags: u64,
    task: CompactTask,
}

impl Creation {
    pub(super) fn new(boot_ns: u64, via: Via, flags: u64, task: &TaskInfo) -> Self {
        Self { boot_ns, via, flags, task: task.into() }
    }

    /// The caller of the call that made it.
    pub fn task(&self) -> TaskInfo {
        self.task.info()
    }
}

/// A reference to a namespace that was let go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Release {
    pub boot_ns: u64,
    pub task: Option<CompactTask>,
    pub via: Via,
    pub flags: u64,
}

/// A namespace that lives.
#[derive(Debug)]
pub struct Namespace {
    pub(super) key: NsKey,
    pub(super) name: NsName,
    pub(super) initial: bool,
    pub(super) facts: Option<Box<NsFacts>>,
    /// The call that made it was seen.
    pub(super) creation: Option<Box<Creation>>,
    /// It was there when the watch began.
    pub(super) snapshot: bool,
    /// Boot time of the first record or visit that showed it. What is older is about another one of the same number.
    pub(super) first_seen: u64,
    /// Sets that name it, in any slot.
    pub(super) sets: u32,
    /// Processes with a member in it. Not kept for initial namespaces.
    pub(super) nprocs: u32,
    pub(super) pinned: bool,
    /// Boot time of the last (un)pinning.
    pub(super) pin_boot_ns: u64,
    /// Of one that no record showed before a later census: boot time at which it was found, `first_seen` being when that began.
    pub(super) found_boot_ns: Option<u64>,
    /// The last reference seen to go.
    pub(super) release: Option<Box<Release>>,
    /// Only while a snapshot is being taken.
    pub(super) holders: Vec<PinHolder>,
}

impl Namespace {
    pub fn key(&self) -> NsKey {
        self.key
    }

    pub fn name(&self) -> NsName {
        self.name
    }

    pub fn is_initial(&self) -> bool {
        self.initial
    }

    /// Somebody, or a census, had seen it by then.
    pub(super) fn was_seen_before(&self, boot_ns: u64) -> bool {
        self.found_boot_ns.unwrap_or(self.first_seen) < boot_ns
    }

    /// Processes with a thread in it; None for an initial namespace, whose members are not followed.
    pub fn nprocs(&self) -> Option<u32> {
        (!self.initial).then_some(self.nprocs)
    }

    /// Owning user namespace. None: initial, or unknown.
    pub fn owner(&self) -> Option<NsName> {
        self.facts.as_ref().and_then(|f| f.owner)
    }

    /// Parent of a pid or user namespace. None: initial, or unknown.
    pub fn parent(&self) -> Option<NsName> {
        self.facts.as_ref().and_then(|f| f.parent)
    }

    /// Everything the kernel told about it.
    pub fn facts(&self) -> Option<&NsFacts> {
        self.facts.as_deref()
    }

    /// None when it was there before the watch began or its creation was not seen.
    pub fn creation(&self) -> Option<&Creation> {
        self.creation.as_deref()
    }

    /// A nsfs file or bind mount holds it.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    pub(super) fn seen(&self) -> NsSeen {
        NsSeen { key: self.key, name: self.name, initial: self.initial }
    }
}

/// What an inode number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Absent,
    /// This one; `by_id`: the 64-bit ids agree, so there is no doubt.
    Live {
        ns: NsIndex,
        by_id: bool,
    },
    /// Another generation of the number.
    Other(NsIndex),
}

/// Facts about namespaces that no record has shown in use yet.
#[derive(Debug)]
pub(super) struct Tentative {
    pub facts: NsFacts,
    pub boot_ns: u64,
}

/// How many tentative facts are kept. Calls that fail half-way leave theirs until the number is freed.
const TENTATIVE: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Namespaces {
    all: Vec<Namespace>,
    free: Vec<NsIndex>,
    by_inum: FixedMap<u32, NsIndex>,
    by_key: FixedMap<NsKey, NsIndex>,
    pub(super) tentative: FixedMap<u32, Tentative>,
    pub(super) last_key: u64,
    ended: u64,
    /// Numbers freed lately and when: older records that name them must not bring them back. By the low bits.
    pub(super) freed: Vec<(u32, u64)>,
}

/// How many freed numbers are remembered.
const FREED: usize = 4096;

impl Namespaces {
    pub fn get(&self, ns: NsIndex) -> &Namespace {
        &self.all[ns as usize]
    }

    pub fn get_mut(&mut self, ns: NsIndex) -> &mut Namespace {
        &mut self.all[ns as usize]
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (NsIndex, &Namespace)> {
        self.by_key.values().map(|&ns| (ns, self.get(ns)))
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many have ended so far: indices from before it moved may stand for others.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    pub fn by_key(&self, key: NsKey) -> Option<NsIndex> {
        self.by_key.get(&key).copied()
    }

    /// The number alone, as `proc_free_inum` gives it. One number stands for one namespace at a time, of whatever type.
    pub fn by_inum(&self, inum: u32) -> Option<NsIndex> {
        self.by_inum.get(&inum).copied()
    }

    pub fn lookup(&self, name: NsName) -> Lookup {
        let Some(ns) = self.by_inum(name.inum) else { return Lookup::Absent };
        let known = self.get(ns).name;
        match (known.id, name.id) {
            _ if known.ns_type != name.ns_type => Lookup::Other(ns),
            (Some(a), Some(b)) if a != b => Lookup::Other(ns),
            (a, b) => Lookup::Live { ns, by_id: a.is_some() && b.is_some() },
        }
    }

    /// The namespace itself, when it lives.
    pub fn find(&self, name: NsName) -> Option<NsIndex> {
        match self.lookup(name) {
            Lookup::Live { ns, .. } => Some(ns),
            Lookup::Absent | Lookup::Other(_) => None,
        }
    }

    /// Adds a namespace whose number stands for nothing (any more), with the facts announced for it.
    pub fn add(&mut self, name: NsName, boot_ns: u64, initial: bool, snapshot: bool) -> NsIndex {
        self.last_key += 1;
        let key = NsKey(self.last_key);
        let facts = self.take_tentative(name).map(Box::new);
        let ns = Namespace {
            key,
            name: NsName { id: name.id.or(facts.as_ref().and_then(|f| f.ns.id)), ..name },
            initial,
            facts,
            creation: None,
            snapshot,
            first_seen: boot_ns,
            sets: 0,
            nprocs: 0,
            pinned: false,
            pin_boot_ns: 0,
            found_boot_ns: None,
            release: None,
            holders: Vec::new(),
        };
        let index = self.free.pop().unwrap_or_else(|| NsIndex::try_from(self.all.len()).unwrap_or(NsIndex::MAX));
        match self.all.get_mut(index as usize) {
            Some(place) => *place = ns,
            None => self.all.push(ns),
        }
        self.by_inum.insert(name.inum, index);
        self.by_key.insert(key, index);
        index
    }

    /// Puts one back as it was; false when its key or its number is taken.
    pub fn put_back(&mut self, ns: Namespace) -> bool {
        let Ok(index) = NsIndex::try_from(self.all.len()) else { return false };
        let fresh = self.by_key.insert(ns.key, index).is_none() && self.by_inum.insert(ns.name.inum, index).is_none();
        self.all.push(ns);
        fresh
    }

    /// Forgets a namespace that no set names.
    pub fn remove(&mut self, ns: NsIndex) {
        let (key, inum) = (self.get(ns).key, self.get(ns).name.inum);
        self.by_key.remove(&key);
        if self.by_inum(inum) == Some(ns) {
            self.by_inum.remove(&inum);
        }
        let entry = self.get_mut(ns);
        (entry.facts, entry.creation, entry.release, entry.holders) = (None, None, None, Vec::new());
        self.free.push(ns);
        self.ended += 1;
    }

    /// Keeps facts for the record that will show the namespace.
    pub fn announce(&mut self, facts: NsFacts, boot_ns: u64) {
        if self.tentative.get(&facts.ns.inum).is_some_and(|t| t.boot_ns > boot_ns) {
            return;
        }
        if self.tentative.len() >= TENTATIVE {
            let mut ages: Vec<u64> = self.tentative.values().map(|t| t.boot_ns).collect();
            let (_, &mut middle, _) = ages.select_nth_unstable(TENTATIVE / 2);
            self.tentative.retain(|_, t| t.boot_ns > middle);
        }
        self.tentative.insert(facts.ns.inum, Tentative { facts, boot_ns });
    }

    pub fn announced(&self, name: NsName) -> Option<&NsFacts> {
        let facts = &self.tentative.get(&name.inum)?.facts;
        (facts.ns.ns_type == name.ns_type && (name.id.is_none() || facts.ns.id.is_none() || name.id == facts.ns.id))
            .then_some(facts)
    }

    /// It was announced after its number was seen in use, if it was. What a census shows before the record of the call that made
    /// it leaves an announcement behind.
    pub fn is_announced_anew(&self, name: NsName) -> bool {
        let since = self.find(name).map_or(0, |ns| self.get(ns).first_seen);
        self.announced(name).is_some() && self.tentative.get(&name.inum).is_some_and(|t| t.boot_ns > since)
    }

    fn take_tentative(&mut self, name: NsName) -> Option<NsFacts> {
        let facts = *self.announced(name)?;
        self.tentative.remove(&name.inum);
        Some(facts)
    }

    /// The number was free at `boot_ns` or later, so an older record is about a namespace that is gone.
    pub fn is_freed(&self, inum: u32, boot_ns: u64) -> bool {
        self.freed.get(inum as usize % FREED).is_some_and(|&(i, freed)| i == inum && boot_ns <= freed)
    }

    /// The number was freed: what was announced for it before is about a namespace that never came to be.
    pub fn withdraw(&mut self, inum: u32, boot_ns: u64) {
        if self.tentative.get(&inum).is_some_and(|t| t.boot_ns <= boot_ns) {
            self.tentative.remove(&inum);
        }
        if self.freed.is_empty() {
            self.freed = vec![(0, 0); FREED];
        }
        if !self.is_freed(inum, boot_ns) {
            self.freed[inum as usize % FREED] = (inum, boot_ns);
        }
    }
}
