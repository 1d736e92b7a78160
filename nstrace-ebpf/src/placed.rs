//! Where a task stands after execve(2): its root and working directory, its program, and what it may do.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use nstrace_common::{
    deed::Placed,
    layout::ABSENT,
    record::{hook, kind},
    slots::MNT,
};

use crate::{
    config::{offset, typed},
    emit::{crowded, reserve},
    initial::all_initial,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    place::{deeds, is_internal, mount_namespace, write_place},
    preempt::uninterrupted,
    slots::{inum, write_task_slots},
    task::{is_self, write_task},
};

/// `sched_process_exec(p, old_pid, bprm)`; a program of its own, so that a kernel that refuses it still tells who executed.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn placed_process_exec(ctx: BtfTracePointContext) -> u32 {
    let _guard = uninterrupted();
    executed(ctx.arg(0));
    0
}

/// A second copy: see [`crate::life`].
#[btf_tracepoint(function = "sched_process_exec")]
pub fn placed_process_exec_again(ctx: BtfTracePointContext) -> u32 {
    let _guard = uninterrupted();
    executed(ctx.arg(0));
    0
}

#[inline(always)]
fn executed(task: Kptr) {
    if all_initial(task) && !runs_foreign(task) || is_self() || crowded(hook::SCHED_PROCESS_EXEC) {
        return;
    }
    let Some(mut entry) = reserve::<Placed>(kind::PLACED, hook::SCHED_PROCESS_EXEC) else { return };
    // SAFETY: the entry is as large as `Placed`.
    unsafe { write_placed(entry.as_mut_ptr(), task, 1) };
    entry.submit(0);
}

/// The program lies on a mount of another mount namespace than the task's: by way of /proc/PID/root, say. What is attached nowhere,
/// and what the kernel holds for itself (memfds), is not meant.
#[inline(always)]
fn runs_foreign(task: Kptr) -> bool {
    if typed() {
        return false;
    }
    let exe = load_ptr(load_ptr(task, deeds!(task_mm)), deeds!(mm_exe_file));
    let ns = mount_namespace(load_ptr(exe, deeds!(file_mnt)));
    let own = load_ptr(load_ptr(task, offset!(task_nsproxy)), offset!(nsproxy_mnt));
    ns as u64 != own as u64 && !is_internal(ns) && inum::<MNT>(ns) != 0
}

/// `PFA_NO_NEW_PRIVS` of `task->atomic_flags`, as a bit (include/linux/sched.h).
const NO_NEW_PRIVS: u64 = 1;

/// Writes everything of `to` but the header.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_placed(to: *mut Placed, task: Kptr, executed: u32) {
    let fs = load_ptr(task, deeds!(task_fs));
    let exe = load_ptr(load_ptr(task, deeds!(task_mm)), deeds!(mm_exe_file));
    let cred = load_ptr(task, offset!(task_real_cred));
    let or_unknown = |offset: u32, value: u32| if offset == ABSENT { u32::MAX } else { value };
    let no_new_privs = (load_u64(task, deeds!(task_atomic_flags)) & NO_NEW_PRIVS) as u32;
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        write_task(&raw mut (*to).task, task);
        write_task_slots(&raw mut (*to).slots, task);
        write_place(&raw mut (*to).root, load_ptr(fs, deeds!(fs_root_mnt)), load_ptr(fs, deeds!(fs_root_dentry)));
        write_place(&raw mut (*to).pwd, load_ptr(fs, deeds!(fs_pwd_mnt)), load_ptr(fs, deeds!(fs_pwd_dentry)));
        write_place(&raw mut (*to).exe, load_ptr(exe, deeds!(file_mnt)), load_ptr(exe, deeds!(file_dentry)));
        (*to).cap_permitted = load_u64(cred, deeds!(cred_cap_permitted));
        (*to).cap_bounding = load_u64(cred, deeds!(cred_cap_bset));
        (*to).seccomp = or_unknown(deeds!(task_seccomp_mode), load_u32(task, deeds!(task_seccomp_mode)));
        (*to).no_new_privs = or_unknown(deeds!(task_atomic_flags), no_new_privs);
        (*to).loginuid = or_unknown(deeds!(task_loginuid), load_u32(task, deeds!(task_loginuid)));
        (*to).executed = executed;
    }
}
