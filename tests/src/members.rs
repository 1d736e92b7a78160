//! Which thread of which process is in which namespace, as far as the deeds tell.

use std::collections::{BTreeMap, HashMap};

use crate::deed::{NsTruth, TaskTruth};

type Slots = BTreeMap<String, NsTruth>;

/// Threads of every living process, each with its slots.
#[derive(Debug, Default)]
pub struct Members {
    processes: HashMap<u32, BTreeMap<u32, Slots>>,
}

impl Members {
    /// `task` is in these namespaces from now on.
    pub fn place(&mut self, task: &TaskTruth) {
        self.processes.entry(task.pid).or_default().insert(task.tid, task.ns.clone());
    }

    pub fn remove_thread(&mut self, task: &TaskTruth) {
        if let Some(threads) = self.processes.get_mut(&task.pid) {
            threads.remove(&task.tid);
        }
    }

    /// Forgets the process; returns the slots of its threads.
    pub fn remove_process(&mut self, pid: u32) -> BTreeMap<u32, Slots> {
        self.processes.remove(&pid).unwrap_or_default()
    }

    /// Another thread of `task`'s process is in `ns`.
    pub fn shared(&self, task: &TaskTruth, slot: &str, ns: NsTruth) -> bool {
        self.processes
            .get(&task.pid)
            .is_some_and(|threads| threads.iter().any(|(tid, slots)| *tid != task.tid && slots.get(slot) == Some(&ns)))
    }
}
