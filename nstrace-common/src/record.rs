//! The records of the ring buffer and of the iterators. One fixed size per kind.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{slots::Slots, task::Task};

/// Version of everything in this crate; a recording names the one it was written under.
pub const ABI: u16 = 1;

/// What a record is ([`Header::kind`]).
pub mod kind {
    /// [`super::Fork`]: a task was born.
    pub const FORK: u16 = 1;
    /// [`super::Transition`]: the namespaces of an existing task change.
    pub const TRANSITION: u16 = 2;
    /// [`super::Return`]: a namespace-changing call ended, well or not.
    pub const RETURN: u16 = 3;
    /// [`super::TaskState`]: a task executed a new program.
    pub const EXEC: u16 = 4;
    /// [`super::TaskState`]: a task is dying.
    pub const EXIT: u16 = 5;
    /// [`super::Namespace`]: what a namespace is (emitted before the record that first shows it in a slot).
    pub const NAMESPACE: u16 = 6;
    /// [`super::Freed`]: a namespace is gone; its inode number is about to be free again.
    pub const FREED: u16 = 7;
    /// [`super::Pin`]: the first nsfs inode of a namespace appeared.
    pub const PINNED: u16 = 8;
    /// [`super::Pin`]: the last nsfs file or bind mount of a namespace is gone.
    pub const UNPINNED: u16 = 9;
    /// [`super::Install`]: setns(2) was refused one namespace.
    pub const INSTALL: u16 = 10;
    /// [`super::TaskState`]: a task that an iterator found.
    pub const TASK: u16 = 11;
    /// [`crate::deed::Placed`]: where a task stands after execve(2), or when an iterator found it.
    pub const PLACED: u16 = 12;
    /// [`crate::deed::Deed`]: what a task did with a kernel object.
    pub const DEED: u16 = 13;
}

/// Which hook wrote a record ([`Header::hook`]). The model rarely cares; `doctor`, loss accounting and duplicates do.
pub mod hook {
    pub const TASK_NEWTASK: u16 = 1;
    pub const SCHED_PROCESS_EXEC: u16 = 2;
    pub const SCHED_PROCESS_EXIT: u16 = 3;
    pub const SWITCH_TASK_NAMESPACES: u16 = 4;
    pub const COMMIT_CREDS: u16 = 5;
    pub const COPY_NAMESPACES: u16 = 6;
    pub const UNSHARE: u16 = 7;
    pub const SETNS: u16 = 8;
    pub const CLONE: u16 = 9;
    pub const PROC_FREE_INUM: u16 = 10;
    pub const NSFS_INIT: u16 = 11;
    pub const NSFS_EVICT: u16 = 12;
    pub const NS_INSTALL: u16 = 13;
    pub const NS_TREE_ADD: u16 = 14;
    pub const ITER_TASK: u16 = 15;
    pub const FILE_OPEN: u16 = 16;
    pub const RECEIVE_FD: u16 = 17;
    pub const PTRACE_ACCESS: u16 = 18;
    pub const GET_TREE: u16 = 19;
    pub const MOUNT: u16 = 20;
    pub const HANDLE_OPEN: u16 = 21;
    pub const UNIX_CONNECT: u16 = 22;
    pub const KERNEL_LOAD: u16 = 23;
    pub const HELPER: u16 = 24;
    pub const CGROUP_ATTACH: u16 = 25;
    pub const ID_MAP: u16 = 26;
    pub const FS_ROOT: u16 = 27;
    pub const FS_PWD: u16 = 28;
    pub const MKNOD: u16 = 29;
    pub const CAPABLE: u16 = 30;
    /// Number of hooks + 1: size of the per-hook drop counters.
    pub const COUNT: usize = 31;
}

/// Start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    /// Counts the records of this CPU, those that found the ring full included: a gap is a loss.
    /// Softirqs may interleave two neighbours, so order inside a CPU is the ring's, not this number's.
    pub seq: u64,
    /// CLOCK_BOOTTIME, nanoseconds.
    pub boot_ns: u64,
    /// One of [`kind`].
    pub kind: u16,
    /// One of [`hook`].
    pub hook: u16,
    pub cpu: u32,
}
const _: () = assert!(size_of::<Header>() == 24);

/// The system call that `current` was in, from its saved user registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Call {
    /// `CLONE_*` flags of clone, clone3, unshare; `nstype` of setns; 0 elsewhere.
    pub flags: u64,
    /// System call number (`orig_ax`), -1 when `current` was in none or it could not be read.
    pub nr: i32,
    /// Return value of the call, 0 while it has not returned; negative = -errno.
    pub ret: i32,
    /// First argument of setns(2), else -1.
    pub fd: i32,
    /// 1 when the system call number is one of the 32-bit ABI.
    pub compat: u32,
}
const _: () = assert!(size_of::<Call>() == 24);

/// A namespace named by the kernel: its three identities.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NsRef {
    /// 64-bit `ns_id` (6.18+), else 0.
    pub id: u64,
    /// Inode number on nsfs; 0 = none.
    pub inum: u32,
    /// `CLONE_NEW*` of its type; 0 when the hook cannot tell.
    pub clone_flag: u32,
}
const _: () = assert!(size_of::<NsRef>() == 16);

/// [`kind::FORK`]: `creator` (= `current`) made `child`, which is visible from now on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Fork {
    pub header: Header,
    pub call: Call,
    pub creator: Task,
    pub child: Task,
    /// Slots of the child.
    pub slots: Slots,
}
const _: () = assert!(size_of::<Fork>() == 568);

/// [`kind::TRANSITION`]: `task` (= `current`) changes namespaces.
///
/// From `switch_task_namespaces` and `commit_creds` at their entry: a slot that this hook does not change holds the
/// same in `before` and `after`. From a system call's exit (tracepoint mode): the state at its entry and at its exit.
/// From `copy_namespaces`: `after` is what a child that is not visible yet would get (tentative).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Transition {
    pub header: Header,
    pub call: Call,
    pub task: Task,
    pub before: Slots,
    pub after: Slots,
    /// CLOCK_BOOTTIME of the call's entry, nanoseconds, where this is told at its exit and the entry was seen; else 0.
    pub entered_boot_ns: u64,
}
const _: () = assert!(size_of::<Transition>() == 496);

/// [`kind::RETURN`]: setns, unshare, clone or clone3 returned `call.ret`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Return {
    pub header: Header,
    pub call: Call,
    pub task: Task,
}
const _: () = assert!(size_of::<Return>() == 248);

/// [`kind::EXEC`], [`kind::EXIT`], [`kind::TASK`]: a task and its slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TaskState {
    pub header: Header,
    pub task: Task,
    pub slots: Slots,
}
const _: () = assert!(size_of::<TaskState>() == 344);

/// [`kind::NAMESPACE`]: one namespace described.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Namespace {
    pub header: Header,
    pub ns: NsRef,
    /// The owning user namespace; of a user namespace: its parent. `inum` 0 = none (initial) or unreadable.
    pub owner: NsRef,
    /// Parent of a pid or user namespace; `inum` 0 = none.
    pub parent: NsRef,
    /// Nesting level of a pid or user namespace.
    pub level: u32,
    /// `user_namespace.owner`, a uid in the initial user namespace; `u32::MAX` for other types.
    pub owner_uid: u32,
}
const _: () = assert!(size_of::<Namespace>() == 80);

/// [`kind::FREED`]. Who runs here says nothing about the cause: often a kworker or a softirq.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Freed {
    pub header: Header,
    /// `clone_flag` and `id` are 0 where the hook is `proc_free_inum`, which knows only the number.
    pub ns: NsRef,
}
const _: () = assert!(size_of::<Freed>() == 40);

/// [`kind::PINNED`], [`kind::UNPINNED`]: by `task` (= `current`), inside `call`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Pin {
    pub header: Header,
    pub call: Call,
    pub task: Task,
    pub ns: NsRef,
}
const _: () = assert!(size_of::<Pin>() == 264);

/// [`kind::INSTALL`]: `proc_ns_operations.install` refused to put `ns` into the caller's nsset, with `call.ret`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Install {
    pub header: Header,
    pub call: Call,
    pub task: Task,
    pub ns: NsRef,
}
const _: () = assert!(size_of::<Install>() == 264);

/// Size in bytes of a record of this kind; None for an unknown kind. Iterators write records one after the other.
pub const fn size_of_kind(kind: u16) -> Option<usize> {
    Some(match kind {
        kind::FORK => size_of::<Fork>(),
        kind::TRANSITION => size_of::<Transition>(),
        kind::RETURN => size_of::<Return>(),
        kind::EXEC | kind::EXIT | kind::TASK => size_of::<TaskState>(),
        kind::NAMESPACE => size_of::<Namespace>(),
        kind::FREED => size_of::<Freed>(),
        kind::PINNED | kind::UNPINNED => size_of::<Pin>(),
        kind::INSTALL => size_of::<Install>(),
        kind::PLACED => size_of::<crate::deed::Placed>(),
        kind::DEED => size_of::<crate::deed::Deed>(),
        _ => return None,
    })
}
