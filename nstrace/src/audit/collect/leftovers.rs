//! Namespaces of a census that no process lives in; pure.

use std::collections::BTreeMap;

use crate::{
    audit::facts::Leftover,
    census::{Census, Holder, HolderKind, Namespace},
    inspect::task::NsRef,
};

/// Those that no task refers to, in any way.
pub fn leftovers(census: &Census) -> Vec<Leftover> {
    let idle = |ns: &&Namespace| {
        let by_task = |holder: &Holder| holder.task().is_some();
        !ns.initial && ns.nprocs == 0 && !ns.holders.iter().any(by_task)
    };
    census.namespaces.iter().filter(idle).map(|ns| leftover(census, ns)).collect()
}

fn leftover(census: &Census, ns: &Namespace) -> Leftover {
    let mut kept_by: BTreeMap<&'static str, usize> = BTreeMap::new();
    for holder in &ns.holders {
        *kept_by.entry(holder.kind().name()).or_default() += 1;
    }
    let deliberate = |holder: &&Holder| Leftover::is_deliberate(holder.kind());
    let telling = ns.holders.iter().find(deliberate).or(ns.holders.first());
    Leftover {
        ns: NsRef(ns.name),
        kept_by,
        first: telling.and_then(|holder| words(census, holder)),
        persisted: ns.holders.iter().any(|holder| deliberate(&holder)),
        unexplained: ns.unexplained(),
    }
}

fn words(census: &Census, holder: &Holder) -> Option<String> {
    if let Some(mount) = holder.mount() {
        let path = mount.path.as_deref()?;
        let at = mount.mnt_ns.map(|ns| format!(" in mnt:[{ns}]")).unwrap_or_default();
        return Some(format!("mount {path}{at}"));
    }
    if let Some(at) = holder.descriptor() {
        let comm = census.threads(at.pid).first().map(|task| format!(" ({})", task.comm.to_string_lossy()));
        let comm = comm.unwrap_or_default();
        return Some(match at.place() {
            Some(place) => format!("{place} of process {}{comm}", at.pid),
            None => format!("descriptor {} of process {}{comm}", at.fd, at.pid),
        });
    }
    let other = census.namespace(holder.namespace()?).name;
    Some(match holder.kind() {
        HolderKind::Child => format!("{other} is below it"),
        _ => format!("it owns {other}"),
    })
}
