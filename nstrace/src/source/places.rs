//! Where tasks are in the cgroup hierarchy: paths for the ids that records carry, as events before the first record that
//! needs them.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{
    container,
    deed::Act,
    discover::{Proc, cgroup::CgroupTree, clock, oci::OciState, snapshot},
    event::{Event, Stamp, Stamped, TaskInfo, TaskKey},
};

/// Ids that are remembered as announced; beyond, they are announced again.
const REMEMBERED: usize = 16_384;

/// How often a path that names no container is looked at again: runtimes make the cgroup first and write their state,
/// which tells whose it is, a moment later.
const DOUBT: Duration = Duration::from_millis(20);

/// What was told of a cgroup.
#[derive(Debug)]
struct Announced {
    path: String,
    /// When it was looked at; None: it names a container, that will not change.
    doubtful_since: Option<Instant>,
}

impl Announced {
    fn now(path: String) -> Self {
        let doubtful_since = container::from_cgroup_path(&path).is_none().then(Instant::now);
        Self { path, doubtful_since }
    }

    fn is_doubtful(&self) -> bool {
        self.doubtful_since.is_some_and(|since| since.elapsed() >= DOUBT)
    }
}

/// Looks cgroup paths up, once per cgroup.
#[derive(Debug)]
pub struct Places {
    tree: Option<CgroupTree>,
    oci: OciState,
    announced: HashMap<u64, Announced>,
    placed: HashSet<TaskKey>,
}

impl Places {
    /// Finds the cgroup2 mount; without one no container is named.
    pub fn find(proc: &Proc) -> Self {
        let tree = CgroupTree::find(proc).ok().flatten();
        let oci = OciState::default();
        let oci = match &tree {
            Some(tree) => oci.with_cgroups(tree.mount_point()),
            None => oci,
        };
        Self { tree, oci, announced: HashMap::new(), placed: HashSet::new() }
    }

    /// The same look-ups for the /proc snapshot.
    pub fn sources(&mut self) -> snapshot::Sources<'_> {
        snapshot::Sources { cgroups: self.tree.as_mut(), oci: Some(&self.oci), handles: None }
    }

    /// Pushes the paths that `stamped` needs and that were not told yet.
    pub fn announce(&mut self, proc: &Proc, stamped: &Stamped, events: &mut Vec<Stamped>) {
        match &stamped.event {
            Event::Fork { creator, child, .. } => {
                self.place(proc, creator, stamped.stamp, events);
                self.place(proc, child, stamped.stamp, events);
            }
            Event::SnapshotTask { task, .. }
            | Event::Transition { task, .. }
            | Event::Return { task, .. }
            | Event::Exec { task, .. }
            | Event::Pinned { task, .. }
            | Event::Unpinned { task, .. }
            | Event::Install { task, .. } => self.place(proc, task, stamped.stamp, events),
            Event::Exit { task, .. } => {
                self.place(proc, task, stamped.stamp, events);
                self.placed.remove(&task.key);
            }
            // Whether that is below the container's own is told by the two paths.
            Event::Deed(deed) if deed.act == Act::Cgroup => self.announce_cgroup(deed.number, stamped.stamp, events),
            _ => {}
        }
    }

    /// The path of a cgroup, unless it has been told already.
    pub fn announce_cgroup(&mut self, cgroup: u64, stamp: Stamp, events: &mut Vec<Stamped>) {
        let Some(tree) = &mut self.tree else { return };
        if cgroup != 0
            && self.announced.get(&cgroup).is_none_or(Announced::is_doubtful)
            && let Some(path) = tree.path_of(cgroup, stamp.boot_ns, clock::boot_ns())
        {
            let path = snapshot::canonical(Some(&self.oci), &path);
            let known = self.announced.remove(&cgroup).filter(|known| known.path == path);
            if known.is_none() {
                events.push(Stamped { stamp, event: Event::CgroupPath { cgroup, path: path.clone() } });
            }
            if self.announced.len() >= REMEMBERED {
                self.announced.clear();
            }
            self.announced.insert(cgroup, Announced::now(path));
        }
    }

    fn place(&mut self, proc: &Proc, task: &TaskInfo, stamp: Stamp, events: &mut Vec<Stamped>) {
        self.announce_cgroup(task.cgroup, stamp, events);
        let Some(tree) = &self.tree else { return };
        // Where version 1 hierarchies exist too, engines may place a task only there.
        if tree.is_hybrid() && !task.is_kernel_thread() && !self.placed.contains(&task.key) {
            remember(&mut self.placed, task.key);
            if let Ok(placement) = proc.placement(task.key)
                && let Some(path) = &placement.v1
            {
                let path = snapshot::canonical(Some(&self.oci), path);
                events.push(Stamped { stamp, event: Event::TaskCgroupPath { task: task.key, path } });
            }
        }
    }
}

fn remember<K: std::hash::Hash + Eq>(set: &mut HashSet<K>, key: K) {
    if set.len() >= REMEMBERED {
        set.clear();
    }
    set.insert(key);
}
