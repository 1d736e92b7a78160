//! From facts to a [`Census`]: pure. Facts name namespaces by a key that the source chose; order does not matter, except that
//! everything comes before [`Builder::finish`].

use std::collections::{HashMap, HashSet};

use super::{
    Accounts, Census, Holder, Namespace, NsIndex, Task,
    holder::MountHolder,
    relations::{members, references, structure},
    settled::{Elsewhere, Settled},
};
use crate::{
    event::{Comm, TaskInfo},
    ns::{NsName, NsType, Slot},
};

/// The source's own name of a namespace in this run; 0 = none.
pub type Key = u64;

/// What a namespace is.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceFact {
    pub key: Key,
    pub name: NsName,
    pub owner: Key,
    pub parent: Key,
    /// Address of the `struct ucounts` in its owner, 0 unknown.
    pub ucounts: u64,
    /// Address of the super block of an ipc namespace's message queues, 0 none.
    pub mqueue: u64,
    /// Address of their mount where that holds the owner itself, else 0.
    pub mqueue_mount: u64,
    /// What listmount(2) calls a mount namespace, 0 unknown.
    pub listing: u64,
    pub level: Option<u32>,
    pub owner_uid: Option<u32>,
    pub refs: Option<u32>,
    /// System V shared memory segments of an ipc namespace; None: unknown, or another type.
    pub segments: Option<u32>,
}

/// A thread, with the addresses of what holds references for it (0 = unknown).
#[derive(Clone, Copy, Debug)]
pub struct TaskFact {
    pub tid: u32,
    pub tgid: u32,
    pub ppid: Option<u32>,
    pub uid: u32,
    pub comm: Comm,
    pub dead: bool,
    pub kernel_thread: bool,
    pub cgroup: u64,
    pub slots: [Key; Slot::ALL.len()],
    pub nsproxy: u64,
    pub real_cred: u64,
    pub cred: u64,
    pub pid: u64,
    pub ucounts: u64,
    /// Its `mm_struct` with the user namespace that holds.
    pub mm: (u64, Key),
    /// The `struct pid` of its process group and session, with the pid namespace each holds.
    pub groups: [(u64, Key); 2],
    /// The credentials its executable was opened with, and their user namespace.
    pub exe_cred: (u64, Key),
}

impl TaskFact {
    /// What is known of a living task without looking at the kernel's objects.
    pub fn without_objects(task: &TaskInfo, slots: [Key; Slot::ALL.len()]) -> Self {
        Self {
            tid: task.key.tid,
            tgid: task.tgid,
            ppid: None,
            uid: task.uid,
            comm: task.comm,
            dead: false,
            kernel_thread: task.is_kernel_thread(),
            cgroup: task.cgroup,
            slots,
            nsproxy: 0,
            real_cred: 0,
            cred: 0,
            pid: 0,
            ucounts: 0,
            mm: (0, 0),
            groups: [(0, 0); 2],
            exe_cred: (0, 0),
        }
    }
}

/// What a holder other than a task is.
#[derive(Clone, Debug)]
pub struct HolderFact {
    pub ns: Key,
    pub holder: Holder,
    /// The object that takes the reference.
    pub object: Object,
}

/// See [`Accounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// The nsfs inode.
    Nsfs,
    Sock(u64),
    /// With its `ucounts`, 0 unknown.
    Cred {
        cred: u64,
        ucounts: u64,
    },
    Pid(u64),
    SuperBlock(u64),
    /// A `struct mount`, which before 6.2 holds the user namespace whose numbers it shows.
    Mount(u64),
    /// A `struct file`, or another object behind a descriptor, that holds it itself.
    File(u64),
    /// An anonymous mount namespace that it owns.
    Anonymous(u64),
    /// One that is counted elsewhere, or not at all.
    None,
}

/// Collects facts.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    facts: Vec<NamespaceFact>,
    by_key: HashMap<Key, usize, foldhash::fast::RandomState>,
    tasks: Vec<TaskFact>,
    holders: Vec<HolderFact>,
    /// Inode numbers of the initial namespaces.
    initial: HashSet<u32>,
    unknown: Unknown,
}

/// Keys that were named and not described, as far as was looked.
#[derive(Clone, Debug, Default)]
struct Unknown {
    keys: Vec<Key>,
    /// How many facts of each kind were looked at.
    facts: usize,
    tasks: usize,
    holders: usize,
}

/// Holders that are no tasks, for each thread of an ordinary system.
const HOLDERS: usize = 6;
/// Most threads that room is made for at once.
const MOST_THREADS: usize = 1 << 17;

impl Builder {
    /// With room for what so many threads bring: facts that are moved for more room take as long as the kernel needs to tell them.
    pub fn with_threads(threads: usize, holders: bool) -> Self {
        let threads = threads.min(MOST_THREADS);
        let holders = if holders { threads * HOLDERS } else { 0 };
        let mut by_key = HashMap::default();
        by_key.reserve(threads);
        Self {
            facts: Vec::with_capacity(threads),
            by_key,
            tasks: Vec::with_capacity(threads),
            holders: Vec::with_capacity(holders),
            ..Self::default()
        }
    }

    pub fn initial(&mut self, inums: impl IntoIterator<Item = u32>) {
        self.initial.extend(inums);
    }

    /// The first description of a key wins.
    pub fn namespace(&mut self, fact: NamespaceFact) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.by_key.entry(fact.key) {
            entry.insert(self.facts.len());
            self.facts.push(fact);
        }
    }

    pub fn task(&mut self, fact: TaskFact) {
        self.tasks.push(fact);
    }

    pub fn holder(&mut self, fact: HolderFact) {
        self.holders.push(fact);
    }

    /// Adds all that another one has collected.
    pub fn absorb(&mut self, other: Self) {
        other.facts.into_iter().for_each(|fact| self.namespace(fact));
        append(&mut self.tasks, other.tasks);
        append(&mut self.holders, other.holders);
    }

    pub(super) fn into_holders(self) -> Vec<HolderFact> {
        self.holders
    }

    /// The key of the namespace with this inode number, if it was described.
    pub fn key_of(&self, inum: u32) -> Option<Key> {
        self.facts.iter().rev().find(|fact| fact.name.inum == inum).map(|fact| fact.key)
    }

    /// Keys by inode number.
    pub fn keys(&self) -> HashMap<u32, Key> {
        self.facts.iter().map(|fact| (fact.name.inum, fact.key)).collect()
    }

    /// How many times a namespace is named that was not described; neighbours that name the same ones count once.
    pub fn undescribed(&mut self) -> usize {
        let Self { facts, by_key, tasks, holders, unknown, .. } = self;
        let is_unknown = |key: &Key| *key != 0 && !by_key.contains_key(key);
        unknown.keys.retain(is_unknown);
        for fact in &facts[unknown.facts..] {
            unknown.keys.extend([fact.owner, fact.parent].into_iter().filter(is_unknown));
        }
        let mut before = [0; Slot::ALL.len()];
        for task in
            tasks[unknown.tasks..].iter().filter(|task| std::mem::replace(&mut before, task.slots) != task.slots)
        {
            unknown.keys.extend(task.slots.into_iter().filter(is_unknown));
        }
        let mut before = 0;
        for fact in holders[unknown.holders..].iter().filter(|fact| std::mem::replace(&mut before, fact.ns) != fact.ns)
        {
            unknown.keys.extend(Some(fact.ns).filter(is_unknown));
        }
        (unknown.facts, unknown.tasks, unknown.holders) = (facts.len(), tasks.len(), holders.len());
        unknown.keys.len()
    }

    /// Key and type of every initial namespace.
    pub fn initial_keys(&self) -> Vec<(NsType, Key, u32)> {
        let initial = self.facts.iter().filter(|fact| self.initial.contains(&fact.name.inum));
        initial.map(|fact| (fact.name.ns_type, fact.key, fact.name.inum)).collect()
    }

    /// No ipc namespace known so far has a shared memory segment, also not one that is marked for removal.
    pub fn has_no_segments(&self) -> bool {
        let mut of_ipc = self.facts.iter().filter(|fact| fact.name.ns_type == NsType::Ipc);
        of_ipc.all(|fact| fact.segments == Some(0))
    }

    /// Process and thread of the members of the mount namespace with this key.
    pub fn members_of_mounts(&self, key: Key) -> impl Iterator<Item = (u32, u32)> {
        let of_key = self.tasks.iter().filter(move |task| task.slots[NsType::Mnt.index()] == key);
        of_key.map(|task| (task.tgid, task.tid))
    }

    /// Every mount namespace known so far.
    pub fn mount_namespaces(&self) -> impl Iterator<Item = &NamespaceFact> {
        self.facts.iter().filter(|fact| fact.name.ns_type == NsType::Mnt)
    }

    pub fn finish(self) -> Census {
        self.settle().census
    }

    /// As [`Self::finish`], where more holders may come.
    pub(super) fn settle(mut self) -> Settled {
        self.tasks.sort_by_key(|task| (task.tgid, task.tid != task.tgid, task.tid));
        let mut order: Vec<usize> = (0..self.facts.len()).collect();
        order.sort_by_key(|&i| (self.facts[i].name.ns_type, self.facts[i].name.inum, self.facts[i].key));
        let mut place = vec![NsIndex(0); order.len()];
        for (to, &from) in order.iter().enumerate() {
            place[from] = NsIndex(to);
        }
        let index = |key: Key| self.by_key.get(&key).map(|&i| place[i]);
        let mut namespaces: Vec<Namespace> = order
            .iter()
            .map(|&i| {
                let fact = &self.facts[i];
                Namespace {
                    name: fact.name,
                    initial: self.initial.contains(&fact.name.inum),
                    owner: index(fact.owner),
                    parent: index(fact.parent),
                    level: fact.level,
                    owner_uid: fact.owner_uid,
                    refs: fact.refs,
                    accounts: Accounts::default(),
                    holders: Vec::new(),
                    nprocs: 0,
                    first: None,
                    container: None,
                }
            })
            .collect();
        let mut nsproxies: HashMap<u64, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut nsproxy = |address: u64| {
            let next = u32::try_from(nsproxies.len()).ok()?;
            (address != 0).then(|| *nsproxies.entry(address).or_insert(next))
        };
        // Most tasks share all namespaces with the task before.
        let mut shared = ([0; Slot::ALL.len()], [None; Slot::ALL.len()]);
        let tasks: Vec<Task> = self
            .tasks
            .iter()
            .map(|fact| {
                if shared.0 != fact.slots {
                    shared = (fact.slots, fact.slots.map(index));
                }
                Task { nsproxy: nsproxy(fact.nsproxy), ..task(fact, shared.1) }
            })
            .collect();
        members(&mut namespaces, &tasks);
        references(&mut namespaces, &tasks, &self.tasks);
        structure(&mut namespaces);
        for fact in &self.tasks {
            if let (mm @ 1.., user) = fact.mm
                && let Some(NsIndex(user)) = index(user)
            {
                namespaces[user].accounts.mms.insert(mm);
            }
            if let (cred @ 1.., user) = fact.exe_cred
                && let Some(NsIndex(user)) = index(user)
            {
                namespaces[user].accounts.creds.insert(cred);
            }
            for (pid, ns) in fact.groups.into_iter().filter(|&(pid, _)| pid != 0) {
                if let Some(NsIndex(ns)) = index(ns) {
                    namespaces[ns].accounts.pids.insert(pid);
                }
            }
        }
        for fact in &self.facts {
            if let Some(NsIndex(owner)) = index(fact.owner) {
                let accounts = &mut namespaces[owner].accounts;
                accounts.ucounts.extend(Some(fact.ucounts).filter(|&ucounts| ucounts != 0));
                // Mounted inside the kernel for as long as the ipc namespace lives.
                accounts.super_blocks.extend(Some(fact.mqueue).filter(|&block| block != 0));
                accounts.mounts.extend(Some(fact.mqueue_mount).filter(|&mount| mount != 0));
            }
        }
        let elsewhere = Elsewhere::new(&self.tasks, &self.holders);
        let census = Census { namespaces, tasks, boot_id: String::new(), missing: Vec::new(), uncounted: Vec::new() };
        let mut settled = Settled { census, by_key: self.by_key, place, elsewhere };
        settled.hold(self.holders);
        settled
    }
}

/// Moves what the second has to the end of the first, which costs nothing where that is empty.
fn append<T>(to: &mut Vec<T>, mut from: Vec<T>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.append(&mut from);
    }
}

fn task(fact: &TaskFact, slots: [Option<NsIndex>; Slot::ALL.len()]) -> Task {
    Task {
        tid: fact.tid,
        tgid: fact.tgid,
        ppid: fact.ppid,
        uid: fact.uid,
        comm: fact.comm,
        dead: fact.dead,
        kernel_thread: fact.kernel_thread,
        cgroup: fact.cgroup,
        nsproxy: None,
        slots,
    }
}

impl MountHolder {
    /// A mount of which only the namespace is known.
    pub fn unnamed(mnt_ns: Option<u32>) -> Self {
        Self { mnt_ns, path: None, hidden: false }
    }
}
