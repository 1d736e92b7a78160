//! `commit_creds(new)`: the only way in which a running task changes its user namespace.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use nstrace_common::record::hook;

use crate::{
    config::offset,
    kernel_memory::{Kptr, load_ptr},
    namespace::describe_user,
    preempt::uninterrupted,
    slots::{empty_slots, write_task_slots, write_user_slot},
    task::{current, is_self},
    transition::{Change, tell_transition},
};

#[fentry(function = "commit_creds")]
pub fn fentry_commit_creds(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    committed(ctx.arg(0));
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "commit_creds")]
pub fn fentry_commit_creds_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    committed(ctx.arg(0));
    0
}

/// A third.
#[fentry(function = "commit_creds")]
pub fn fentry_commit_creds_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    committed(ctx.arg(0));
    0
}

#[kprobe]
pub fn kprobe_commit_creds(ctx: ProbeContext) -> u32 {
    committed(ctx.arg::<u64>(0).unwrap_or(0) as Kptr);
    0
}

#[inline(always)]
fn committed(new: Kptr) {
    let task = current();
    let old = load_ptr(task, offset!(task_real_cred));
    let user_ns = offset!(cred_user_ns);
    // The usual call only changes ids or capabilities inside the same user namespace.
    if load_ptr(old, user_ns) as u64 == load_ptr(new, user_ns) as u64 || is_self() {
        return;
    }
    let mut before = empty_slots();
    // SAFETY: `before` is writable.
    unsafe { write_task_slots(&raw mut before, task) };
    let mut after = before;
    // SAFETY: `after` is writable.
    unsafe { write_user_slot(&raw mut after, new) };
    describe_user(new, &before, &after, hook::COMMIT_CREDS);
    let change = Change { before: &before, after: &after, entered_boot_ns: 0 };
    tell_transition(task, &change, 0, hook::COMMIT_CREDS);
}
