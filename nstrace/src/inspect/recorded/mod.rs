//! What a recording knows of tasks, containers and namespaces at one moment; pure. It is less than a running system shows:
//! what was never recorded has no field here, and the documents say so.

mod container;
mod namespace;
mod target;
mod task;

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    engine::{Engines, Named},
    event::TaskInfo,
    model::{Cause, Namespace, NsKey, World},
    ns::{NsName, NsType, Slot},
};

pub use container::RecordedContainer;
pub use namespace::RecordedNs;
pub use target::{NotRecorded, RecordedSubject};
pub use task::{RecordedSlot, RecordedTask};

use super::task::{CameFrom, NsRef, PidAt};

/// What no recording knows of a task.
pub const NOT_OF_TASKS: &str =
    "its parent, command line, state, groups, id maps, host name, interfaces, mounts, cgroup limits and LSM label";
/// Of a namespace.
pub const NOT_OF_NAMESPACES: &str = "what is inside of namespaces (host names, links, addresses, mounts, id maps)";
/// Of any system.
pub const NOT_OF_HOSTS: &str = "tasks that were in the initial namespaces only";

/// One process in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedMember {
    pub pid: u32,
    /// From the initial pid namespace down to its own.
    pub pids: Vec<u32>,
    /// Hostile.
    pub comm: String,
    /// Effective, in the initial user namespace.
    pub uid: u32,
    pub container: Option<Named>,
}

/// A thread and the namespace in each of its slots, in the order of [`Slot::ALL`].
type Task = (TaskInfo, [Option<NsKey>; Slot::ALL.len()]);

/// The world at a moment, ready to be asked.
#[derive(Debug)]
pub struct Scene<'w> {
    world: &'w World,
    engines: &'w Engines,
    /// By tid.
    tasks: Vec<Task>,
    /// For each namespace its members: the place of each process's first thread in `tasks`.
    members: HashMap<NsKey, Vec<usize>>,
}

impl<'w> Scene<'w> {
    /// `engines`: what was recorded of containers.
    pub fn new(world: &'w World, engines: &'w Engines) -> Self {
        let tasks = world.task_slots();
        let mut first: HashMap<(NsKey, u32), usize> = HashMap::new();
        for (at, (task, slots)) in tasks.iter().enumerate() {
            for key in NsType::ALL.into_iter().filter_map(|t| slots[t.index()]) {
                let place = first.entry((key, task.tgid)).or_insert(at);
                // The leader speaks for its process.
                if task.is_leader() {
                    *place = at;
                }
            }
        }
        let mut members: HashMap<NsKey, Vec<usize>> = HashMap::new();
        for ((key, _), at) in first {
            members.entry(key).or_default().push(at);
        }
        members.values_mut().for_each(|list| list.sort_unstable());
        Self { world, engines, tasks, members }
    }

    fn members(&self, key: NsKey) -> impl Iterator<Item = &Task> {
        self.members.get(&key).into_iter().flatten().map(|&at| &self.tasks[at])
    }

    /// The thread with this id.
    fn task(&self, tid: u32) -> Option<&Task> {
        self.tasks.binary_search_by_key(&tid, |(task, _)| task.key.tid).ok().map(|at| &self.tasks[at])
    }

    /// The thread with this id, or the first one of the process.
    fn process(&self, pid: u32) -> Option<&Task> {
        self.task(pid).or_else(|| self.tasks.iter().find(|(task, _)| task.tgid == pid))
    }

    fn ns(&self, key: Option<NsKey>) -> Option<&'w Namespace> {
        key.and_then(|key| self.world.namespace(key))
    }

    fn container_of(&self, task: &TaskInfo) -> Option<Named> {
        self.world.container(task).map(|container| self.engines.name((*container).clone()))
    }

    fn member(&self, task: &TaskInfo) -> RecordedMember {
        RecordedMember {
            pid: task.tgid,
            pids: task.pids.as_slice().to_vec(),
            comm: task.comm.to_string_lossy().into_owned(),
            uid: task.euid,
            container: self.container_of(task),
        }
    }

    /// The call that made a namespace.
    fn creation(&self, ns: &Namespace) -> Option<CameFrom> {
        let creation = ns.creation()?;
        let task = creation.task();
        Some(CameFrom {
            cause: Cause { via: creation.via, flags: creation.flags, errno: None },
            utc_ns: self.world.utc_ns(creation.boot_ns),
            by: Some((task.tgid, task.comm.to_string_lossy().into_owned())),
        })
    }

    /// The PID of a task in each pid namespace, from the initial one down.
    pub(super) fn levels(&self, task: &TaskInfo, own: Option<NsKey>) -> Vec<PidAt> {
        let mut at = self.ns(own).map(Namespace::name);
        let mut levels: Vec<PidAt> = Vec::new();
        for &pid in task.pids.as_slice().iter().rev() {
            levels.push(PidAt { ns: at.map(NsRef), pid });
            at = at.and_then(|name| self.parent(name));
        }
        levels.reverse();
        levels
    }

    fn parent(&self, name: NsName) -> Option<NsName> {
        let parent = self.world.find(name)?.parent()?;
        // The name that the namespace goes by now says most.
        Some(self.world.find(parent).map_or(parent, Namespace::name))
    }
}
