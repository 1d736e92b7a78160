//! Which container a task belongs to, from the cgroup paths the source learns.

use std::{collections::BTreeMap, sync::Arc};

use super::{Container, FixedMap};
use crate::{
    container::{ContainerFacts, Seat},
    event::{TaskInfo, TaskKey},
};

/// Containers kept before those without a known task are forgotten.
const SWEEP: usize = 4096;

/// Containers of which it is remembered what engines told.
const TOLD: usize = 16_384;

#[derive(Debug)]
pub(super) struct Containers {
    from_cgroup_path: fn(&str) -> Option<Container>,
    pub(super) by_cgroup: FixedMap<u64, Arc<Container>>,
    /// Where only cgroup v1 tells.
    pub(super) by_task: FixedMap<u32, (TaskKey, Arc<Container>)>,
    /// The same for who is outermost.
    pub(super) seats: FixedMap<u64, Seat>,
    pub(super) task_seats: FixedMap<u32, (TaskKey, Seat)>,
    /// By id.
    pub(super) told: BTreeMap<String, ContainerFacts>,
    pub(super) sweep_at: usize,
}

impl Containers {
    pub fn new(from_cgroup_path: fn(&str) -> Option<Container>) -> Self {
        Self {
            from_cgroup_path,
            by_cgroup: FixedMap::default(),
            by_task: FixedMap::default(),
            seats: FixedMap::default(),
            task_seats: FixedMap::default(),
            told: BTreeMap::new(),
            sweep_at: SWEEP,
        }
    }

    pub fn learn_cgroup(&mut self, cgroup: u64, path: &str) {
        match (self.from_cgroup_path)(path) {
            Some(container) => self.by_cgroup.insert(cgroup, Arc::new(container)),
            None => self.by_cgroup.remove(&cgroup),
        };
        match Seat::of(path, self.from_cgroup_path) {
            Some(seat) => self.seats.insert(cgroup, seat),
            None => self.seats.remove(&cgroup),
        };
    }

    pub fn learn_task(&mut self, task: TaskKey, path: &str) {
        match (self.from_cgroup_path)(path) {
            Some(container) => self.by_task.insert(task.tid, (task, Arc::new(container))),
            None => self.by_task.remove(&task.tid),
        };
        match Seat::of(path, self.from_cgroup_path) {
            Some(seat) => self.task_seats.insert(task.tid, (task, seat)),
            None => self.task_seats.remove(&task.tid),
        };
    }

    pub fn of_cgroup(&self, cgroup: u64) -> Option<Arc<Container>> {
        self.by_cgroup.get(&cgroup).cloned()
    }

    pub fn of(&self, task: &TaskInfo) -> Option<Arc<Container>> {
        if !self.by_task.is_empty()
            && let Some((key, container)) = self.by_task.get(&task.key.tid)
            && key.same_task(task.key)
        {
            return Some(container.clone());
        }
        self.of_cgroup(task.cgroup)
    }

    pub fn learn_facts(&mut self, facts: &ContainerFacts) {
        if self.told.len() >= TOLD && !self.told.contains_key(&facts.id) {
            self.told.pop_first();
        }
        self.told.insert(facts.id.clone(), facts.clone());
    }

    /// What an engine told of the container with this id.
    pub fn facts(&self, id: &str) -> Option<&ContainerFacts> {
        self.told.get(id)
    }

    /// The outermost unit and container of a task.
    pub fn seat(&self, task: &TaskInfo) -> Option<&Seat> {
        let of_task = self.task_seats.get(&task.key.tid).filter(|(key, _)| key.same_task(task.key));
        of_task.map(|(_, seat)| seat).or_else(|| self.seats.get(&task.cgroup))
    }

    pub fn forget_task(&mut self, tid: u32) {
        if !self.by_task.is_empty() {
            self.by_task.remove(&tid);
        }
        if !self.task_seats.is_empty() {
            self.task_seats.remove(&tid);
        }
    }

    fn len(&self) -> usize {
        self.by_cgroup.len() + self.by_task.len() + self.seats.len() + self.task_seats.len()
    }

    /// Forgets what no task needs, now and then. `used`: the cgroups, `alive`: the tids of all known tasks.
    pub fn sweep(&mut self, used: impl Iterator<Item = (u32, u64)>) {
        if self.len() <= self.sweep_at {
            return;
        }
        let (tids, cgroups): (Vec<u32>, Vec<u64>) = used.unzip();
        let tids: FixedMap<u32, ()> = tids.into_iter().map(|t| (t, ())).collect();
        let cgroups: FixedMap<u64, ()> = cgroups.into_iter().map(|c| (c, ())).collect();
        self.by_cgroup.retain(|cgroup, _| cgroups.contains_key(cgroup));
        self.by_task.retain(|tid, _| tids.contains_key(tid));
        self.seats.retain(|cgroup, _| cgroups.contains_key(cgroup));
        self.task_seats.retain(|tid, _| tids.contains_key(tid));
        self.sweep_at = SWEEP.max(2 * self.len());
    }
}
