//! The facts of a moment that was recorded: what the kernel said of each container's tasks when they executed. What no recording
//! holds (mounts, limits, sockets, labels) is unreadable here, so that no check takes it for a pass.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::facts::{Cell, Container, Facts, Host, Init, Process, Sharer};
use crate::{
    detect::lineage::Contained,
    engine::Engines,
    inspect::{seen::Seen, status::CapSets, task::NsRef},
    model::World,
    ns::NsType,
};

/// What no recording knows of containers.
pub const NOT_OF_CONTAINERS: &str =
    "mounts, id maps, cgroup limits, devices, sockets, LSM labels, and descriptors that lead out of containers";

/// Absent would mean that there is none.
fn unrecorded<T>() -> Seen<T> {
    Seen::Unreadable(Errno::NODATA)
}

/// The facts of the containers and sandboxes in a world.
pub fn facts(world: &World, engines: &Engines) -> Facts {
    let mut groups: BTreeMap<u64, Vec<Contained>> = BTreeMap::new();
    for task in world.contained() {
        groups.entry(task.home).or_default().push(task);
    }
    let mut facts = Facts {
        host: Host { lsm: unrecorded(), peer_groups: unrecorded(), ..Host::default() },
        missing: vec![NOT_OF_CONTAINERS.to_owned()],
        ..Facts::default()
    };
    for tasks in groups.values() {
        let Some(container) = container(world, engines, tasks) else { continue };
        let sandbox = tasks.iter().all(|task| task.sandbox);
        if sandbox { &mut facts.sandboxes } else { &mut facts.containers }.push(container);
    }
    facts.host.all_capabilities =
        groups.values().flatten().filter_map(|task| task.powers).fold(0, |all, powers| all | powers.bounding);
    share(&mut facts.containers);
    facts
}

fn container(world: &World, engines: &Engines, tasks: &[Contained]) -> Option<Container> {
    // Its process 1, else its oldest.
    let own_pid = |task: &Contained| task.task.pids.as_slice().last().copied();
    let init = tasks.iter().min_by_key(|task| (own_pid(task) != Some(1), task.task.key.start_boottime))?;
    let named = tasks.iter().find_map(|task| world.container(&task.task));
    let named = named.map(|container| engines.name((*container).clone()));
    let leaders = tasks.iter().filter(|task| task.task.is_leader());
    Some(Container {
        named,
        init: Init { pid: init.task.tgid, comm: init.task.comm.to_string_lossy().into_owned() },
        processes: leaders.clone().map(process).collect(),
        namespaces: NsType::ALL.into_iter().map(|t| cell(t, init, leaders.clone())).collect(),
        uid_map: unrecorded(),
        gid_map: unrecorded(),
        cgroup: unrecorded(),
        mounts: unrecorded(),
        block_devices: unrecorded(),
        sockets: unrecorded(),
        outside: unrecorded(),
        ..Container::default()
    })
}

fn process(contained: &Contained) -> Process {
    let Contained { task, powers, .. } = contained;
    Process {
        pid: task.tgid,
        comm: task.comm.to_string_lossy().into_owned(),
        uid: task.euid,
        over_host: contained.namespaces[NsType::User.index()].map_or_else(unrecorded, |user| Seen::Is(user.initial)),
        capabilities: CapSets {
            effective: task.cap_effective,
            permitted: powers.map_or(0, |powers| powers.permitted),
            bounding: powers.map_or(0, |powers| powers.bounding),
            ..CapSets::default()
        },
        seccomp: powers.and_then(|powers| powers.seccomp),
        seccomp_filters: None,
        no_new_privs: powers.and_then(|powers| powers.no_new_privs),
        lsm: unrecorded(),
    }
}

fn cell<'c>(ns_type: NsType, init: &Contained, mut leaders: impl Iterator<Item = &'c Contained>) -> Cell {
    let of = |task: &Contained| task.namespaces[ns_type.index()];
    let own = of(init);
    let host = own.map(|ns| ns.initial);
    let stray = leaders.find(|task| host == Some(false) && of(task).is_some_and(|ns| ns.initial));
    Cell {
        r#type: ns_type,
        ns: own.map_or_else(unrecorded, |ns| Seen::Is(NsRef(ns.name))),
        host,
        stray: stray.map(|task| task.task.tgid),
        shared_with: Vec::new(),
    }
}

/// Which containers' inits share a namespace that is not the host's.
fn share(containers: &mut [Container]) {
    let others: Vec<(String, Option<String>, Vec<Option<NsRef>>)> = containers
        .iter()
        .map(|container| {
            let pod = container.named.as_ref().and_then(|named| named.pod.clone());
            let own = |cell: &Cell| cell.ns.known().copied().filter(|_| cell.host == Some(false));
            (container.label(), pod, container.namespaces.iter().map(own).collect())
        })
        .collect();
    for (at, container) in containers.iter_mut().enumerate() {
        for (i, cell) in container.namespaces.iter_mut().enumerate() {
            let Some(own) = others[at].2[i] else { continue };
            let same = others.iter().enumerate().filter(|(other, (.., all))| *other != at && all[i] == Some(own));
            cell.shared_with = same
                .map(|(_, (label, pod, _))| Sharer {
                    container: label.clone(),
                    same_pod: pod.is_some() && *pod == others[at].1,
                })
                .collect();
        }
    }
}
