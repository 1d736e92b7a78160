//! Reads everything that the checks ask for, once.

mod cgroups;
mod groups;
mod leftovers;
mod mounts;
mod outside;
mod sockets;

use std::collections::{BTreeSet, HashMap, HashSet};

use rustix::io::Errno;

use super::{
    facts::{self, Cell, Container, DeviceRules, Facts, Host, Init, Sharer},
    kernel_files,
};
use crate::{
    census::collect::{Depth, census},
    engine::{Engines, Named},
    inspect::{
        Places,
        container::members,
        idmap::IdMap,
        privileges,
        processes::{Process, ProcessTable},
        seen::Seen,
        status::Status,
        task::NsRef,
        task_dir::TaskDir,
    },
    ns::NsType,
};
use groups::{Candidate, Group};
use mounts::HostMounts;
use sockets::HostSockets;

/// Which containers are wanted; all the others are read as far as these are compared with them.
pub type Wanted<'w> = &'w dyn Fn(&Container) -> bool;

/// Reads the facts. `table` and `engines` are of this moment.
pub fn facts(places: &Places, table: &ProcessTable, engines: &Engines, wanted: Wanted<'_>) -> Facts {
    let mut missing: Vec<String> = engines.missing();
    let groups = groups::group(&candidates(places, table, engines, &mut missing));
    let host_mounts = HostMounts::read(&places.proc, table);
    let contained: HashSet<u32> = groups.iter().filter(|group| !group.sandbox).flat_map(|g| g.pids.clone()).collect();
    let mut all: Vec<(bool, Container)> =
        groups.iter().map(|group| (group.sandbox, outline(places, table, group))).collect();
    share(table, &groups, &mut all);
    all.retain(|(_, container)| wanted(container));

    let mut reading = Reading { places, table, host: &host_mounts, namespaces: None, sockets: None };
    if all.iter().any(|(sandbox, _)| !sandbox) {
        match places.proc.nsfs_fds() {
            Ok(scan) => reading.namespaces = Some(scan.holders),
            Err(error) => missing.push(format!("open namespaces: {error}")),
        }
        reading.sockets = Some(HostSockets::read(places, table, &host_mounts, &contained));
    }
    // What ended meanwhile is no container any more.
    all.retain_mut(|(sandbox, container)| reading.fill(container, *sandbox));
    let leftovers = match census(&places.proc, Depth::Holders, false) {
        Ok(census) => {
            missing.extend(census.all_missing());
            leftovers::leftovers(&census)
        }
        Err(error) => {
            missing.push(format!("namespaces without a process: {error:#}"));
            Vec::new()
        }
    };
    missing.extend(unseen(&all));
    missing.dedup();
    let host = Host {
        all_capabilities: all_capabilities(table),
        lsm: Seen::from_result(TaskDir::open(&places.proc, 1)).and_then(|dir| match privileges::label(&dir) {
            Seen::Is(label) => Some(label),
            _ => None,
        }),
        kernel_files: kernel_files::paths()
            .filter(|path| mounts::is_there(&places.proc, path))
            .collect::<BTreeSet<_>>(),
        peer_groups: host_mounts.peer_groups(),
    };
    let (sandboxes, containers): (Vec<_>, Vec<_>) = all.into_iter().partition(|(sandbox, _)| *sandbox);
    let only = |list: Vec<(bool, Container)>| list.into_iter().map(|(_, container)| container).collect();
    Facts { host, containers: only(containers), sandboxes: only(sandboxes), leftovers, missing }
}

/// What anybody on this host can have: the bounding set of process 1; where that is not seen, what kernel threads have.
fn all_capabilities(table: &ProcessTable) -> u64 {
    let first = table.get(1).filter(|process| process.status.pids.len() == 1).map(|p| p.status.capabilities.bounding);
    first.unwrap_or_else(|| table.iter().map(|p| p.status.capabilities.effective).fold(0, |all, set| all | set))
}

fn candidates(places: &Places, table: &ProcessTable, engines: &Engines, missing: &mut Vec<String>) -> Vec<Candidate> {
    let host_root = mounts::host_root_identity(&places.proc);
    if let Err(errno) = host_root {
        missing.push(format!("the root directory of the host ({})", crate::view::errno::name(errno.raw_os_error())));
    }
    // Engines whose containers have no cgroup of their own name their inits.
    let mut told: HashMap<u32, Named> = HashMap::new();
    for named in engines.iter().filter(|named| named.pid.is_some()) {
        for process in members(table, named) {
            told.entry(process.status.pid).or_insert_with(|| engines.complete(named));
        }
    }
    let own =
        |process: &Process, ns_type| process.member(ns_type).filter(|&ns| !table.is_initial(ns)).map(|ns| ns.inum);
    let of = |process: &Process| {
        let pid = process.status.pid;
        let own_mnt = own(process, NsType::Mnt);
        let by_cgroup = process.containers().pop().map(|container| engines.name(container));
        let root =
            own_mnt.and_then(|_| TaskDir::open(&places.proc, pid).and_then(|dir| mounts::root_identity(&dir)).ok());
        Candidate {
            pid,
            own_pid: process.status.own_pid(),
            start: process.start,
            named: by_cgroup.or_else(|| told.get(&pid).cloned()),
            own_mnt,
            own_pid_ns: own(process, NsType::Pid),
            host_root: root.zip(host_root.ok()).map(|(root, host)| root == host),
        }
    };
    table.iter().filter(|p| !p.status.kernel_thread && !p.status.is_zombie()).map(of).collect()
}

/// What the table alone tells.
fn outline(places: &Places, table: &ProcessTable, group: &Group) -> Container {
    let processes = group.pids.iter().filter_map(|&pid| table.get(pid));
    let init = table.get(group.init);
    Container {
        named: group.named.clone(),
        init: Init { pid: group.init, comm: init.map(|p| p.status.name.clone()).unwrap_or_default() },
        processes: processes.clone().map(|process| layers_of(places, table, process)).collect(),
        namespaces: NsType::ALL.into_iter().map(|t| cell(table, group, init, t)).collect(),
        ..Container::default()
    }
}

fn layers_of(places: &Places, table: &ProcessTable, process: &Process) -> facts::Process {
    let status = &process.status;
    let over_host = match process.member(NsType::User) {
        Some(ns) => Seen::Is(table.is_initial(ns)),
        None if process.denied => Seen::Unreadable(Errno::ACCESS),
        None => Seen::Absent,
    };
    facts::Process {
        pid: status.pid,
        comm: status.name.clone(),
        uid: status.uid[1],
        over_host,
        capabilities: status.capabilities,
        seccomp: status.seccomp,
        seccomp_filters: status.seccomp_filters,
        no_new_privs: status.no_new_privs,
        lsm: match TaskDir::open(&places.proc, status.pid) {
            Ok(dir) => privileges::label(&dir),
            Err(errno) => Seen::from_result(Err(errno)),
        },
    }
}

fn cell(table: &ProcessTable, group: &Group, init: Option<&Process>, ns_type: NsType) -> Cell {
    let own = init.and_then(|process| process.member(ns_type));
    let ns = match (own, init) {
        (Some(ns), _) => Seen::Is(NsRef(ns)),
        (None, Some(process)) if process.denied => Seen::Unreadable(Errno::ACCESS),
        _ => Seen::Absent,
    };
    let host = own.map(|ns| table.is_initial(ns));
    let is_stray = |pid: &&u32| {
        table.get(**pid).and_then(|process| process.member(ns_type)).is_some_and(|ns| table.is_initial(ns))
    };
    let stray = if host == Some(false) { group.pids.iter().find(is_stray).copied() } else { None };
    Cell { r#type: ns_type, ns, host, stray, shared_with: Vec::new() }
}

/// Fills in who else lives in the namespaces of each.
fn share(table: &ProcessTable, groups: &[Group], all: &mut [(bool, Container)]) {
    let mut homes: HashMap<(NsType, u32), BTreeSet<usize>> = HashMap::new();
    for (at, group) in groups.iter().enumerate().filter(|(_, group)| !group.sandbox) {
        for process in group.pids.iter().filter_map(|&pid| table.get(pid)) {
            for ns in NsType::ALL.into_iter().filter_map(|t| process.member(t)).filter(|&ns| !table.is_initial(ns)) {
                homes.entry((ns.ns_type, ns.inum)).or_default().insert(at);
            }
        }
    }
    let labels: Vec<String> = all.iter().map(|(_, container)| container.label()).collect();
    let pods: Vec<Option<String>> =
        all.iter().map(|(_, container)| container.named.as_ref().and_then(|named| named.pod.clone())).collect();
    for (at, (_, container)) in all.iter_mut().enumerate() {
        for cell in &mut container.namespaces {
            let Seen::Is(ns) = &cell.ns else { continue };
            let others = homes.get(&(cell.r#type, ns.0.inum)).into_iter().flatten().filter(|&&other| other != at);
            cell.shared_with = others
                .map(|&other| Sharer {
                    container: labels[other].clone(),
                    same_pod: pods[at].is_some() && pods[at] == pods[other],
                })
                .collect();
        }
    }
}

/// What is read of each container.
struct Reading<'r> {
    places: &'r Places,
    table: &'r ProcessTable,
    host: &'r HostMounts,
    /// None: they could not be listed.
    namespaces: Option<Vec<crate::discover::Holder>>,
    sockets: Option<HostSockets>,
}

impl Reading<'_> {
    /// False: its init ended before all was read.
    fn fill(&self, container: &mut Container, sandbox: bool) -> bool {
        let Ok(dir) = TaskDir::open(&self.places.proc, container.init.pid) else { return false };
        self.read(container, &dir, sandbox);
        let status = dir.read("status").ok().and_then(|text| Status::parse(&text));
        status.is_some_and(|status| !status.is_zombie())
    }

    fn read(&self, container: &mut Container, dir: &TaskDir, sandbox: bool) {
        let map = |file: &str| Seen::from_result(dir.read(file)).map(|text| IdMap::parse(&text));
        container.uid_map = map("uid_map");
        container.gid_map = map("gid_map");
        let placement = dir.read("cgroup");
        container.cgroup = match &placement {
            Ok(text) => cgroups::limits(self.places, text),
            Err(errno) => Seen::from_result(Err(*errno)),
        };
        container.unlimited = placement.as_deref().map(cgroups::in_root).unwrap_or_default();
        container.devices = placement.map_or(DeviceRules::Unknown, |text| cgroups::device_rules(self.places, &text));
        container.mounts = mounts::of_container(dir, self.host);
        if sandbox {
            return;
        }
        let Seen::Is(mounts) = &container.mounts else {
            let refused = match container.mounts {
                Seen::Unreadable(errno) => errno,
                _ => Errno::SRCH,
            };
            container.block_devices = Seen::from_result(Err(refused));
            container.sockets = Seen::from_result(Err(refused));
            container.outside = Seen::from_result(Err(refused));
            return;
        };
        container.block_devices = Seen::from_result(mounts::block_devices(dir, mounts));
        container.sockets = match &self.sockets {
            Some(sockets) => sockets.reached(dir, mounts),
            None => Seen::Absent,
        };
        let elsewhere = container.on_host(NsType::Mnt) == Some(false);
        let host_mounts = elsewhere.then(|| self.host.ids());
        let processes: Vec<&Process> = container.processes.iter().filter_map(|p| self.table.get(p.pid)).collect();
        let proc = &self.places.proc;
        container.outside =
            outside::outside(proc, self.table, &processes, self.namespaces.as_deref(), host_mounts.as_ref());
    }
}

/// What of the containers could not be read.
fn unseen(all: &[(bool, Container)]) -> Vec<String> {
    let mut missing = Vec::new();
    for (sandbox, container) in all {
        let label = container.label();
        let mut note = |refused: bool, what: &str| {
            if refused {
                missing.push(format!("{what} of {label}"));
            }
        };
        let refused = |cell: &Cell| matches!(cell.ns, Seen::Unreadable(_));
        note(container.namespaces.iter().any(refused), "the namespaces");
        note(matches!(container.mounts, Seen::Unreadable(_)), "the mounts");
        note(!sandbox && matches!(container.outside, Seen::Unreadable(_)), "the descriptors");
        note(!sandbox && matches!(container.block_devices, Seen::Unreadable(_)), "the devices");
        note(!sandbox && matches!(container.sockets, Seen::Unreadable(_)), "the reachable sockets");
    }
    missing
}
