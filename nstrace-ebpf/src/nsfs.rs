//! nsfs inodes: the first file or bind mount of a namespace, and the end of the last one.

use aya_ebpf::{
    macros::{fentry, fexit, kprobe},
    maps::ring_buf::RingBufEntry,
    programs::{FEntryContext, FExitContext, ProbeContext},
};
use nstrace_common::record::{Pin, hook, kind};

use crate::{
    config::offset,
    emit::{reserve, reserve_if},
    kernel_memory::{Kptr, load_ptr, load_u32},
    namespace::write_common_ref,
    preempt::uninterrupted,
    syscall::write_call,
    task::{current, is_self, write_task},
};

/// `nsfs_init_inode(inode, ns)` (6.12+): a new inode, so the first holder.
#[fentry(function = "nsfs_init_inode")]
pub fn fentry_nsfs_init_inode(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    pin(ctx.arg(1), kind::PINNED, hook::NSFS_INIT);
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "nsfs_init_inode")]
pub fn fentry_nsfs_init_inode_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    pin(ctx.arg(1), kind::PINNED, hook::NSFS_INIT);
    0
}

/// A third.
#[fentry(function = "nsfs_init_inode")]
pub fn fentry_nsfs_init_inode_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    pin(ctx.arg(1), kind::PINNED, hook::NSFS_INIT);
    0
}

#[kprobe]
pub fn kprobe_nsfs_init_inode(ctx: ProbeContext) -> u32 {
    pin(ctx.arg::<u64>(1).unwrap_or(0) as Kptr, kind::PINNED, hook::NSFS_INIT);
    0
}

/// `__ns_get_path(path, ns)` (5.10 to 6.8): every holder, the first not told apart; the model knows which is. At its return, when
/// the new dentry is stashed: see [`evicted`]. It fails when another task was faster, and is called again.
#[fexit(function = "__ns_get_path")]
pub fn fexit_ns_get_path(ctx: FExitContext) -> u32 {
    if ctx.arg::<u64>(2) as i32 == 0 {
        let _guard = uninterrupted();
        pin(ctx.arg(1), kind::PINNED, hook::NSFS_INIT);
    }
    0
}

/// No kretprobe: before 6.1 they miss what happens while another task sleeps in the same function.
#[kprobe]
pub fn kprobe_ns_get_path(ctx: ProbeContext) -> u32 {
    pin(ctx.arg::<u64>(1).unwrap_or(0) as Kptr, kind::PINNED, hook::NSFS_INIT);
    0
}

/// `nsfs_evict(inode)`: the last fd, O_PATH fd and bind mount is gone.
#[fentry(function = "nsfs_evict")]
pub fn fentry_nsfs_evict(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    evicted(ctx.arg(0));
    0
}

/// A second copy: see [`crate::life`].
#[fentry(function = "nsfs_evict")]
pub fn fentry_nsfs_evict_again(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    evicted(ctx.arg(0));
    0
}

/// A third.
#[fentry(function = "nsfs_evict")]
pub fn fentry_nsfs_evict_third(ctx: FEntryContext) -> u32 {
    let _guard = uninterrupted();
    evicted(ctx.arg(0));
    0
}

#[kprobe]
pub fn kprobe_nsfs_evict(ctx: ProbeContext) -> u32 {
    evicted(ctx.arg::<u64>(0).unwrap_or(0) as Kptr);
    0
}

/// The end of an inode is no end of the hold when another one is in its place: of two tasks that open a namespace for the first
/// time at once both make one, and the slower one's goes again.
#[inline(always)]
fn evicted(inode: Kptr) {
    let ns_common = load_ptr(inode, offset!(inode_i_private));
    if load_u32(ns_common, offset!(ns_common_inum)) == 0 {
        return;
    }
    let last = || load_ptr(ns_common, offset!(ns_common_stashed)).is_null();
    let Some(entry) = reserve_if::<Pin>(kind::UNPINNED, hook::NSFS_EVICT, last) else { return };
    // The tracer may be the last: a census looks at a file while its holder closes it. As its pins are not told, their ends are
    // those of a call that only looks: news only if somebody else's pin ends with them.
    tell(entry, ns_common, is_self().then_some(STAT));
}

/// Number of stat(2).
const STAT: i32 = 4;

#[inline(always)]
fn pin(ns_common: Kptr, kind: u16, by: u16) {
    if is_self() || load_u32(ns_common, offset!(ns_common_inum)) == 0 {
        return;
    }
    let Some(entry) = reserve::<Pin>(kind, by) else { return };
    tell(entry, ns_common, None);
}

/// `number`: of the call that it is told to be part of, instead of the one that runs.
#[inline(always)]
fn tell(mut entry: RingBufEntry<Pin>, ns_common: Kptr, number: Option<i32>) {
    let to = entry.as_mut_ptr();
    let task = current();
    // SAFETY: the entry is as large as `Pin`.
    unsafe {
        write_call(&raw mut (*to).call, task, 0);
        if let Some(number) = number {
            (*to).call.nr = number;
        }
        write_task(&raw mut (*to).task, task);
        write_common_ref(&raw mut (*to).ns, ns_common);
    }
    entry.submit(0);
}
