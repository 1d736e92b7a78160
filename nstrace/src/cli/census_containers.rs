//! Names for the containers of a census.

use std::{collections::HashMap, sync::Arc};

use crate::{
    census::{Census, NsIndex, Task},
    discover::{cgroup::CgroupTree, clock, snapshot::canonical},
    engine::{Engines, Named},
    inspect::{
        Places,
        processes::{Process, ProcessTable},
        status::Status,
    },
};

/// The container of each namespace that has one, with what the engines know.
#[derive(Debug, Default)]
pub(super) struct Containers {
    by_namespace: HashMap<NsIndex, Arc<Named>>,
    /// What stayed unseen, one phrase each.
    pub missing: Vec<String>,
}

impl Containers {
    /// Asks the engines, when the census shows any container at all.
    pub fn of(places: &Places, census: &Census) -> Self {
        let with = || census.indices().filter_map(|at| Some((at, census.namespace(at).container.as_ref()?)));
        if with().next().is_none() {
            return Self::default();
        }
        Self::named(census, &Engines::read(places, &table(places, census)))
    }

    /// Those that the engines told of already.
    pub fn named(census: &Census, engines: &Engines) -> Self {
        let with = census.indices().filter_map(|at| Some((at, census.namespace(at).container.as_ref()?)));
        let mut known: HashMap<&str, Arc<Named>> = HashMap::new();
        let mut by_namespace = HashMap::new();
        for (at, container) in with {
            let named = known.entry(&container.id).or_insert_with(|| Arc::new(engines.name((**container).clone())));
            by_namespace.insert(at, named.clone());
        }
        Self { by_namespace, missing: engines.missing() }
    }

    pub fn get(&self, at: NsIndex) -> Option<&Named> {
        self.by_namespace.get(&at).map(Arc::as_ref)
    }
}

/// The processes, as far as engines are believed or not by them: the census has no need of reading `/proc`.
fn table(places: &Places, census: &Census) -> ProcessTable {
    let mut tree = CgroupTree::find(&places.proc).ok().flatten();
    let (oci, now) = (places.oci(), clock::boot_ns());
    let mut paths: HashMap<u64, Option<Arc<str>>> = HashMap::new();
    let mut process = |task: &Task| {
        let path = paths.entry(task.cgroup).or_insert_with(|| {
            let path = tree.as_mut()?.path_of(task.cgroup, now, now)?;
            Some(Arc::from(canonical(Some(&oci), &path)))
        });
        Process {
            status: Status {
                pid: task.tgid,
                tgid: task.tgid,
                ppid: task.ppid.unwrap_or(0),
                name: task.comm.to_string_lossy().into_owned(),
                uid: [task.uid; 4],
                ..Status::default()
            },
            slots: crate::event::SlotSet::default(),
            denied: false,
            cgroup: path.clone(),
            start: 0,
        }
    };
    ProcessTable::of(census.tasks.iter().filter(|task| task.is_leader()).map(&mut process))
}
