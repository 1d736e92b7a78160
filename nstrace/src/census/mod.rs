//! The census: every namespace of this moment, everything that holds it, and how much of its reference count that explains.
//!
//! [`Census`] is data; [`build`] makes it from facts without any I/O; [`collect`] asks the kernel and `/proc` for the facts.

mod accounts;
pub mod build;
pub mod collect;
mod from_kernel;
mod from_mounts;
mod from_proc;
pub mod from_world;
pub mod holder;
mod mounts;
mod relations;
mod settled;
pub mod target;
pub mod teardown;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use accounts::Accounts;
pub use holder::{Descriptor, Holder, HolderKind};

use crate::{
    event::Comm,
    model::Container,
    ns::{NsName, NsType, Slot},
};

/// Place of a namespace in [`Census::namespaces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsIndex(pub usize);

/// Place of a task in [`Census::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(pub usize);

/// A thread.
#[derive(Clone, Debug)]
pub struct Task {
    pub tid: u32,
    pub tgid: u32,
    /// Process id of the parent; None where it was not asked for.
    pub ppid: Option<u32>,
    /// In the initial user namespace.
    pub uid: u32,
    /// Hostile.
    pub comm: Comm,
    /// Dead and not waited for.
    pub dead: bool,
    /// `PF_KTHREAD`.
    pub kernel_thread: bool,
    /// Id of its cgroup2 cgroup, 0 unknown.
    pub cgroup: u64,
    /// Which `struct nsproxy` it refers to: a number of this census, the same for all that share one. None: it has none any
    /// more, or the kernel's objects were not read.
    pub nsproxy: Option<u32>,
    /// The namespace in each slot, indexed as [`Slot::ALL`].
    pub slots: [Option<NsIndex>; Slot::ALL.len()],
}

impl Task {
    pub fn is_leader(&self) -> bool {
        self.tid == self.tgid
    }

    /// The namespace of this type it lives in.
    pub fn member_of(&self, t: NsType) -> Option<NsIndex> {
        self.slots[t.index()]
    }
}

/// A namespace and what keeps it.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub name: NsName,
    /// One of the namespaces the kernel started with: never freed, whoever holds it.
    pub initial: bool,
    /// The owning user namespace; of a user namespace its parent.
    pub owner: Option<NsIndex>,
    /// Parent of a pid or user namespace.
    pub parent: Option<NsIndex>,
    /// Nesting level of a pid or user namespace; None where it was not asked for.
    pub level: Option<u32>,
    /// Who made a user namespace, a uid in the initial user namespace.
    pub owner_uid: Option<u32>,
    /// The kernel's reference count; None where it cannot be read.
    pub refs: Option<u32>,
    /// References that the holders explain, by what takes them.
    pub accounts: Accounts,
    pub holders: Vec<Holder>,
    /// Processes with at least one thread in it.
    pub nprocs: u32,
    /// The process with the lowest id of those, by its thread with the lowest id.
    pub first: Option<TaskIndex>,
    pub container: Option<Arc<Container>>,
}

impl Namespace {
    /// References that no holder explains. None: the count is not known, or means nothing (initial namespaces).
    ///
    /// Less than nothing is nothing: a count read before a holder came explains no minus.
    pub fn unexplained(&self) -> Option<u32> {
        if self.initial {
            return None;
        }
        self.refs.map(|refs| refs.saturating_sub(self.accounts.explained()))
    }

    /// `live` with a member, else `held`.
    pub fn state(&self) -> &'static str {
        if self.nprocs > 0 { "live" } else { "held" }
    }

    /// The kinds of its holders, each once, in the order of [`HolderKind::ALL`]; `other` when only the count tells of one.
    pub fn kept_by(&self) -> Vec<HolderKind> {
        let mut kinds: Vec<HolderKind> = Vec::new();
        for holder in &self.holders {
            // Neighbours are mostly of one kind.
            if kinds.last() != Some(&holder.kind()) {
                kinds.push(holder.kind());
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By type in the order of [`NsType::ALL`], then by inode number.
    pub namespaces: Vec<Namespace>,
    /// Threads of a process together, its leader first; processes ascending.
    pub tasks: Vec<Task>,
    /// Id of this boot; empty when it cannot be read.
    pub boot_id: String,
    /// What could not be seen, and what would make it visible; one sentence each.
    pub missing: Vec<String>,
    /// As [`Self::missing`], of what would leave a reference unexplained if it held a namespace that was found.
    pub uncounted: Vec<String>,
}

impl Census {
    pub fn namespace(&self, index: NsIndex) -> &Namespace {
        &self.namespaces[index.0]
    }

    pub fn task(&self, index: TaskIndex) -> &Task {
        &self.tasks[index.0]
    }

    /// What is missing of the answer about this namespace: nothing more can be said of one whose references are all explained.
    pub fn missing_of(&self, index: NsIndex) -> Vec<String> {
        let explained = self.namespace(index).unexplained() == Some(0);
        if explained { self.missing.clone() } else { self.all_missing() }
    }

    /// All that is missing.
    pub fn all_missing(&self) -> Vec<String> {
        [self.missing.as_slice(), &self.uncounted].concat()
    }

    /// The threads of a process that were seen, its leader first.
    pub fn threads(&self, tgid: u32) -> &[Task] {
        let from = self.tasks.partition_point(|task| task.tgid < tgid);
        let threads = self.tasks.get(from..).unwrap_or_default();
        threads.get(..threads.partition_point(|task| task.tgid == tgid)).unwrap_or_default()
    }

    pub fn indices(&self) -> impl Iterator<Item = NsIndex> + use<> {
        (0..self.namespaces.len()).map(NsIndex)
    }
}
