//! A walk over the mount trees of the mount namespaces that user space lists: mounts that hold a namespace.
//!
//! `iter/bpf_map` is only the engine: each visit takes the walk some steps further, and user space reads until it is done. No
//! lock is held, so a tree that changes meanwhile is left where it no longer fits and counted as torn.

use aya_ebpf::{helpers::generated::bpf_seq_write, macros::map, maps::Array};
use nstrace_common::{
    census::{LOOSE_MOUNT, Mount, Place, TORN, WALKS, Walk, kind, mount_of},
    layout::ABSENT,
    slots::{MNT, PID, USER},
};

use crate::{
    config::offset,
    holding::{NSFS, PROC, nsfs},
    iter_lists::start,
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{creator_of, numbers_of},
    seen::{Visit, census, describe, describe_waiting, head},
};

/// `struct bpf_iter__bpf_map`, of which there are few: at least those of this object.
#[repr(C)]
pub struct MapIteration {
    meta: *const IterationMeta,
    /// NULL in the last call.
    map: Kptr,
}

impl MapIteration {
    /// # Safety
    /// `self` is the context the kernel passed.
    #[inline(always)]
    pub unsafe fn visit(&self) -> Visit {
        // SAFETY: `meta` is valid while the program runs.
        unsafe { Visit { seq: (*self.meta).seq, number: (*self.meta).seq_num + 1 } }
    }
}

/// Moves of one visit.
const MOVES: u32 = 128;
/// Most records of one move.
const HELD_BY_ONE: usize = 4;
const HELD: usize = MOVES as usize * HELD_BY_ONE;

/// What a visit found; one reader runs at a time.
#[repr(C)]
struct Found {
    count: u32,
    reserved: u32,
    mounts: [Mount; HELD],
}

#[map]
static MOUNTS_OUT: Array<Found> = Array::with_max_entries(1, 0);

#[map]
pub static WALK: Array<Walk> = Array::with_max_entries(1, 0);

/// Addresses of mount namespaces, or of the namespaces that lists are entered at.
#[map]
pub static TREES: Array<u64> = Array::with_max_entries(WALKS as u32, 0);

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map")]
pub fn census_mount(ctx: *mut MapIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    let (Some(walk), Some(found)) = (WALK.get_ptr_mut(0), MOUNTS_OUT.get_ptr_mut(0)) else { return 0 };
    // SAFETY: the maps' only elements; one reader runs at a time.
    unsafe {
        start(walk, visit);
        (*walk).to = (*walk).from;
        (*found).count = 0;
        for _ in 0..MOVES {
            if census_move(visit.number) == 0 {
                break;
            }
        }
        let bytes = ((*found).count as usize & (2 * HELD - 1)).min(HELD) * size_of::<Mount>();
        bpf_seq_write(visit.seq, (&raw const (*found).mounts).cast_mut().cast(), bytes as u32);
    }
    describe_waiting(visit);
    0
}

/// One move of the walk; 0: it is at its end.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_move(visit: u64) -> u32 {
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element; one reader runs at a time.
    unsafe {
        let mut at = (*walk).to;
        let Some(tree) = TREES.get_ptr_mut(at.index) else { return 0 };
        if at.index >= (*walk).count {
            return 0;
        }
        if !step(visit, *tree & !TORN, &mut at) {
            *tree |= TORN;
            (*walk).torn += 1;
        }
        (*walk).to = at;
    }
    1
}

/// The walk climbs to the topmost mount first.
const CLIMBING: u32 = 2;

/// One move in the tree of the mount namespace `entry`, or in the one that the marked mount is in. False: the tree changed.
#[inline(always)]
fn step(visit: u64, entry: u64, at: &mut Place) -> bool {
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
    let link = at.mount + u64::from(census!(mount_mnt_child));
    let parent = load_ptr(mount, census!(mount_mnt_parent));
    // `umount_tree` takes mounts out of the lists first, out of the namespace later: their links lead to themselves.
    let is_leaving = parent != mount && load_u64(link as Kptr, 0) == link;
    if mount.is_null() || is_leaving || load_ptr(mount, census!(mount_mnt_ns)) != ns {
        *at = next_tree;
        // What ended meanwhile holds nothing.
        return loose || load_u32(ns, census!(ns_count[MNT])) == 0;
    }
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

/// Leaves a copy of the record.
#[inline(always)]
fn put(record: &Mount) {
    let Some(found) = MOUNTS_OUT.get_ptr_mut(0) else { return };
    // SAFETY: the map's only element; the index is cut to the length of the array, a power of two.
    unsafe {
        let at = (*found).count as usize & (HELD - 1);
        (&raw mut (*found).mounts).cast::<Mount>().add(at).write(*record);
        (*found).count += 1;
    }
}

#[inline(always)]
fn report(visit: u64, entry: u64, mount: Kptr) {
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
    let magic = load_u64(super_block, census!(super_block_s_magic));
    match magic {
        NSFS => {
            record.what = mount_of::NSFS;
            record.ns = nsfs(visit, load_ptr(load_ptr(vfsmount, census!(vfsmount_mnt_root)), census!(dentry_d_inode)));
            put(&record);
        }
        PROC => {
            let info = load_ptr(super_block, census!(super_block_s_fs_info));
            let pid_ns = load_ptr(info, census!(proc_fs_info_pid_ns));
            if load_u32(pid_ns, offset!(pid_namespace_level)) != 0 {
                record.what = mount_of::PROCFS;
                record.ns = describe(visit, pid_ns, PID as u32);
                put(&record);
            }
        }
        _ => {}
    }
    let numbers = numbers_of(vfsmount);
    if !numbers.is_null() {
        let is_idmapped = load_ptr(super_block, census!(super_block_s_user_ns)) != numbers;
        record.what = if is_idmapped { mount_of::IDMAPPED } else { mount_of::NUMBERS };
        record.ns = describe(visit, numbers, USER as u32);
        record.super_block = vfsmount as u64;
        put(&record);
        record.super_block = super_block as u64;
    }
    let user = load_ptr(super_block, census!(super_block_s_user_ns));
    // Most belong to the initial one, which nothing frees.
    if load_u32(user, offset!(user_namespace_level)) != 0 {
        record.what = mount_of::USER;
        record.ns = describe(visit, user, USER as u32);
        put(&record);
        let cred = creator_of(super_block, magic);
        if !cred.is_null() {
            record.what = mount_of::CREATOR;
            record.super_block = cred as u64;
            record.unique_id = load_u64(cred, census!(cred_ucounts));
            put(&record);
        }
    }
}
