//! `switch_task_namespaces(p, new)`: setns(2) and unshare(2) take effect.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use nstrace_common::record::hook;

use crate::{
    emit::debug,
    kernel_memory::Kptr,
    namespace::describe_changed,
    preempt::uninterrupted,
    slots::{empty_slots, write_nsproxy_slots, write_task_slots},
    task::{current, is_self},
    transition::{Change, tell_transition},
};

#[fentry(function = "switch_task_namespaces")]
pub fn fentry_switch_task_namespaces(ctx: FEntryContext) -> u32 {
    debug!(&ctx, "fentry switch_task_namespaces");
    let _guard = uninterrupted();
    switched(ctx.arg(0), ctx.arg(1));
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "switch_task_namespaces")]
pub fn fentry_switch_task_namespaces_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    switched(ctx.arg(0), ctx.arg(1));
    0
}

/// A third.
#[fentry(function = "switch_task_namespaces")]
pub fn fentry_switch_task_namespaces_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    switched(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe]
pub fn kprobe_switch_task_namespaces(ctx: ProbeContext) -> u32 {
    debug!(&ctx, "kprobe switch_task_namespaces");
    switched(ctx.arg::<u64>(0).unwrap_or(0) as Kptr, ctx.arg::<u64>(1).unwrap_or(0) as Kptr);
    0
}

#[inline(always)]
fn switched(task: Kptr, new: Kptr) {
    let running = current();
    // new == NULL: exit, which sched_process_exit reports. Another task than `current`: a clone that failed half-way.
    if new as u64 == 0 || task as u64 != running as u64 || is_self() {
        return;
    }
    let mut before = empty_slots();
    // SAFETY: `before` is writable.
    unsafe { write_task_slots(&raw mut before, running) };
    let mut after = before;
    // SAFETY: `after` is writable.
    unsafe { write_nsproxy_slots(&raw mut after, new) };
    describe_changed(new, &before, &after, hook::SWITCH_TASK_NAMESPACES);
    let change = Change { before: &before, after: &after, entered_boot_ns: 0 };
    tell_transition(running, &change, 0, hook::SWITCH_TASK_NAMESPACES);
}
