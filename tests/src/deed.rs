//! What the actor did and what the kernel said about it: the ground truth, one JSON object per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A namespace as `/proc` and nsfs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NsTruth {
    /// From readlink(2).
    pub inum: u32,
    /// From `ioctl(NS_GET_ID)`; None on kernels before 6.18 and for initial namespaces, which nobody has to tell apart.
    pub id: Option<u64>,
}

/// A task as `/proc/thread-self` describes it through the initial pid namespace's procfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTruth {
    pub pid: u32,
    pub tid: u32,
    /// `NSpid`: from the initial pid namespace down.
    pub pids: Vec<u32>,
    /// Real uid in the initial user namespace.
    pub uid: u32,
    /// Raw bytes: not always UTF-8.
    pub comm: Vec<u8>,
    /// By the name below `/proc/PID/ns`; a slot that could not be read is absent.
    pub ns: BTreeMap<String, NsTruth>,
}

/// One line of the actor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    pub scenario: String,
    /// CLOCK_BOOTTIME in nanoseconds before and after the call.
    pub before_ns: u64,
    pub after_ns: u64,
    #[serde(flatten)]
    pub what: What,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "snake_case")]
pub enum What {
    /// First line of a scenario: the actor's own namespaces, which are the initial ones.
    Begin { initial: BTreeMap<String, NsTruth> },
    /// unshare(2), setns(2) or execve(2) by `before`; `after` is the same task afterwards.
    Call {
        call: String,
        /// `CLONE_*` flags of unshare, `nstype` of setns.
        flags: u64,
        errno: Option<String>,
        before: TaskTruth,
        after: TaskTruth,
    },
    /// clone(2), clone3(2) or fork(2); `child` is absent when the call failed.
    Clone { call: String, flags: u64, errno: Option<String>, creator: TaskTruth, child: Option<TaskTruth> },
    /// A new thread (`CLONE_THREAD`) of the creator's process; an io_uring worker too.
    Thread { task: TaskTruth },
    /// `task` is about to end; the whole process when `process`.
    Exit {
        task: TaskTruth,
        process: bool,
        /// Said long before the end, by a task that is going to be killed: the order of deeds says nothing.
        early: bool,
    },
    /// An nsfs file came to hold `ns`; `first`: nobody else did, so a pin has to be reported.
    Pin { ns_type: String, ns: NsTruth, via: String, task: TaskTruth, first: bool },
    /// A holder is gone; `last`: it was the last one.
    Unpin { ns_type: String, ns: NsTruth, via: String, task: TaskTruth, last: bool },
    /// At this point, and to the end of the scenario, `ns` is alive.
    Alive { ns_type: String, ns: NsTruth },
    /// A process that runs a program which the actor does not script; what it does is only known where [`What::Told`] says so.
    Foreign { pid: u32, program: String },
    /// An event that follows from what a foreign program is documented to do and the kernel confirmed.
    Told { event: String, ns_type: String, ns: NsTruth, pid: Option<u32>, via: Vec<String> },
    /// The scenario, or the named part of it, is impossible here.
    Skip { why: String },
    /// Last line of a scenario.
    End { ok: bool, detail: String },
}
