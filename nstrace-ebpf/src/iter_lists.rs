//! A walk over the kernel's own lists of namespaces: of all types from 6.18 on, of network namespaces everywhere. It finds
//! what nothing else leads to.
//!
//! As in [`crate::iter_mounts`], `iter/task` is only the engine. A list is a ring that is entered at a namespace user space
//! knows; its head, which is no namespace, is told by its content and passed over.

use nstrace_common::{
    census::{Place, Walk},
    layout::ABSENT,
    slots::NET,
};

use crate::{
    config::offset,
    iter_mounts::{TREES, WALK},
    iter_tasks::TaskIteration,
    kernel_memory::{Kptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_later, describe_waiting},
};

/// Moves of one visit, as in `iter_mounts`.
const MOVES: u32 = 8;

/// Lowest inode number of a namespace: the fixed ones of the initial namespaces lie right below `PROC_DYNAMIC_FIRST`.
const LOWEST: u32 = 0xefff_ff00;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_list(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        start(walk, visit);
        let mut at = (*walk).from;
        for _ in 0..MOVES {
            let Some(&entry) = TREES.get(at.index) else { break };
            if at.index >= (*walk).count {
                break;
            }
            step(visit, entry, &mut at);
        }
        (*walk).to = at;
    }
    describe_waiting(visit);
    0
}

/// # Safety
/// `walk` is valid.
#[inline(always)]
pub unsafe fn start(walk: *mut Walk, visit: Visit) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*walk).visit != visit.number {
            (*walk).visit = visit.number;
            (*walk).from = (*walk).to;
        }
    }
}

/// Describes one namespace of the list that is entered at the `ns_common` (or, without such lists, the `struct net`) `entry`.
#[inline(always)]
fn step(visit: Visit, entry: u64, at: &mut Place) {
    let of_nets = census!(ns_common_list) == ABSENT;
    let link = if of_nets { census!(net_list) } else { census!(ns_common_list) };
    let first = entry + u64::from(link);
    let node = if at.mount == 0 { first } else { at.mount };
    let base = (node - u64::from(link)) as Kptr;
    let common = if of_nets { (base as u64 + u64::from(offset!(ns_common[NET]))) as Kptr } else { base };
    if load_u32(common, offset!(ns_common_inum)) >= LOWEST {
        if of_nets {
            describe(visit.number, base, NET as u32);
        } else {
            describe_later(visit.number, base);
        }
    }
    let next = load_u64(node as Kptr, 0);
    *at = if next == 0 || next == first {
        Place { mount: 0, index: at.index + 1, up: 0 }
    } else {
        Place { mount: next, index: at.index, up: 0 }
    };
}
