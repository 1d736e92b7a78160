//! `commit_creds(new)`: the only way in which a running task changes its user namespace.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use nstrace_common::record::{Transition, hook, kind};

use crate::{
    config::offset,
    emit::reserve,
    kernel_memory::{Kptr, load_ptr},
    namespace::describe_user,
    preempt::uninterrupted,
    slots::{empty_slots, write_task_slots, write_user_slot},
    syscall::write_call,
    task::{current, is_self, write_task},
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
    let Some(mut entry) = reserve::<Transition>(kind::TRANSITION, hook::COMMIT_CREDS) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Transition`.
    unsafe {
        write_call(&raw mut (*to).call, task, 0);
        write_task(&raw mut (*to).task, task);
        (*to).before = before;
        (*to).after = after;
        (*to).entered_boot_ns = 0;
    }
    entry.submit(0);
}
