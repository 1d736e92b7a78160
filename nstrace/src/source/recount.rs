//! Which namespaces live and which of them nsfs files and mounts hold, by the census: after a loss, when a walk through
//! `/proc` alone would take for ended what only a message, an io_uring or a socket keeps, or a descriptor that was passed on
//! behind the walk's back.

use std::collections::HashSet;

use crate::{
    census::{Census, Holder, HolderKind, Namespace, NsIndex, collect},
    discover::{Proc, clock},
    event::{Event, NsFacts, PinHolder, Stamp, Stamped},
    ns::NsName,
};

/// An [`Event::Namespace`] for each namespace, and an [`Event::SnapshotPin`] for each that is held by a file or mount. None
/// where the kernel's own objects cannot be read. From 6.18 on the kernel lists all namespaces, so none is left out.
///
/// A census takes a while, and of what it found nobody knows whether it was made or ended meanwhile. What two of them found,
/// one after the other, lived in between, which is the time of the events.
pub(super) fn living(proc: &Proc) -> Option<Vec<Stamped>> {
    let names: HashSet<NsName> = take(proc)?.namespaces.iter().map(|ns| ns.name).collect();
    let stamp = Stamp { boot_ns: clock::boot_ns(), cpu: 0, seq: 0 };
    let census = take(proc)?;
    let mut events = Vec::new();
    for ns in census.namespaces.iter().filter(|ns| !ns.initial && ns.name.inum != 0 && names.contains(&ns.name)) {
        events.push(Stamped { stamp, event: Event::Namespace(facts(&census, ns)) });
        if let Some(holder) = ns.holders.iter().find_map(pin).filter(|_| ns.accounts.has_nsfs()) {
            events.push(Stamped { stamp, event: Event::SnapshotPin { ns: ns.name, holder } });
        }
    }
    Some(events)
}

fn take(proc: &Proc) -> Option<Census> {
    collect::census(proc, collect::Depth::Holders, false).ok()
}

fn facts(census: &Census, ns: &Namespace) -> NsFacts {
    let name = |index: Option<NsIndex>| index.map(|index| census.namespace(index).name);
    NsFacts { ns: ns.name, owner: name(ns.owner), parent: name(ns.parent), level: ns.level, owner_uid: ns.owner_uid }
}

/// The holder, when it is an nsfs file or mount; of a file in a message or ring the descriptor that leads to it.
fn pin(holder: &Holder) -> Option<PinHolder> {
    if let Holder::Mount(mount) = holder {
        let path = mount.path.clone().unwrap_or_default();
        return Some(PinHolder::Mount { mnt_ns: mount.mnt_ns.unwrap_or(0), path });
    }
    let nsfs = matches!(
        holder.kind(),
        HolderKind::Fd | HolderKind::InFlight | HolderKind::IoUring | HolderKind::DetachedMount
    );
    let at = holder.descriptor().filter(|_| nsfs)?;
    Some(PinHolder::Fd { tgid: at.pid, fd: i32::try_from(at.fd).unwrap_or(-1) })
}
