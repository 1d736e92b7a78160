//! What has to end for a namespace to be freed, and what is freed with it. Pure.

use std::collections::{BTreeSet, HashSet};

use super::{Census, Descriptor, Holder, NsIndex};
use crate::census::holder::MountHolder;

/// The end of a namespace, foretold from its holders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Teardown {
    /// Processes that have to exit, by process id. A zombie has to be waited for.
    pub exit: Vec<u32>,
    /// Descriptors that have to be closed, of processes other than those.
    pub close: Vec<Descriptor>,
    /// Mounts that have to go, in mount namespaces other than those freed.
    pub unmount: Vec<MountHolder>,
    /// Namespaces freed then, itself included, by type and number.
    pub freed: Vec<NsIndex>,
    /// References of all of these that no holder explains: as long as they stay, nothing is freed. None: some of them were
    /// not counted, so there may be holders that nobody saw.
    pub unexplained: Option<u32>,
}

/// None for an initial namespace, which nothing frees.
pub fn teardown(census: &Census, index: NsIndex) -> Option<Teardown> {
    if census.namespace(index).initial {
        return None;
    }
    let mut needed = BTreeSet::new();
    let mut todo = vec![index];
    while let Some(at) = todo.pop() {
        if needed.insert(at) {
            todo.extend(census.namespace(at).holders.iter().filter_map(Holder::namespace));
        }
    }
    let holders = || needed.iter().flat_map(|&at| &census.namespace(at).holders);
    let exit: BTreeSet<u32> = holders()
        .filter_map(|holder| match holder {
            Holder::Shm { pid, .. } => Some(*pid),
            // Not a descriptor that could be closed.
            _ => match holder.descriptor().filter(|at| at.place().is_some()) {
                Some(at) => Some(at.pid),
                None => holder.task().map(|task| census.task(task).tgid),
            },
        })
        .collect();
    let close: BTreeSet<Descriptor> =
        holders().filter_map(Holder::descriptor).filter(|at| !exit.contains(&at.pid)).collect();
    let freed = freed(census, &needed, &exit, &close);
    let inums: HashSet<u32> = freed.iter().map(|&at| census.namespace(at).name.inum).collect();
    let mut unmount: Vec<MountHolder> = Vec::new();
    for mount in holders().filter_map(Holder::mount) {
        if mount.mnt_ns.is_none_or(|inum| !inums.contains(&inum)) && !unmount.contains(mount) {
            unmount.push(mount.clone());
        }
    }
    Some(Teardown {
        unexplained: needed.iter().map(|&at| census.namespace(at).unexplained()).sum(),
        exit: exit.into_iter().collect(),
        close: close.into_iter().collect(),
        unmount,
        freed: freed.into_iter().collect(),
    })
}

/// `needed` and every other namespace that then has no holder left.
fn freed(
    census: &Census,
    needed: &BTreeSet<NsIndex>,
    exit: &BTreeSet<u32>,
    close: &BTreeSet<Descriptor>,
) -> BTreeSet<NsIndex> {
    let mut freed = needed.clone();
    let mut inums: HashSet<u32> = freed.iter().map(|&at| census.namespace(at).name.inum).collect();
    let ends = |holder: &Holder, freed: &BTreeSet<NsIndex>, inums: &HashSet<u32>| match holder {
        Holder::Shm { pid, .. } => exit.contains(pid),
        _ => {
            holder.task().is_some_and(|task| exit.contains(&census.task(task).tgid))
                || holder.descriptor().is_some_and(|at| exit.contains(&at.pid) || close.contains(&at))
                || holder.namespace().is_some_and(|ns| freed.contains(&ns))
                || holder.mount().is_some_and(|mount| mount.mnt_ns.is_some_and(|inum| inums.contains(&inum)))
        }
    };
    loop {
        let before = freed.len();
        for at in census.indices() {
            let ns = census.namespace(at);
            let known = !ns.initial && ns.unexplained().unwrap_or(0) == 0 && !ns.holders.is_empty();
            if known && !freed.contains(&at) && ns.holders.iter().all(|holder| ends(holder, &freed, &inums)) {
                freed.insert(at);
                inums.insert(ns.name.inum);
            }
        }
        if freed.len() == before {
            return freed;
        }
    }
}
