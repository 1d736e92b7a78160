//! Which container a task belongs to, from the cgroup paths the source learns.

use std::sync::Arc;

use super::{Container, FixedMap};
use crate::event::{TaskInfo, TaskKey};

/// Containers kept before those without a known task are forgotten.
const SWEEP: usize = 4096;

#[derive(Debug)]
pub(super) struct Containers {
    from_cgroup_path: fn(&str) -> Option<Container>,
    pub(super) by_cgroup: FixedMap<u64, Arc<Container>>,
    /// Where only cgroup v1 tells.
    pub(super) by_task: FixedMap<u32, (TaskKey, Arc<Container>)>,
    pub(super) sweep_at: usize,
}

impl Containers {
    pub fn new(from_cgroup_path: fn(&str) -> Option<Container>) -> Self {
        Self { from_cgroup_path, by_cgroup: FixedMap::default(), by_task: FixedMap::default(), sweep_at: SWEEP }
    }

    pub fn learn_cgroup(&mut self, cgroup: u64, path: &str) {
        match (self.from_cgroup_path)(path) {
            Some(container) => self.by_cgroup.insert(cgroup, Arc::new(container)),
            None => self.by_cgroup.remove(&cgroup),
        };
    }

    pub fn learn_task(&mut self, task: TaskKey, path: &str) {
        match (self.from_cgroup_path)(path) {
            Some(container) => self.by_task.insert(task.tid, (task, Arc::new(container))),
            None => self.by_task.remove(&task.tid),
        };
    }

    pub fn of(&self, task: &TaskInfo) -> Option<Arc<Container>> {
        if !self.by_task.is_empty()
            && let Some((key, container)) = self.by_task.get(&task.key.tid)
            && key.same_task(task.key)
        {
            return Some(container.clone());
        }
        self.by_cgroup.get(&task.cgroup).cloned()
    }

    pub fn forget_task(&mut self, tid: u32) {
        if !self.by_task.is_empty() {
            self.by_task.remove(&tid);
        }
    }

    /// Forgets what no task needs, now and then. `used`: the cgroups, `alive`: the tids of all known tasks.
    pub fn sweep(&mut self, used: impl Iterator<Item = (u32, u64)>) {
        if self.by_cgroup.len() + self.by_task.len() <= self.sweep_at {
            return;
        }
        let (tids, cgroups): (Vec<u32>, Vec<u64>) = used.unzip();
        let tids: FixedMap<u32, ()> = tids.into_iter().map(|t| (t, ())).collect();
        let cgroups: FixedMap<u64, ()> = cgroups.into_iter().map(|c| (c, ())).collect();
        self.by_cgroup.retain(|cgroup, _| cgroups.contains_key(cgroup));
        self.by_task.retain(|tid, _| tids.contains_key(tid));
        self.sweep_at = SWEEP.max(2 * (self.by_cgroup.len() + self.by_task.len()));
    }
}
