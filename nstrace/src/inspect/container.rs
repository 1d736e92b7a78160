//! Everything about one container.

use serde::Serialize;

use crate::engine::{Engines, Named};

use super::{
    namespace::Member,
    processes::{Process, ProcessTable},
};

/// One container with all its processes, those of containers inside it included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerReport {
    #[serde(flatten)]
    pub container: Named,
    pub processes: Vec<Member>,
    /// The process that the rest is about: its init.
    #[serde(skip)]
    pub init: Option<u32>,
}

/// What a name may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    One(Box<ContainerReport>),
    None,
    /// Several, each by name and id.
    Several(Vec<String>),
}

/// Looks for a container by name, id or id prefix. A whole name or id wins over a prefix.
pub fn find(table: &ProcessTable, engines: &Engines, wanted: &str) -> Found {
    let mut known: Vec<Named> = Vec::new();
    let listed = engines.iter().map(|named| engines.complete(named));
    for named in table.iter().flat_map(|p| p.containers()).map(|c| engines.name(c)).chain(listed) {
        if !known.iter().any(|other| other.id == named.id) {
            known.push(named);
        }
    }
    let exact = |named: &&Named| named.id == wanted || named.name.as_deref() == Some(wanted);
    let mut matching: Vec<&Named> = known.iter().filter(exact).collect();
    if matching.is_empty() {
        matching = known.iter().filter(|named| named.id.starts_with(wanted)).collect();
    }
    match matching.as_slice() {
        [] => Found::None,
        [one] => Found::One(Box::new(report(table, engines, (*one).clone()))),
        several => Found::Several(several.iter().map(|named| named.to_string()).collect()),
    }
}

fn report(table: &ProcessTable, engines: &Engines, container: Named) -> ContainerReport {
    let processes = members(table, &container);
    let init = processes.iter().find(|p| Some(p.status.pid) == container.pid).or_else(|| {
        processes.iter().filter(|p| !p.status.is_zombie()).min_by_key(|p| (p.status.own_pid() != 1, p.start))
    });
    ContainerReport {
        init: init.map(|p| p.status.pid),
        processes: processes.iter().map(|p| Member::of(p, engines)).collect(),
        container,
    }
}

/// Processes of a container: by cgroup, and where the engine names its init, by that one's pid namespace and what is below
/// it (rootless engines without cgroups, processes moved to another cgroup).
pub fn members<'t>(table: &'t ProcessTable, container: &Named) -> Vec<&'t Process> {
    let init = container.pid.and_then(|pid| table.get(pid)).map(|p| &p.status.pids).filter(|pids| pids.len() > 1);
    let below_init = |p: &Process| {
        // Level by level the same pid namespaces cannot be told from status alone, but an ancestor can.
        let Some(init) = init else { return false };
        p.status.pids.len() >= init.len() && is_descendant(table, p, init[0])
    };
    table.iter().filter(|p| p.containers().iter().any(|c| c.id == container.id) || below_init(p)).collect()
}

fn is_descendant(table: &ProcessTable, process: &Process, ancestor: u32) -> bool {
    let mut at = process;
    for _ in 0..table.by_pid.len() {
        if at.status.pid == ancestor {
            return true;
        }
        match table.get(at.status.ppid) {
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}
