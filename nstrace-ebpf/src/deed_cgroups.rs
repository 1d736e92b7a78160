//! Tasks that are moved to another cgroup.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint, programs::BtfTracePointContext};
use nstrace_common::{
    deed::{Deed, cgroup, what},
    record::{NsRef, hook, kind},
};

use crate::{
    config::{has_pt_regs_helper, offset, typed},
    emit::{crowded, reserve},
    initial::is_plain,
    kernel_memory::{Kptr, load_ptr, load_u64},
    place::deeds,
    slots::write_task_slots,
    syscall::write_call,
    task::{current, write_task},
};

/// `cgroup_attach_task(dst_cgrp, path, task, threadgroup)`: after the move.
#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn deed_cgroup_attach(ctx: BtfTracePointContext) -> u32 {
    if is_plain() || crowded(hook::CGROUP_ATTACH) {
        return 0;
    }
    let to: Kptr = ctx.arg(0);
    let moved: Kptr = ctx.arg(2);
    // The verifier of 5.10 lets nobody load a string argument.
    let path: Kptr = if has_pt_regs_helper() { ctx.arg(1) } else { core::ptr::null() };
    let task = current();
    let own = load_ptr(load_ptr(task, offset!(task_cgroups)), offset!(css_set_dfl_cgrp));
    let Some(mut entry) = reserve::<Deed>(kind::DEED, hook::CGROUP_ATTACH) else { return 0 };
    let deed = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Deed`.
    unsafe {
        write_call(&raw mut (*deed).call, task, 0);
        write_task(&raw mut (*deed).task, task);
        write_task_slots(&raw mut (*deed).slots, task);
        write_task(&raw mut (*deed).other, moved);
        write_task_slots(&raw mut (*deed).other_slots, moved);
        (*deed).what = what::CGROUP;
        (*deed).number = load_u64(load_ptr(to, offset!(cgroup_kn)), offset!(kernfs_node_id));
        (*deed).ns = NsRef { id: 0, inum: 0, clone_flag: 0 };
        zero((&raw mut (*deed).place).cast(), size_of::<nstrace_common::deed::Place>());
        zero((&raw mut (*deed).name).cast(), 64);
        zero((&raw mut (*deed).detail).cast(), 128);
        if !typed() && has_pt_regs_helper() {
            bpf_probe_read_kernel_str((&raw mut (*deed).detail).cast(), 128, path.cast());
        }
        let other_hierarchy = load_u64(to, deeds!(cgroup_root)) != load_u64(own, deeds!(cgroup_root));
        let hierarchy = if other_hierarchy { cgroup::OTHER_HIERARCHY } else { 0 };
        // Last, because the verifier walks what follows once for each level.
        (*deed).flags = if task as u64 == moved as u64 {
            hierarchy | cgroup::ITSELF
        } else if is_below(to, own) {
            hierarchy | cgroup::BELOW
        } else {
            hierarchy
        };
    }
    entry.submit(0);
    0
}

/// How far up a cgroup is looked for.
const LEVELS: u32 = 8;

/// `to` is `own` or below it.
#[inline(always)]
fn is_below(to: Kptr, own: Kptr) -> bool {
    let mut at = to;
    for _ in 0..LEVELS {
        if at as u64 == own as u64 {
            return true;
        }
        let parent = load_ptr(at, deeds!(cgroup_self_parent));
        if parent as u64 == 0 {
            return false;
        }
        at = load_ptr(parent, deeds!(css_cgroup));
    }
    false
}

/// Zeroes `bytes`, a multiple of eight.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
unsafe fn zero(to: *mut u64, bytes: usize) {
    for at in 0..bytes / 8 {
        // SAFETY: inside what the caller promises.
        unsafe { to.add(at).write_volatile(0) };
    }
}
