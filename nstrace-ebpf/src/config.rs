//! Read-only globals that the collector fills before load; the verifier sees constants and drops dead branches.

use core::ptr::read_volatile;

use nstrace_common::layout::{Config, Layout};

#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::UNKNOWN;

#[unsafe(no_mangle)]
pub static CONFIG: Config = Config::DEFAULT;

/// One member of [`LAYOUT`].
macro_rules! offset {
    ($($member:tt)+) => {
        $crate::config::constant(&$crate::config::LAYOUT.$($member)+)
    };
}
pub(crate) use offset;

/// Reads a constant of the collector's; volatile, because the compiler must not fold in the value from before the override.
#[inline(always)]
pub fn constant<T: Copy>(at: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { read_volatile(at) }
}

/// Plain loads from BTF pointers instead of `bpf_probe_read_kernel`.
#[inline(always)]
pub fn typed() -> bool {
    constant(&CONFIG.typed) != 0
}

/// See `Config::casts`; the census only.
#[inline(always)]
#[allow(dead_code, reason = "the tracer has `typed`")]
pub fn casts() -> bool {
    constant(&CONFIG.casts) != 0
}

/// See `Config::doubled`.
#[inline(always)]
#[allow(dead_code, reason = "the tracer only")]
pub fn doubled() -> bool {
    constant(&CONFIG.doubled) != 0
}

/// See `Config::preempt_disable`.
#[inline(always)]
#[allow(dead_code, reason = "the tracer only")]
pub fn preempt_disable() -> bool {
    constant(&CONFIG.preempt_disable) != 0
}

/// `bpf_get_current_task_btf` and `bpf_task_pt_regs` exist.
#[inline(always)]
pub fn has_pt_regs_helper() -> bool {
    constant(&CONFIG.pt_regs_helper) != 0
}

#[inline(always)]
pub fn self_tgid() -> u32 {
    constant(&CONFIG.self_tgid)
}

/// Inode number of the initial namespace of type `t`.
#[inline(always)]
pub fn initial(t: usize) -> u32 {
    constant(&CONFIG.initial[t])
}

/// Processes with neighbouring ids are of one share: they are often in the same namespaces, which each reader describes once.
const BLOCK: u32 = 64;

/// A process that the census does not report: its own, and those of the other share.
#[inline(always)]
#[allow(dead_code, reason = "the census only")]
pub fn is_others(tgid: u32) -> bool {
    let share = constant(&CONFIG.share);
    tgid == self_tgid() || share != 0 && (tgid / BLOCK & 1) + 1 != share
}
