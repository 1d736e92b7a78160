//! Who did it: a task as the kernel knows it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `MAX_PID_NS_LEVEL` + 1 (include/linux/pid_namespace.h): the most PIDs one task can have.
pub const PID_LEVELS: usize = 33;

/// `TASK_COMM_LEN` (include/linux/sched.h), the final NUL included.
pub const COMM_LEN: usize = 16;

/// `PF_EXITING` of `task->flags`: getting shut down.
pub const PF_EXITING: u32 = 0x0000_0004;
/// `PF_KTHREAD` of `task->flags`.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// Identity and credentials of a task at the moment of the record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Task {
    /// `task->start_boottime`, nanoseconds of CLOCK_BOOTTIME. With `tid` the key of a task: PIDs are reused, this pair is not.
    pub start_boottime: u64,
    /// Id of the task's cgroup in the cgroup2 hierarchy (`task->cgroups->dfl_cgrp->kn->id`, the directory's inode), 0 unknown.
    pub cgroup: u64,
    /// `task->real_cred->cap_effective`.
    pub cap_effective: u64,
    /// `task->pid`: thread id in the initial pid namespace.
    pub tid: u32,
    /// `task->tgid`: process id in the initial pid namespace.
    pub tgid: u32,
    /// `task->real_cred->uid`, in the initial user namespace.
    pub uid: u32,
    /// `task->real_cred->euid`, in the initial user namespace.
    pub euid: u32,
    /// `task->flags` (`PF_*`).
    pub flags: u32,
    /// `task->thread_pid->level`: depth of the task's pid namespace, 0 for the initial one.
    pub level: u32,
    /// Thread id in every pid namespace from the initial one (0) to the task's own (`level`); 0 beyond.
    pub pids: [u32; PID_LEVELS],
    /// Of an exec by a thread that was not the leader: the tid it had before it took over the leader's; else 0.
    pub former_tid: u32,
    /// `task->comm`, NUL-terminated. Chosen by the traced program: hostile.
    pub comm: [u8; COMM_LEN],
}
const _: () = assert!(size_of::<Task>() == 200);
