//! Results of the namespace-changing system calls.
//!
//! kprobe and fentry mode only want the failures: successes are seen where they take effect (`switch`, `creds`, `born`).
//! Tracepoint mode has no such place: see [`crate::entered`].

use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_probe_read_user,
    macros::{fexit, tracepoint},
    programs::{FExitContext, TracePointContext},
};
use nstrace_common::{
    record::{Return, hook, kind},
    slots::CLONE_NEW_ANY,
};

use crate::{
    config::offset,
    emit::{lose, reserve},
    kernel_memory::{Kptr, load_u64},
    preempt::uninterrupted,
    syscall::{CLONE, CLONE3, VFORK, write_call},
    task::{current, is_self, write_task},
    told::{self, Copy},
};

/// Low byte of the flags of clone(2): the exit signal, in the bits where clone3(2) has `CLONE_NEWTIME`.
const CSIGNAL: u64 = 0xff;

/// `ksys_unshare(unshare_flags)` returned. Three copies of whatever looks for refusals: see [`crate::life`].
#[fexit(function = "ksys_unshare")]
pub fn fexit_ksys_unshare(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i32>(1), hook::UNSHARE, Copy::Last);
    0
}

#[fexit(function = "ksys_unshare")]
pub fn fexit_ksys_unshare_again(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i32>(1), hook::UNSHARE, Copy::Middle);
    0
}

#[fexit(function = "ksys_unshare")]
pub fn fexit_ksys_unshare_third(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i32>(1), hook::UNSHARE, Copy::Earliest);
    0
}

/// `__x64_sys_setns(regs)` returned.
#[fexit(function = "__x64_sys_setns")]
pub fn fexit_sys_setns(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i64>(1) as i32, hook::SETNS, Copy::Last);
    0
}

#[fexit(function = "__x64_sys_setns")]
pub fn fexit_sys_setns_again(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i64>(1) as i32, hook::SETNS, Copy::Middle);
    0
}

#[fexit(function = "__x64_sys_setns")]
pub fn fexit_sys_setns_third(ctx: FExitContext) -> u32 {
    failed(ctx.arg::<i64>(1) as i32, hook::SETNS, Copy::Earliest);
    0
}

/// `kernel_clone(args)` returned: clone, clone3, fork and vfork in one place, the flags in kernel memory.
#[fexit(function = "kernel_clone")]
pub fn fexit_kernel_clone(ctx: FExitContext) -> u32 {
    cloned(ctx.arg(0), ctx.arg(1), Copy::Last);
    0
}

#[fexit(function = "kernel_clone")]
pub fn fexit_kernel_clone_again(ctx: FExitContext) -> u32 {
    cloned(ctx.arg(0), ctx.arg(1), Copy::Middle);
    0
}

#[fexit(function = "kernel_clone")]
pub fn fexit_kernel_clone_third(ctx: FExitContext) -> u32 {
    cloned(ctx.arg(0), ctx.arg(1), Copy::Earliest);
    0
}

#[inline(always)]
fn cloned(args: Kptr, ret: i32, this: Copy) {
    if ret < 0 {
        let _guard = uninterrupted();
        clone_failed(ret, load_u64(args, offset!(kernel_clone_args_flags)), this);
    }
}

/// `syscalls/sys_exit_*`: 8 bytes of common fields, the call's number, its result.
const EXIT_RET: usize = 16;

#[inline(always)]
pub fn tracepoint_ret(ctx: &TracePointContext) -> i32 {
    // SAFETY: the record of a syscall exit tracepoint is 24 bytes long; context loads need no helper.
    unsafe { ctx.as_ptr().cast::<u8>().add(EXIT_RET).cast::<i64>().read_volatile() as i32 }
}

/// For kprobe mode, with three copies because these programs can be preempted since 7.x (`trace_call_bpf_faultable`). No
/// kretprobe: the kernel keeps so many instances of one as there are CPUs (before 6.1), so a call that sleeps would keep the
/// failure of another from being seen, and nothing counts that.
#[tracepoint]
pub fn sys_exit_unshare_failed(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_unshare_failed_again(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_unshare_failed_third(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Last);
    0
}

/// See [`sys_exit_unshare_failed`].
#[tracepoint]
pub fn sys_exit_setns_failed(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::SETNS, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_setns_failed_again(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::SETNS, Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_setns_failed_third(ctx: TracePointContext) -> u32 {
    failed(tracepoint_ret(&ctx), hook::SETNS, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_clone(ctx: TracePointContext) -> u32 {
    clone_returned(tracepoint_ret(&ctx), Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_clone_again(ctx: TracePointContext) -> u32 {
    clone_returned(tracepoint_ret(&ctx), Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_clone_third(ctx: TracePointContext) -> u32 {
    clone_returned(tracepoint_ret(&ctx), Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_clone3(ctx: TracePointContext) -> u32 {
    clone3_returned(tracepoint_ret(&ctx), Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_clone3_again(ctx: TracePointContext) -> u32 {
    clone3_returned(tracepoint_ret(&ctx), Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_clone3_third(ctx: TracePointContext) -> u32 {
    clone3_returned(tracepoint_ret(&ctx), Copy::Last);
    0
}

#[inline(always)]
fn clone_returned(ret: i32, this: Copy) {
    if ret < 0 {
        let _guard = uninterrupted();
        clone_failed(ret, flags_of_clone(saved_regs()), this);
    }
}

#[inline(always)]
fn clone3_returned(ret: i32, this: Copy) {
    if ret < 0 {
        let _guard = uninterrupted();
        match flags_of_clone3(saved_regs()) {
            Some(flags) => clone_failed(ret, flags, this),
            // A page that is being moved, or was taken away meanwhile: nobody knows what was asked for.
            None if ret != EFAULT && !is_self() => lose(hook::CLONE),
            None => {}
        }
    }
}

#[inline(always)]
fn flags_of_clone(regs: Kptr) -> u64 {
    load_u64(regs, offset!(pt_regs_di)) & !CSIGNAL
}

/// `struct clone_args` starts with the flags. It is the caller's memory and may have changed since, so this labels a failed
/// attempt and nothing more. None: it cannot be read.
#[inline(always)]
fn flags_of_clone3(regs: Kptr) -> Option<u64> {
    let args = load_u64(regs, offset!(pt_regs_di));
    let mut flags = 0_u64;
    // SAFETY: the helper checks the address and zeroes `flags` on a fault.
    let failed = unsafe { bpf_probe_read_user((&raw mut flags).cast(), 8, args as *const _) };
    (failed == 0).then_some(flags)
}

/// What the call that `current` is in asks of its child, as the kernel understands it: clone, clone3, fork or vfork.
#[inline(always)]
pub fn asked_flags() -> u64 {
    let regs = saved_regs();
    match load_u64(regs, offset!(pt_regs_orig_ax)) as i32 {
        CLONE => flags_of_clone(regs),
        CLONE3 => flags_of_clone3(regs).unwrap_or(0),
        VFORK => CLONE_VFORK_VM,
        _ => 0,
    }
}

/// `CLONE_VFORK | CLONE_VM`.
const CLONE_VFORK_VM: u64 = 0x4100;

/// `-EFAULT`: the kernel could not read it either.
const EFAULT: i32 = -14;

#[inline(always)]
fn saved_regs() -> Kptr {
    crate::syscall::user_regs(current())
}

#[inline(always)]
fn clone_failed(ret: i32, flags: u64, this: Copy) {
    if flags & CLONE_NEW_ANY == 0 {
        return;
    }
    if told::is_told_by_other(hook::CLONE, this, || flags ^ u64::from(ret as u32) << 32) {
        return;
    }
    let Some(mut entry) = reserve::<Return>(kind::RETURN, hook::CLONE) else { return };
    let to = entry.as_mut_ptr();
    let task = current();
    // SAFETY: the entry is as large as `Return`.
    unsafe {
        write_call(&raw mut (*to).call, task, ret);
        (*to).call.flags = flags;
        write_task(&raw mut (*to).task, task);
    }
    entry.submit(0);
}

/// What `current` asked setns or unshare for, and what came of it.
#[inline(always)]
pub fn asked(ret: i32) -> u64 {
    let regs = saved_regs();
    let (first, second) = (load_u64(regs, offset!(pt_regs_di)), load_u64(regs, offset!(pt_regs_si)));
    first ^ second.rotate_left(16) ^ u64::from(ret as u32) << 32
}

#[inline(always)]
fn failed(ret: i32, by: u16, this: Copy) {
    if ret < 0 && !is_self() {
        let _guard = uninterrupted();
        if !told::is_told_by_other(by, this, || asked(ret)) {
            tell_failure(ret, by);
        }
    }
}

#[inline(always)]
pub fn tell_failure(ret: i32, by: u16) {
    let task = current();
    let Some(mut entry) = reserve::<Return>(kind::RETURN, by) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Return`.
    unsafe {
        write_call(&raw mut (*to).call, task, ret);
        write_task(&raw mut (*to).task, task);
    }
    entry.submit(0);
}
