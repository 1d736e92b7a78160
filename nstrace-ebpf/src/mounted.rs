//! What a mount keeps for whoever is on it: its tree, when that is in no mount namespace, and its file system.

use nstrace_common::{
    census::what,
    slots::{MNT, PID, USER},
};

use crate::{
    config::offset,
    holding::{NSFS, PROC, scratch},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    seen::{census, describe},
};

/// `-MAX_ERRNO` as an address.
const ERRORS: u64 = 0u64.wrapping_sub(4095);
/// `MNT_NS_ANON_INO` (6.18+).
const ANONYMOUS: u32 = 0xefff_fff7;

/// Something is in a tree of mounts that open_tree(2) or fsmount(2) made and nobody has attached, or that was detached.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_mounted(visit: u64, magic: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    if scratch.mount == 0 {
        return 0;
    }
    let mount = scratch.mount - u64::from(census!(mount_mnt));
    let ns = load_ptr(mount as Kptr, census!(mount_mnt_ns));
    // Mounts of the kernel's own have an error number for a namespace.
    if ns as u64 >= ERRORS {
        return 0;
    }
    if ns.is_null() {
        // Alone it keeps its file system only.
        let mounts = mount + u64::from(census!(mount_mnt_mounts));
        let alone =
            load_u64(mounts as Kptr, 0) == mounts && load_u64(mount as Kptr, census!(mount_mnt_parent)) == mount;
        if !alone && magic != NSFS {
            scratch.record.what = what::LOOSE_MOUNT;
            scratch.record.object = mount;
            scratch.record.ns = 0;
            scratch.put();
        }
        return 0;
    }
    let inum = load_u32(ns, offset!(ns_common[MNT]) + offset!(ns_common_inum));
    if inum == 0 || inum == ANONYMOUS {
        scratch.record.what = what::DETACHED_MOUNT;
        scratch.record.object = ns as u64;
        let owner = load_ptr(ns, offset!(ns_owner[MNT]));
        scratch.record.ns = describe(visit, owner, USER as u32);
        scratch.put();
    }
    0
}

/// A file keeps its file system, also where that is not mounted any more.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_super_block(visit: u64, magic: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let super_block = scratch.super_block as Kptr;
    scratch.record.object = scratch.super_block;
    let user = load_ptr(super_block, census!(super_block_s_user_ns));
    // Most belong to the initial one, which nothing frees.
    if load_u32(user, offset!(user_namespace_level)) != 0 {
        scratch.record.what = what::SUPER_BLOCK;
        scratch.record.ns = describe(visit, user, USER as u32);
        scratch.put();
    }
    if magic == PROC {
        let info = load_ptr(super_block, census!(super_block_s_fs_info));
        let pid_ns = load_ptr(info, census!(proc_fs_info_pid_ns));
        if load_u32(pid_ns, offset!(pid_namespace_level)) != 0 {
            scratch.record.what = what::PROCFS;
            scratch.record.ns = describe(visit, pid_ns, PID as u32);
            scratch.put();
        }
    }
    0
}
