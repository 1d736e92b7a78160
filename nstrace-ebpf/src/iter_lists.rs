//! A walk over the kernel's own lists of namespaces: of all types from 6.18 on, of network namespaces everywhere. It finds
//! what nothing else leads to.
//!
//! As in [`crate::iter_mounts`], `iter/bpf_map` is only the engine. A list is a ring that is entered at a namespace user space
//! knows; its head, which is no namespace, is told by its content and passed over.

use nstrace_common::{
    census::{Place, Walk},
    layout::ABSENT,
    slots::NET,
};

use crate::{
    config::offset,
    iter_mounts::{MapIteration, TREES, WALK},
    kernel_memory::{Kptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_later, describe_waiting},
};

/// Moves of one visit, each to a namespace that may have to be described: no more than a visit describes.
const MOVES: u32 = 16;

/// Lowest inode number of a namespace: the fixed ones of the initial namespaces lie right below `PROC_DYNAMIC_FIRST`.
const LOWEST: u32 = 0xefff_ff00;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map")]
pub fn census_list(ctx: *mut MapIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        start(walk, visit);
        (*walk).to = (*walk).from;
    }
    for _ in 0..MOVES {
        if census_link(visit.number) == 0 {
            break;
        }
    }
    describe_waiting(visit);
    0
}

/// One move of the walk; 0: it is at its end.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_link(visit: u64) -> u32 {
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        let mut at = (*walk).to;
        let Some(&entry) = TREES.get(at.index) else { return 0 };
        if at.index >= (*walk).count {
            return 0;
        }
        step(visit, entry, &mut at);
        (*walk).to = at;
    }
    1
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
fn step(visit: u64, entry: u64, at: &mut Place) {
    let of_nets = census!(ns_common_list) == ABSENT;
    let link = if of_nets { census!(net_list) } else { census!(ns_common_list) };
    let first = entry + u64::from(link);
    let node = if at.mount == 0 { first } else { at.mount };
    let base = (node - u64::from(link)) as Kptr;
    let common = if of_nets { (base as u64 + u64::from(offset!(ns_common[NET]))) as Kptr } else { base };
    if load_u32(common, offset!(ns_common_inum)) >= LOWEST {
        if of_nets {
            describe(visit, base, NET as u32);
        } else {
            describe_later(visit, base);
        }
    }
    let next = load_u64(node as Kptr, 0);
    *at = if next == 0 || next == first {
        Place { mount: 0, index: at.index + 1, up: 0 }
    } else {
        Place { mount: next, index: at.index, up: 0 }
    };
}
