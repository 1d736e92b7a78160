//! Results of the namespace-changing system calls.
//!
//! kprobe and fentry mode only want the failures: successes are seen where they take effect (`switch`, `creds`, `born`).
//! Tracepoint mode has no such place and compares the task's slots at a call's entry with those at its exit.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::{fexit, map, tracepoint},
    maps::LruHashMap,
    programs::{FExitContext, TracePointContext},
};
use nstrace_common::{
    record::{Return, Transition, hook, kind},
    slots::{CLONE_NEW_ANY, Slots},
};

use crate::{
    config::{doubled, offset},
    emit::{lose, reserve},
    kernel_memory::{Kptr, load_ptr, load_u64},
    namespace::{describe_changed, describe_user},
    preempt::uninterrupted,
    slots::{empty_slots, write_task_slots},
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
fn tracepoint_ret(ctx: &TracePointContext) -> i32 {
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
fn asked(ret: i32) -> u64 {
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
fn tell_failure(ret: i32, by: u16) {
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

/// Slots at the entry of setns or unshare, by tid. LRU: what is pushed out is told as lost at the return.
#[map]
static ENTERED: LruHashMap<u32, Slots> = LruHashMap::with_max_entries(4096, 0);

#[tracepoint]
pub fn sys_enter_setns(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::SETNS, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_enter_setns_again(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::SETNS, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_enter_unshare(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::UNSHARE, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_enter_unshare_again(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::UNSHARE, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_setns(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::SETNS, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_setns_again(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::SETNS, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_unshare(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_unshare_again(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Last);
    0
}

#[inline(always)]
fn entered(by: u16, this: Copy) {
    if is_self() {
        return;
    }
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    if matches!(this, Copy::Earliest) {
        forget_call(tid, by);
    }
    let mut slots = empty_slots();
    // SAFETY: `slots` is writable.
    unsafe { write_task_slots(&raw mut slots, current()) };
    let _ = ENTERED.insert(&tid, &slots, 0);
}

/// A task is past its last setns or unshare. Every return takes away what the entry left, so if it is there still, all programs at
/// the return were skipped.
#[inline(always)]
pub fn forget_call(tid: u32, by: u16) {
    // SAFETY: only asked whether there is one.
    if doubled() && unsafe { ENTERED.get(&tid) }.is_some() {
        let _ = ENTERED.remove(&tid);
        lose(by);
    }
}

#[inline(always)]
fn returned(ret: i32, by: u16, this: Copy) {
    if is_self() || told::is_told_by_other(by, this, || asked(ret)) {
        return;
    }
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    if ret < 0 {
        let _ = ENTERED.remove(&tid);
        tell_failure(ret, by);
        return;
    }
    // SAFETY: copied out at once; only this task writes its own entry.
    let before = match unsafe { ENTERED.get(&tid) } {
        Some(slots) => *slots,
        // The entry was pushed out of the map, or its program was skipped: what the call changed cannot be told.
        None => {
            lose(by);
            empty_slots()
        }
    };
    let _ = ENTERED.remove(&tid);
    let task = current();
    let mut after = empty_slots();
    // SAFETY: `after` is writable.
    unsafe { write_task_slots(&raw mut after, task) };
    describe_changed(load_ptr(task, offset!(task_nsproxy)), &before, &after, by);
    describe_user(load_ptr(task, offset!(task_real_cred)), &before, &after, by);
    let Some(mut entry) = reserve::<Transition>(kind::TRANSITION, by) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Transition`.
    unsafe {
        write_call(&raw mut (*to).call, task, ret);
        write_task(&raw mut (*to).task, task);
        (*to).before = before;
        (*to).after = after;
    }
    entry.submit(0);
}
