//! The system call that `current` is in, from its saved user registers.
//!
//! One read tells setns from unshare and clone from clone3 for every hook below, without a hook at each call's entry.

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use nstrace_common::{
    record::Call,
    task::{PF_EXITING, PF_KTHREAD},
};

use crate::{
    config::{has_pt_regs_helper, offset},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
};

/// x86-64 numbers of the calls whose arguments are wanted (arch/x86/entry/syscalls/syscall_64.tbl).
pub const CLONE: i32 = 56;
pub const VFORK: i32 = 58;
pub const CLONE3: i32 = 435;
pub const UNSHARE: i32 = 272;
pub const SETNS: i32 = 308;

/// `TS_COMPAT` of `thread_info.status`: the task is in a 32-bit system call.
const TS_COMPAT: u32 = 0x0002;

/// Saved user registers of `task`; null when they cannot be found.
#[inline(always)]
pub fn user_regs(task: Kptr) -> Kptr {
    if has_pt_regs_helper() {
        // SAFETY: `task` is `current` from bpf_get_current_task_btf.
        unsafe { bpf_task_pt_regs(task.cast_mut().cast()) as Kptr }
    } else {
        let stack = load_ptr(task, offset!(task_stack));
        let distance = offset!(stack_to_pt_regs);
        if stack.is_null() || distance == nstrace_common::layout::ABSENT {
            return core::ptr::null();
        }
        // SAFETY: only an address is computed.
        unsafe { stack.add(distance as usize) }
    }
}

/// Writes every field of `to` for `current` = `task`, with the return value `ret` (0 while it runs).
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_call(to: *mut Call, task: Kptr, ret: i32) {
    let task_flags = load_u32(task, offset!(task_flags));
    let (mut nr, mut flags, mut fd, mut compat) = (-1_i32, 0, -1, 0);
    if task_flags & (PF_KTHREAD | PF_EXITING) == 0 {
        let regs = user_regs(task);
        nr = load_u64(regs, offset!(pt_regs_orig_ax)) as i32;
        compat = u32::from(load_u32(task, offset!(thread_info_status)) & TS_COMPAT != 0);
        let di = load_u64(regs, offset!(pt_regs_di));
        if nr == CLONE || nr == UNSHARE {
            flags = di;
        } else if nr == SETNS {
            fd = di as i32;
            flags = load_u64(regs, offset!(pt_regs_si)) as u32 as u64;
        }
    }
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        (*to).flags = flags;
        (*to).nr = nr;
        (*to).ret = ret;
        (*to).fd = fd;
        (*to).compat = compat;
    }
}
