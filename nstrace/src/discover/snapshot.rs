//! The start-up snapshot as events: what existed before the watch began.
//!
//! Call it after the probes are attached. [`initial`] comes first, then tasks (from here, or better from the task iterator
//! where the kernel has one), then [`holders`], then one `SnapshotEnd`; [`snapshot`] does all of it.

use std::{collections::HashMap, ffi::CString};

use crate::{
    event::{Event, SlotSet, Stamp, Stamped},
    ns::{NsName, NsType, Slot},
};

use super::{
    HolderScan, Missed, Placement, Proc, ReadError, ScannedTask,
    cgroup::CgroupTree,
    clock,
    liveness::{self, NsHandles},
    oci::OciState,
};

/// A snapshot with what it could not see.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub events: Vec<Stamped>,
    pub missed: Missed,
}

/// What the snapshot may use beside `/proc`; all of it is optional.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// Turns cgroup paths into ids, so that tasks of the snapshot and of the kernel's records agree.
    pub cgroups: Option<&'a mut CgroupTree>,
    pub oci: Option<&'a OciState>,
    /// When given, 64-bit ids of namespaces are looked up, once per namespace, through `/proc/PID/ns`
    /// ([`liveness::name_of`], which for that moment makes nsfs inodes of our own).
    pub handles: Option<&'a NsHandles>,
}

/// `Initial`, a `SnapshotTask` per thread with the cgroup facts it needs before it, a `SnapshotPin` per holder, `SnapshotEnd`.
pub fn snapshot(proc: &Proc, mut sources: Sources<'_>) -> Result<Snapshot, ReadError> {
    let mut whole = tasks(proc, &mut sources)?;
    let pins = holders(proc)?;
    let first = initial(proc, sources.handles)?;
    whole.events.insert(0, first);
    whole.events.extend(pins.events);
    whole.missed.add(pins.missed);
    whole.events.push(now(Event::SnapshotEnd));
    Ok(whole)
}

/// The initial namespaces ([`Proc::initial_slots`]). `handles` as in [`Sources`].
pub fn initial(proc: &Proc, handles: Option<&NsHandles>) -> Result<Stamped, ReadError> {
    let mut slots = proc.initial_slots()?;
    let mut ids = Ids { proc, known: HashMap::new(), wanted: handles.is_some() };
    // An id is only taken from a task that shows the same namespace, so asking both does no harm.
    for holder in [2, 1] {
        ids.fill(holder, holder, &mut slots);
    }
    Ok(now(Event::Initial { slots }))
}

/// A `SnapshotTask` per thread, each after the `CgroupPath` or `TaskCgroupPath` that it needs.
pub fn tasks(proc: &Proc, sources: &mut Sources<'_>) -> Result<Snapshot, ReadError> {
    let scan = proc.tasks()?;
    let mut ids = Ids { proc, known: HashMap::new(), wanted: sources.handles.is_some() };
    let mut facts = CgroupFacts::default();
    let mut events = Vec::with_capacity(scan.tasks.len() + 64);
    for ScannedTask { boot_ns, mut task, mut slots, placement } in scan.tasks {
        let stamp = Stamp { boot_ns, cpu: 0, seq: 0 };
        task.cgroup = facts.id_of(&placement, sources, |event| events.push(Stamped { stamp, event }));
        if let Some(path) = &placement.v1 {
            let path = canonical(sources.oci, path);
            events.push(Stamped { stamp, event: Event::TaskCgroupPath { task: task.key, path } });
        }
        ids.fill(task.tgid, task.key.tid, &mut slots);
        events.push(Stamped { stamp, event: Event::SnapshotTask { task, slots } });
    }
    Ok(Snapshot { events, missed: scan.missed })
}

/// A `SnapshotPin` per nsfs file and nsfs mount.
pub fn holders(proc: &Proc) -> Result<Snapshot, ReadError> {
    let mut snapshot = Snapshot::default();
    // One after the other: a holder that is passed on in between is rather seen twice than not at all.
    for scan in [Proc::nsfs_fds, Proc::nsfs_mounts] {
        let HolderScan { holders, missed, .. } = scan(proc)?;
        let pins = holders.into_iter().map(|found| Stamped {
            stamp: Stamp { boot_ns: found.boot_ns, cpu: 0, seq: 0 },
            event: Event::SnapshotPin { ns: found.ns, holder: found.holder },
        });
        snapshot.events.extend(pins);
        snapshot.missed.add(missed);
    }
    Ok(snapshot)
}

/// The path of a cgroup as it goes into the stream: see [`OciState::canonical`].
pub fn canonical(oci: Option<&OciState>, path: &str) -> String {
    oci.and_then(|oci| oci.canonical(path)).unwrap_or_else(|| path.to_owned())
}

fn now(event: Event) -> Stamped {
    Stamped { stamp: Stamp { boot_ns: clock::boot_ns(), cpu: 0, seq: 0 }, event }
}

/// Ids of the cgroup2 paths met so far.
#[derive(Debug, Default)]
struct CgroupFacts {
    known: HashMap<std::sync::Arc<str>, u64>,
}

impl CgroupFacts {
    /// The cgroup2 id of a placement, 0 unknown; emits its path the first time.
    fn id_of(&mut self, placement: &Placement, sources: &mut Sources<'_>, mut emit: impl FnMut(Event)) -> u64 {
        let (Some(path), Some(tree)) = (&placement.v2, sources.cgroups.as_deref_mut()) else { return 0 };
        if let Some(&id) = self.known.get(path) {
            return id;
        }
        let id = tree.id_of(path).unwrap_or(0);
        self.known.insert(path.clone(), id);
        if id != 0 {
            emit(Event::CgroupPath { cgroup: id, path: canonical(sources.oci, path) });
        }
        id
    }
}

/// 64-bit ids of the namespaces met so far.
#[derive(Debug)]
struct Ids<'p> {
    proc: &'p Proc,
    known: HashMap<(NsType, u32), u64>,
    wanted: bool,
}

impl Ids<'_> {
    fn fill(&mut self, tgid: u32, tid: u32, slots: &mut SlotSet) {
        if !self.wanted {
            return;
        }
        for slot in Slot::ALL {
            let Some(ns) = slots.get(slot) else { continue };
            let key = (ns.ns_type, ns.inum);
            if !self.known.contains_key(&key)
                && let Some(id) = self.look_up(tgid, tid, slot, ns)
            {
                self.known.insert(key, id);
            }
            let id = self.known.get(&key).copied();
            slots.set(slot, Some(NsName { id, ..ns }));
        }
    }

    /// Only when the link still shows the namespace that the scan saw.
    fn look_up(&self, tgid: u32, tid: u32, slot: Slot, ns: NsName) -> Option<u64> {
        let path = CString::new(format!("{tgid}/task/{tid}/ns/{}", slot.proc_name())).ok()?;
        let found = liveness::name_of(self.proc.open().ok()?, &path).ok()?;
        (found.ns_type == ns.ns_type && found.inum == ns.inum).then_some(found.id).flatten()
    }
}
