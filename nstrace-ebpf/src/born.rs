//! Tasks being born: `task_newtask` (every task, io_uring and vhost workers included) and `copy_namespaces`.

use aya_ebpf::{
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use nstrace_common::{
    record::{Fork, Transition, hook, kind},
    slots::CLONE_NEW_ANY,
};

use crate::{
    calls::asked_flags,
    config::offset,
    emit::{crowded, debug, reserve},
    initial::all_initial,
    kernel_memory::{Kptr, load_ptr, load_u32},
    namespace::{describe_active_pid, describe_changed, describe_user},
    preempt::uninterrupted,
    slots::{empty_slots, write_task_slots},
    syscall::write_call,
    task::{current, incarnation, is_self, write_task},
    told,
};

/// `task_newtask(task, clone_flags)`: the child is complete and about to be visible; `current` is its creator.
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> u32 {
    let child: Kptr = ctx.arg(0);
    let flags: u64 = ctx.arg(1);
    debug!(&ctx, "task_newtask {} flags {:x}", crate::kernel_memory::load_u32(child, offset!(task_pid)), flags);
    if !all_initial(child) {
        let _guard = uninterrupted();
        born(child, flags);
    }
    0
}

/// A second copy, which runs while the first is being preempted: see [`crate::life`].
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask_again(ctx: BtfTracePointContext) -> u32 {
    let child: Kptr = ctx.arg(0);
    if !all_initial(child) {
        let _guard = uninterrupted();
        born(child, ctx.arg(1));
    }
    0
}

/// `sched_wakeup_new(p)`: what every new task passes after `task_newtask` (see [`crate::life`]), its flags only in the call's
/// arguments. With interrupts off, so that nothing can come in between.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn task_newtask_elsewhere(ctx: BtfTracePointContext) -> u32 {
    let child: Kptr = ctx.arg(0);
    if !all_initial(child) {
        woken(child);
    }
    0
}

#[inline(always)]
fn woken(child: Kptr) {
    // Nearly always it has been told: no need to look for its flags.
    if !told::is_told(hook::TASK_NEWTASK, load_u32(child, offset!(task_pid)), incarnation(child)) {
        born(child, asked_flags());
    }
}

#[inline(always)]
fn born(child: Kptr, flags: u64) {
    if is_self() {
        return;
    }
    let (tid, incarnation) = (load_u32(child, offset!(task_pid)), incarnation(child));
    if told::is_told(hook::TASK_NEWTASK, tid, incarnation) {
        return;
    }
    if flags & CLONE_NEW_ANY == 0 && crowded(hook::TASK_NEWTASK) {
        return;
    }
    let creator = current();
    let mut slots = empty_slots();
    // SAFETY: `slots` is writable.
    unsafe { write_task_slots(&raw mut slots, child) };
    if flags & CLONE_NEW_ANY != 0 {
        // Describe first: a namespace is known when the record that shows it arrives.
        let mut before = empty_slots();
        // SAFETY: `before` is writable.
        unsafe { write_task_slots(&raw mut before, creator) };
        describe_changed(load_ptr(child, offset!(task_nsproxy)), &before, &slots, hook::TASK_NEWTASK);
        describe_user(load_ptr(child, offset!(task_real_cred)), &before, &slots, hook::TASK_NEWTASK);
        describe_active_pid(child, &before, &slots, hook::TASK_NEWTASK);
    }
    let Some(mut entry) = reserve::<Fork>(kind::FORK, hook::TASK_NEWTASK) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Fork`.
    unsafe {
        write_call(&raw mut (*to).call, creator, 0);
        // The kernel's own copy: without the exit signal, which clone(2) passes in the bits that hold `CLONE_NEWTIME`.
        (*to).call.flags = flags;
        write_task(&raw mut (*to).creator, creator);
        write_task(&raw mut (*to).child, child);
        (*to).slots = slots;
    }
    entry.submit(0);
    told::tell(hook::TASK_NEWTASK, tid, incarnation);
}

/// `copy_namespaces(flags, tsk)` with its result: namespaces made for a child that nobody can see yet.
#[fexit(function = "copy_namespaces")]
pub fn fexit_copy_namespaces(ctx: FExitContext) -> u32 {
    let _guard = uninterrupted();
    copied(ctx.arg::<u64>(0), ctx.arg::<Kptr>(1), ctx.arg::<i32>(2));
    0
}

#[inline(always)]
fn copied(flags: u64, child: Kptr, ret: i32) {
    if flags & CLONE_NEW_ANY == 0 || is_self() {
        return;
    }
    let creator = current();
    let Some(mut entry) = reserve::<Transition>(kind::TRANSITION, hook::COPY_NAMESPACES) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Transition`.
    unsafe {
        write_call(&raw mut (*to).call, creator, ret);
        (*to).call.flags = flags;
        write_task(&raw mut (*to).task, creator);
        write_task_slots(&raw mut (*to).before, creator);
        write_task_slots(&raw mut (*to).after, if ret < 0 { creator } else { child });
        (*to).entered_boot_ns = 0;
    }
    entry.submit(0);
}
