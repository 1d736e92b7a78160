//! What the kernel said, decoded: the one event type, live and replayed.
//!
//! [`crate::decode`] makes these from records; `source` adds what only user space can know (the clock, cgroup paths,
//! the start-up snapshot, losses) as events of their own, so that everything after it is a pure function of this stream.

use std::borrow::Cow;

use nstrace_common::task::PID_LEVELS;
use serde::{Deserialize, Serialize};

use crate::{
    container::ContainerFacts,
    deed::{Deed, Placed},
    ns::{NsName, NsType, Slot},
};

/// Key of a task: PIDs are reused, the pair is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    pub tid: u32,
    /// `task->start_boottime` in nanoseconds. From `/proc/PID/stat` it is only known to a clock tick (10 ms):
    /// [`TaskKey::same_task`] compares the two.
    pub start_boottime: u64,
}

impl TaskKey {
    /// Nanoseconds of one `USER_HZ` tick, the resolution of `/proc/PID/stat`.
    pub const TICK_NS: u64 = 10_000_000;

    /// True when both name the same task, one of them possibly known only to a clock tick. Two exact keys are compared
    /// exactly: with clone3's `set_tid` a PID can be used again within a tick.
    pub fn same_task(self, other: Self) -> bool {
        self.tid == other.tid
            && (self.start_boottime == other.start_boottime
                || ((self.is_to_the_tick() || other.is_to_the_tick())
                    && self.start_boottime / Self::TICK_NS == other.start_boottime / Self::TICK_NS))
    }

    /// The start time came from `/proc/PID/stat`: whole ticks (an exact one is that round once in ten million times).
    pub fn is_to_the_tick(self) -> bool {
        self.start_boottime.is_multiple_of(Self::TICK_NS)
    }
}

/// A task's command name: up to 15 bytes chosen by the traced program, not necessarily UTF-8. Escape before showing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "CommText", from = "CommText")]
pub struct Comm {
    bytes: [u8; 16],
}

impl Comm {
    /// Cuts at the first NUL and at 15 bytes.
    pub fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let len = name.iter().position(|&b| b == 0).unwrap_or(name.len()).min(15);
        bytes[..len].copy_from_slice(&name[..len]);
        Self { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        let len = self.bytes.iter().position(|&b| b == 0).unwrap_or(self.bytes.len());
        &self.bytes[..len]
    }

    /// Lossy text; still hostile (control characters), so escape it before a terminal sees it.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }
}

/// How a recording has a command name: text where it is text, else its bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CommText {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Comm> for CommText {
    fn from(comm: Comm) -> Self {
        match std::str::from_utf8(comm.as_bytes()) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(comm.as_bytes().to_owned()),
        }
    }
}

impl From<CommText> for Comm {
    fn from(text: CommText) -> Self {
        match text {
            CommText::Text(text) => Self::new(text.as_bytes()),
            CommText::Bytes(bytes) => Self::new(&bytes),
        }
    }
}

/// PIDs of one task from the initial pid namespace down to its own; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<u32>", from = "Vec<u32>")]
pub struct Pids {
    len: u8,
    pids: [u32; PID_LEVELS],
}

impl Pids {
    /// Takes at most [`PID_LEVELS`] of `pids`; of an empty slice makes `[0]`.
    pub fn new(pids: &[u32]) -> Self {
        let mut all = [0; PID_LEVELS];
        let len = pids.len().min(PID_LEVELS);
        all[..len].copy_from_slice(&pids[..len]);
        Self { len: u8::try_from(len.max(1)).unwrap_or(1), pids: all }
    }

    pub fn as_slice(&self) -> &[u32] {
        &self.pids[..usize::from(self.len)]
    }
}

impl From<Pids> for Vec<u32> {
    fn from(pids: Pids) -> Self {
        pids.as_slice().to_owned()
    }
}

impl From<Vec<u32>> for Pids {
    fn from(pids: Vec<u32>) -> Self {
        Self::new(&pids)
    }
}

/// A task with its credentials at the moment of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    pub key: TaskKey,
    /// Process id (`task->tgid`) in the initial pid namespace. `tgid == key.tid` for the leader.
    pub tgid: u32,
    pub uid: u32,
    pub euid: u32,
    /// Effective capabilities over the task's own user namespace, bit n = capability n (capabilities(7)).
    pub cap_effective: u64,
    /// cgroup2 id; 0 unknown. [`Event::CgroupPath`] gives its path.
    pub cgroup: u64,
    /// `PF_*`.
    pub flags: u32,
    /// Thread id per pid namespace level.
    pub pids: Pids,
    pub comm: Comm,
}

impl TaskInfo {
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & nstrace_common::task::PF_KTHREAD != 0
    }

    /// The task is the leader of its process.
    pub fn is_leader(&self) -> bool {
        self.key.tid == self.tgid
    }
}

/// The ten slots; `None` = could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotSet {
    slots: [Option<(u32, Option<u64>)>; nstrace_common::slots::SLOTS],
}

impl SlotSet {
    pub fn get(&self, slot: Slot) -> Option<NsName> {
        self.slots[Self::index(slot)].map(|(inum, id)| NsName { ns_type: slot.ns_type(), inum, id })
    }

    pub fn set(&mut self, slot: Slot, ns: Option<NsName>) {
        self.slots[Self::index(slot)] = ns.map(|ns| (ns.inum, ns.id));
    }

    /// Slots that can be read, in the order of [`Slot::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Slot, NsName)> + '_ {
        Slot::ALL.into_iter().filter_map(|slot| self.get(slot).map(|ns| (slot, ns)))
    }

    const fn index(slot: Slot) -> usize {
        match slot {
            Slot::Member(t) => t.index(),
            Slot::ForChildren(NsType::Pid) => nstrace_common::slots::PID_FOR_CHILDREN,
            Slot::ForChildren(_) => nstrace_common::slots::TIME_FOR_CHILDREN,
        }
    }
}

/// By which way something happened (`cause.via`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Clone,
    Clone3,
    /// A task made without any `CLONE_NEW*` flag, by whichever of fork, vfork, clone, clone3.
    Fork,
    Unshare,
    Setns,
    Exec,
    Exit,
    Open,
    Close,
    Mount,
    Umount,
    /// stat(2), statx(2), access(2) and other calls that walk over an nsfs link and let go at once.
    Stat,
    /// read(2), pread(2), readv(2): of a file in /proc that looks into a task.
    Read,
    Ioctl,
    /// SCM_RIGHTS, pidfd_getfd(2).
    Receive,
    /// No system call of a user task: a kernel thread, a softirq, a kernel function called out of context.
    Kernel,
    Unknown,
}

impl Via {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Clone3 => "clone3",
            Self::Fork => "fork",
            Self::Unshare => "unshare",
            Self::Setns => "setns",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Open => "open",
            Self::Close => "close",
            Self::Mount => "mount",
            Self::Umount => "umount",
            Self::Stat => "stat",
            Self::Read => "read",
            Self::Ioctl => "ioctl",
            Self::Receive => "receive",
            Self::Kernel => "kernel",
            Self::Unknown => "unknown",
        }
    }
}

/// The call behind an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub via: Via,
    /// `CLONE_*` flags of clone, clone3, unshare; `nstype` of setns.
    pub flags: u64,
    /// Result: 0 or positive while running or successful, else the errno as a positive number.
    pub errno: Option<i32>,
    /// First argument of setns(2).
    pub fd: Option<i32>,
}

/// Which side of the kernel a [`Event::Transition`] was seen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionAt {
    /// `switch_task_namespaces`: the task's nsproxy is being replaced; it is certain.
    Switch,
    /// `commit_creds` with another user namespace; it is certain.
    Creds,
    /// Exit of setns or unshare: state before and after the whole call.
    Return,
    /// `copy_namespaces`: namespaces for a child that may still never be seen. Tentative.
    Copy,
}

/// Facts about one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NsFacts {
    pub ns: NsName,
    /// Owning user namespace (of a user namespace: its parent). None: initial, or not readable.
    pub owner: Option<NsName>,
    /// Parent of a pid or user namespace.
    pub parent: Option<NsName>,
    /// Level of a pid or user namespace, 0 = initial.
    pub level: Option<u32>,
    /// uid, in the initial user namespace, that created a user namespace.
    pub owner_uid: Option<u32>,
}

/// Where and when a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub boot_ns: u64,
    pub cpu: u32,
    /// Per-CPU record number; 0 for events that did not come from a kernel record.
    pub seq: u64,
}

/// How a nsfs holder was seen by the start-up snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinHolder {
    /// An open file of a task.
    Fd { tgid: u32, fd: i32 },
    /// A bind mount, with the mount namespace's inode number (0 unknown) and the path as seen there.
    Mount { mnt_ns: u32, path: String },
}

/// Everything the model can learn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Ties CLOCK_BOOTTIME to UTC; first event of every stream, again after a clock step.
    Clock {
        utc_ns: i64,
    },
    /// Initial namespaces of this boot, before anything else that names one.
    Initial {
        slots: SlotSet,
    },
    /// A task found by the start-up snapshot, as it was at the stamp.
    SnapshotTask {
        task: TaskInfo,
        slots: SlotSet,
    },
    /// A nsfs holder found by the start-up snapshot.
    SnapshotPin {
        ns: NsName,
        holder: PinHolder,
    },
    /// The start-up snapshot is complete: from here on everything is live.
    SnapshotEnd,
    Fork {
        call: Call,
        creator: TaskInfo,
        child: TaskInfo,
        slots: SlotSet,
    },
    Transition {
        at: TransitionAt,
        call: Call,
        task: TaskInfo,
        before: SlotSet,
        after: SlotSet,
        /// Boot time of the call's entry, nanoseconds. None where the record is not from its return, or the entry was not seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entered_boot_ns: Option<u64>,
    },
    Return {
        call: Call,
        task: TaskInfo,
    },
    /// `former_tid`: of a thread that was not the leader, the tid it had before it took over the leader's.
    Exec {
        task: TaskInfo,
        slots: SlotSet,
        former_tid: Option<u32>,
    },
    Exit {
        task: TaskInfo,
        slots: SlotSet,
    },
    Namespace(NsFacts),
    /// `ns_type` is None where the kernel function knows only the number.
    Freed {
        inum: u32,
        id: Option<u64>,
        ns_type: Option<NsType>,
    },
    Pinned {
        call: Call,
        task: TaskInfo,
        ns: NsName,
    },
    Unpinned {
        call: Call,
        task: TaskInfo,
        ns: NsName,
    },
    Install {
        call: Call,
        task: TaskInfo,
        ns: NsName,
    },
    /// Where a task stands: what tells a container's tasks from those that set it up.
    Placed(Box<Placed>),
    /// What a task did with a kernel object.
    Deed(Box<Deed>),
    /// Path of a cgroup2 directory, as seen from the cgroup root; learned when its id was first met.
    CgroupPath {
        cgroup: u64,
        path: String,
    },
    /// Path of one task's cgroup where only cgroup v1 places it.
    TaskCgroupPath {
        task: TaskKey,
        path: String,
    },
    /// What an engine told of a container.
    Container(Box<ContainerFacts>),
    /// Records lost since the last event of this kind. `hook`: None when only the sequence gap is known.
    Lost {
        count: u64,
        hook: Option<Cow<'static, str>>,
        /// The cgroup whose tasks the records were about, where it is known.
        #[serde(default)]
        cgroup: Option<u64>,
    },
    /// Of the records until this boot time (nanoseconds) all that are lost have been told as lost, and changes of namespaces are
    /// seen where they take effect. Told when somebody asked.
    Accounted {
        until: u64,
    },
}

/// One element of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    pub stamp: Stamp,
    pub event: Event,
}
