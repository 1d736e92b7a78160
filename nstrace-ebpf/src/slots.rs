//! The ten namespace slots of a task.

use nstrace_common::slots::{
    CGROUP, IPC, MNT, NET, PID, PID_FOR_CHILDREN, SLOTS, Slots, TIME, TIME_FOR_CHILDREN, USER, UTS,
};

use crate::{
    config::{offset, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, read_bytes},
    task::active_pid_ns,
};

/// `ns_common.inum` of a namespace of type `T`.
#[inline(always)]
pub fn inum<const T: usize>(ns: Kptr) -> u32 {
    load_u32(ns, offset!(ns_common[T]) + offset!(ns_common_inum))
}

/// `ns_common.ns_id`, 0 before 6.18.
#[inline(always)]
pub fn ns_id<const T: usize>(ns: Kptr) -> u64 {
    let id = offset!(ns_common_ns_id);
    if id == nstrace_common::layout::ABSENT { 0 } else { load_u64(ns, offset!(ns_common[T]) + id) }
}

/// Runs `$body` for the seven types and two roles that hang on `nsproxy`: slot, type, offset of the member.
macro_rules! for_each_nsproxy_slot {
    (|$slot:ident, $t:ident, $member:ident| $body:block) => {
        for_each_nsproxy_slot!(@ $slot $t $member $body
            (MNT MNT nsproxy_mnt) (NET NET nsproxy_net) (IPC IPC nsproxy_ipc) (UTS UTS nsproxy_uts)
            (CGROUP CGROUP nsproxy_cgroup) (TIME TIME nsproxy_time)
            (PID_FOR_CHILDREN PID nsproxy_pid_for_children) (TIME_FOR_CHILDREN TIME nsproxy_time_for_children))
    };
    (@ $slot:ident $t:ident $member:ident $body:block $(($s:ident $ty:ident $m:ident))+) => {
        $( {
            #[allow(dead_code)]
            const $slot: usize = nstrace_common::slots::$s;
            const $t: usize = nstrace_common::slots::$ty;
            let $member = $crate::config::offset!($m);
            $body
        } )+
    };
}
pub(crate) use for_each_nsproxy_slot;

/// Slots of which nothing is known.
#[inline(always)]
pub const fn empty_slots() -> Slots {
    Slots { id: [0; SLOTS], inum: [0; SLOTS] }
}

/// Bytes of `struct nsproxy`, as far as all members of interest lie in them on every kernel so far.
const NSPROXY_BYTES: usize = 72;

/// Writes the eight slots of `nsproxy`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_nsproxy_slots(to: *mut Slots, nsproxy: Kptr) {
    // One read instead of eight, where reads are calls of a helper.
    let mut copy = [0_u64; NSPROXY_BYTES / 8];
    if !typed() {
        read_bytes((&raw mut copy).cast(), NSPROXY_BYTES as u32, nsproxy, 0);
    }
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        for_each_nsproxy_slot!(|SLOT, T, member| {
            let ns = if typed() || member > NSPROXY_BYTES as u32 - 8 {
                load_ptr(nsproxy, member)
            } else {
                (&raw const copy).cast::<u8>().add(member as usize).cast::<Kptr>().read_volatile()
            };
            (*to).inum[SLOT] = inum::<T>(ns);
            (*to).id[SLOT] = ns_id::<T>(ns);
        });
    }
}

/// Writes the slot of the user namespace of `cred`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_user_slot(to: *mut Slots, cred: Kptr) {
    let user = load_ptr(cred, offset!(cred_user_ns));
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        (*to).inum[USER] = inum::<USER>(user);
        (*to).id[USER] = ns_id::<USER>(user);
    }
}

/// Writes all ten slots that `task` holds now: those of its `nsproxy`, the user namespace of its credentials, and the pid
/// namespace it lives in.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_task_slots(to: *mut Slots, task: Kptr) {
    // SAFETY: as the caller promises.
    unsafe {
        write_nsproxy_slots(to, load_ptr(task, offset!(task_nsproxy)));
        write_user_slot(to, load_ptr(task, offset!(task_real_cred)));
        let pid = active_pid_ns(task);
        (*to).inum[PID] = inum::<PID>(pid);
        (*to).id[PID] = ns_id::<PID>(pid);
    }
}

const _: () = assert!(SLOTS == 10 && MNT == 0 && TIME_FOR_CHILDREN == 9 && PID_FOR_CHILDREN == 8);
const _: () = assert!(NET == 2 && IPC == 3 && UTS == 4 && CGROUP == 6 && TIME == 7);
