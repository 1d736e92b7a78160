//! One task as recorded.

use serde::Serialize;

use super::{NsRef, Scene};
use crate::{
    engine::Named,
    inspect::{
        capability,
        task::{CameFrom, PidAt},
    },
    map::pid::Translation,
    ns::{NsType, Slot},
    view::json::Safe,
};

/// One of its ten slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedSlot {
    pub slot: &'static str,
    /// None: it could not be read when it was recorded.
    pub ns: Option<NsRef>,
    /// The initial namespace of its type.
    pub initial: bool,
    /// Other processes that are members. None: of an initial namespace, whose members nobody records.
    pub shared_with: Option<usize>,
    /// The owning user namespace (of a user namespace: its parent). None: initial, or not recorded.
    pub owner: Option<NsRef>,
    /// The call that made it. None: it was there before.
    pub created: Option<CameFrom>,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedTask {
    pub pid: u32,
    pub tid: u32,
    /// Hostile.
    pub comm: String,
    /// Real and effective, in the initial user namespace.
    pub uid: u32,
    pub euid: u32,
    /// CLOCK_BOOTTIME; cut to a clock tick where the snapshot found it.
    pub started_boot_ns: Safe,
    /// Threads of its process that refer to a namespace other than the initial ones.
    pub threads: usize,
    pub container: Option<Named>,
    pub pids: Vec<PidAt>,
    pub namespaces: Vec<RecordedSlot>,
    /// Its effective capabilities over its own user namespace.
    pub effective: Vec<String>,
}

impl Scene<'_> {
    /// A thread, or the first one of a process. None: nothing is known of it.
    pub fn show_task(&self, pid: u32) -> Option<RecordedTask> {
        let (task, slots) = self.process(pid)?;
        let slot = |(at, slot): (usize, Slot)| {
            let ns = self.ns(slots[at]);
            let initial = ns.is_some_and(|ns| ns.is_initial());
            RecordedSlot {
                slot: slot.proc_name(),
                ns: ns.map(|ns| NsRef(ns.name())),
                initial,
                shared_with: ns
                    .filter(|_| !initial)
                    .map(|ns| self.members(ns.key()).filter(|(other, _)| other.tgid != task.tgid).count()),
                owner: ns.and_then(|ns| ns.owner()).map(NsRef),
                created: ns.and_then(|ns| self.creation(ns)),
            }
        };
        Some(RecordedTask {
            pid: task.tgid,
            tid: task.key.tid,
            comm: task.comm.to_string_lossy().into_owned(),
            uid: task.uid,
            euid: task.euid,
            started_boot_ns: Safe(task.key.start_boottime),
            threads: self.tasks.iter().filter(|(other, _)| other.tgid == task.tgid).count(),
            container: self.container_of(task),
            pids: self.levels(task, slots[NsType::Pid.index()]),
            namespaces: Slot::ALL.into_iter().enumerate().map(slot).collect(),
            effective: capability::names(task.cap_effective),
        })
    }

    /// The PIDs of a process at all levels.
    pub fn translate(&self, pid: u32) -> Option<Translation> {
        let (task, slots) = self.process(pid)?;
        Some(Translation {
            pid: task.tgid,
            comm: task.comm.to_string_lossy().into_owned(),
            levels: self.levels(task, slots[NsType::Pid.index()]),
            container: self.container_of(task),
        })
    }

    /// The process that is `pid` in the pid namespace with this inode number.
    pub fn reverse(&self, inum: u32, pid: u32) -> Option<u32> {
        let found = self.tasks.iter().filter(|(task, _)| task.is_leader()).find(|(task, slots)| {
            let levels = self.levels(task, slots[NsType::Pid.index()]);
            levels.iter().any(|at| at.pid == pid && at.ns.is_some_and(|ns| ns.0.inum == inum))
        });
        found.map(|(task, _)| task.tgid)
    }
}
