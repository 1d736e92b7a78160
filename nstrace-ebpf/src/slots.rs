//! The ten namespace slots of a task.

use nstrace_common::slots::{
    CGROUP, IPC, MNT, NET, PID, PID_FOR_CHILDREN, SLOTS, Slots, TIME, TIME_FOR_CHILDREN, USER, UTS,
};

use crate::{
    config::offset,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
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
pub fn empty_slots() -> Slots {
    Slots { id: [0; SLOTS], inum: [0; SLOTS] }
}

/// Writes all ten slots: those of `nsproxy`, the user namespace of `cred`, and the pid namespace `task` lives in.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_slots(to: *mut Slots, task: Kptr, nsproxy: Kptr, cred: Kptr) {
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        for_each_nsproxy_slot!(|SLOT, T, member| {
            let ns = load_ptr(nsproxy, member);
            (*to).inum[SLOT] = inum::<T>(ns);
            (*to).id[SLOT] = ns_id::<T>(ns);
        });
        let user = load_ptr(cred, offset!(cred_user_ns));
        (*to).inum[USER] = inum::<USER>(user);
        (*to).id[USER] = ns_id::<USER>(user);
        let pid = active_pid_ns(task);
        (*to).inum[PID] = inum::<PID>(pid);
        (*to).id[PID] = ns_id::<PID>(pid);
    }
}

/// Writes the slots that `task` holds now.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_task_slots(to: *mut Slots, task: Kptr) {
    let nsproxy = load_ptr(task, offset!(task_nsproxy));
    let cred = load_ptr(task, offset!(task_real_cred));
    // SAFETY: as the caller promises.
    unsafe { write_slots(to, task, nsproxy, cred) };
}

const _: () = assert!(SLOTS == 10 && MNT == 0 && TIME_FOR_CHILDREN == 9 && PID_FOR_CHILDREN == 8);
const _: () = assert!(NET == 2 && IPC == 3 && UTS == 4 && CGROUP == 6 && TIME == 7);
