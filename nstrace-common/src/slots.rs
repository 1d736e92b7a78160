//! The ten places in which a task refers to a namespace.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Number of namespace types (namespaces(7)).
pub const TYPES: usize = 8;

/// Number of namespace slots of a task: the eight types, then `pid_for_children` and `time_for_children`.
pub const SLOTS: usize = 10;

pub const MNT: usize = 0;
pub const PID: usize = 1;
pub const NET: usize = 2;
pub const IPC: usize = 3;
pub const UTS: usize = 4;
pub const USER: usize = 5;
pub const CGROUP: usize = 6;
pub const TIME: usize = 7;
pub const PID_FOR_CHILDREN: usize = 8;
pub const TIME_FOR_CHILDREN: usize = 9;

/// `CLONE_NEW*` of each type, indexed as [`MNT`] to [`TIME`] (include/uapi/linux/sched.h).
pub const CLONE_FLAG: [u64; TYPES] =
    [0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0800_0000, 0x0400_0000, 0x1000_0000, 0x0200_0000, 0x0000_0080];

/// All `CLONE_NEW*` flags. `CLONE_NEWTIME` shares its bit with the signal mask of the legacy clone(2).
pub const CLONE_NEW_ANY: u64 = {
    let mut all = 0;
    let mut i = 0;
    while i < TYPES {
        all |= CLONE_FLAG[i];
        i += 1;
    }
    all
};

/// What the ten slots of one task held, from `task->nsproxy`, `task->real_cred->user_ns` and `task->thread_pid`.
///
/// `inum == 0` means the slot could not be read (no nsproxy any more, or the kernel has no such type).
/// `id` is the kernel's never-reused 64-bit `ns_id` (6.18 and newer), else 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Slots {
    pub id: [u64; SLOTS],
    pub inum: [u32; SLOTS],
}
const _: () = assert!(size_of::<Slots>() == 120);
