//! The end of a namespace: its inode number is given back.

use aya_ebpf::{
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use nstrace_common::record::{Freed, NsRef, hook, kind};

use crate::{
    deed_tasks::forget_used, emit::reserve, kernel_memory::Kptr, namespace::write_common_ref, preempt::uninterrupted,
};

/// `proc_free_inum(inum)`: entered before the number can be handed out again, in whatever context frees the namespace.
#[fentry(function = "proc_free_inum")]
pub fn fentry_proc_free_inum(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    number_freed(ctx.arg(0));
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "proc_free_inum")]
pub fn fentry_proc_free_inum_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    number_freed(ctx.arg(0));
    0
}

/// A third.
#[fentry(function = "proc_free_inum")]
pub fn fentry_proc_free_inum_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    number_freed(ctx.arg(0));
    0
}

#[kprobe]
pub fn kprobe_proc_free_inum(ctx: ProbeContext) -> u32 {
    number_freed(ctx.arg(0).unwrap_or(0));
    0
}

#[inline(always)]
fn number_freed(inum: u32) {
    forget_used(inum);
    let Some(mut entry) = reserve::<Freed>(kind::FREED, hook::PROC_FREE_INUM) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Freed`.
    unsafe { (*to).ns = NsRef { id: 0, inum, clone_flag: 0 } };
    entry.submit(0);
}

/// `__ns_common_free(ns)` (6.18+): type and 64-bit id are still known.
#[fentry(function = "__ns_common_free")]
pub fn fentry_ns_common_free(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    common_freed(ctx.arg(0));
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "__ns_common_free")]
pub fn fentry_ns_common_free_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    common_freed(ctx.arg(0));
    0
}

/// A third.
#[fentry(function = "__ns_common_free")]
pub fn fentry_ns_common_free_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    common_freed(ctx.arg(0));
    0
}

#[kprobe]
pub fn kprobe_ns_common_free(ctx: ProbeContext) -> u32 {
    common_freed(ctx.arg::<u64>(0).unwrap_or(0) as Kptr);
    0
}

#[inline(always)]
fn common_freed(ns: Kptr) {
    let Some(mut entry) = reserve::<Freed>(kind::FREED, hook::PROC_FREE_INUM) else { return };
    // SAFETY: the entry is as large as `Freed`.
    let inum = unsafe {
        let to = entry.as_mut_ptr();
        write_common_ref(&raw mut (*to).ns, ns);
        (*to).ns.inum
    };
    entry.submit(0);
    forget_used(inum);
}
