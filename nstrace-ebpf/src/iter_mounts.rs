//! A walk over the mount trees of the mount namespaces that user space lists: mounts that hold a namespace.
//!
//! `iter/task` is only the engine: each visit takes the walk some steps further, and user space reads until it is done. No
//! lock is held, so a tree that changes meanwhile is left where it no longer fits and counted as torn.

use aya_ebpf::{macros::map, maps::Array};
use nstrace_common::{
    census::{LOOSE_MOUNT, Mount, Place, WALKS, Walk, kind, mount_of},
    layout::ABSENT,
    slots::{MNT, PID, USER},
};

use crate::{
    config::offset,
    holding::{NSFS, PROC, nsfs},
    iter_lists::start,
    iter_tasks::TaskIteration,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_waiting, head},
};

/// Moves of one visit: few, because the verifier walks each of them.
const MOVES: u32 = 8;

#[map]
pub static WALK: Array<Walk> = Array::with_max_entries(1, 0);

/// Addresses of mount namespaces, or of the namespaces that lists are entered at.
#[map]
pub static TREES: Array<u64> = Array::with_max_entries(WALKS as u32, 0);

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_mount(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        start(walk, visit);
        let mut at = (*walk).from;
        for _ in 0..MOVES {
            let Some(&ns) = TREES.get(at.index) else { break };
            if at.index >= (*walk).count {
                break;
            }
            if !step(visit, ns, &mut at) {
                (*walk).torn += 1;
            }
        }
        (*walk).to = at;
    }
    describe_waiting(visit);
    0
}

/// The walk climbs to the topmost mount first.
const CLIMBING: u32 = 2;

/// One move in the tree of the mount namespace `entry`, or in the one that the marked mount is in. False: the tree changed.
#[inline(always)]
fn step(visit: Visit, entry: u64, at: &mut Place) -> bool {
    let next_tree = Place { mount: 0, index: at.index + 1, up: 0 };
    let loose = entry & LOOSE_MOUNT != 0;
    let ns = if loose { core::ptr::null() } else { entry as Kptr };
    if at.mount == 0 {
        *at = if loose {
            Place { mount: entry & !LOOSE_MOUNT, index: at.index, up: CLIMBING }
        } else {
            Place { mount: load_u64(ns, census!(mnt_namespace_root)), index: at.index, up: 0 }
        };
    }
    let mount = at.mount as Kptr;
    if mount.is_null() || load_ptr(mount, census!(mount_mnt_ns)) != ns {
        *at = next_tree;
        // What ended meanwhile holds nothing.
        return loose || load_u32(ns, census!(ns_count[MNT])) == 0;
    }
    let parent = load_ptr(mount, census!(mount_mnt_parent));
    if at.up == CLIMBING {
        if parent == mount {
            at.up = 0;
        } else {
            at.mount = parent as u64;
        }
        return true;
    }
    if at.up == 0 {
        report(visit, entry, mount);
        let first = load_u64(mount, census!(mount_mnt_mounts));
        if first != mount as u64 + u64::from(census!(mount_mnt_mounts)) {
            at.mount = first - u64::from(census!(mount_mnt_child));
            return true;
        }
    }
    if parent == mount || !loose && load_ptr(ns, census!(mnt_namespace_root)) == mount {
        *at = next_tree;
        return true;
    }
    let next = load_u64(mount, census!(mount_mnt_child));
    if next == parent as u64 + u64::from(census!(mount_mnt_mounts)) {
        at.mount = parent as u64;
        at.up = 1;
    } else {
        at.mount = next - u64::from(census!(mount_mnt_child));
        at.up = 0;
    }
    true
}

#[inline(always)]
fn report(visit: Visit, entry: u64, mount: Kptr) {
    let vfsmount = (mount as u64 + u64::from(census!(mount_mnt))) as Kptr;
    let super_block = load_ptr(vfsmount, census!(vfsmount_mnt_sb));
    let unique = census!(mount_mnt_id_unique);
    let mut record = Mount {
        head: head::<Mount>(kind::MOUNT),
        ns: 0,
        mnt_ns: entry,
        super_block: super_block as u64,
        unique_id: if unique == ABSENT { 0 } else { load_u64(mount, unique) },
        id: load_u32(mount, census!(mount_mnt_id)),
        what: 0,
    };
    match load_u64(super_block, census!(super_block_s_magic)) {
        NSFS => {
            record.what = mount_of::NSFS;
            record.ns =
                nsfs(visit.number, load_ptr(load_ptr(vfsmount, census!(vfsmount_mnt_root)), census!(dentry_d_inode)));
            visit.write(&record);
        }
        PROC => {
            let info = load_ptr(super_block, census!(super_block_s_fs_info));
            let pid_ns = load_ptr(info, census!(proc_fs_info_pid_ns));
            if load_u32(pid_ns, offset!(pid_namespace_level)) != 0 {
                record.what = mount_of::PROCFS;
                record.ns = describe(visit.number, pid_ns, PID as u32);
                visit.write(&record);
            }
        }
        _ => {}
    }
    let user = load_ptr(super_block, census!(super_block_s_user_ns));
    // Most belong to the initial one, which nothing frees.
    if load_u32(user, offset!(user_namespace_level)) != 0 {
        record.what = mount_of::USER;
        record.ns = describe(visit.number, user, USER as u32);
        visit.write(&record);
    }
}
