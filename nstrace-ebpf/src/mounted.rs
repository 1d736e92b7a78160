//! What a mount keeps for whoever is on it: its tree, when that is in no mount namespace, and its file system.

use nstrace_common::{
    census::what,
    slots::{MNT, PID, USER},
};

use crate::{
    config::offset,
    holding::{ANON_INODE, NSFS, OVERLAY, PIDFS, PIPEFS, PROC, SOCKFS},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    scratch::scratch,
    seen::{census, describe},
};

/// `-MAX_ERRNO` as an address.
const ERRORS: u64 = 0u64.wrapping_sub(4095);
/// `MNT_NS_ANON_INO` (6.18+).
const ANONYMOUS: u32 = 0xefff_fff7;

/// What [`Scratch::mount`](crate::scratch::Scratch::mount) keeps, and its file system; a mount that held nothing is not asked
/// again in the same visit.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_on(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let is_known = scratch.known_mount == scratch.mount;
    if !is_known {
        let super_block = load_u64(scratch.mount as Kptr, census!(vfsmount_mnt_sb));
        scratch.super_block = super_block;
        scratch.magic = load_u64(super_block as Kptr, census!(super_block_s_magic));
        scratch.known_mount = scratch.mount;
        scratch.known_holds = 0;
        if scratch.magic == SOCKFS {
            scratch.socket_mount = scratch.mount;
        }
    }
    let magic = scratch.magic;
    // Inside the kernel.
    if is_known && scratch.known_holds == 0
        || magic == SOCKFS
        || magic == ANON_INODE
        || magic == PIDFS
        || magic == PIPEFS
    {
        return 0;
    }
    let before = scratch.count;
    census_mounted(visit, magic);
    census_super_block(visit, magic);
    scratch.known_holds = u32::from(scratch.count != before);
    0
}

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

/// The user namespace that the mount itself holds (`vfsmount.mnt_userns`); null for none and the initial one.
#[inline(always)]
pub fn numbers_of(vfsmount: Kptr) -> Kptr {
    let user = load_ptr(vfsmount, census!(vfsmount_mnt_userns));
    if load_u32(user, offset!(user_namespace_level)) == 0 { core::ptr::null() } else { user }
}

/// The credentials of who mounted an overlayfs, which are in its own user namespace; null for another file system.
#[inline(always)]
pub fn creator_of(super_block: Kptr, magic: u64) -> Kptr {
    if magic != OVERLAY {
        return core::ptr::null();
    }
    load_ptr(load_ptr(super_block, census!(super_block_s_fs_info)), census!(ovl_fs_creator_cred))
}

/// A file keeps its file system, also where that is not mounted any more.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_super_block(visit: u64, magic: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let super_block = scratch.super_block as Kptr;
    let numbers = numbers_of(scratch.mount as Kptr);
    if !numbers.is_null() {
        let is_idmapped = load_ptr(super_block, census!(super_block_s_user_ns)) != numbers;
        scratch.record.what = if is_idmapped { what::IDMAPPED } else { what::NUMBERS };
        scratch.record.object = scratch.mount;
        scratch.record.ns = describe(visit, numbers, USER as u32);
        scratch.put();
    }
    scratch.record.object = scratch.super_block;
    let user = load_ptr(super_block, census!(super_block_s_user_ns));
    // Most belong to the initial one, which nothing frees.
    if load_u32(user, offset!(user_namespace_level)) != 0 {
        scratch.record.what = what::SUPER_BLOCK;
        scratch.record.ns = describe(visit, user, USER as u32);
        scratch.put();
        let cred = creator_of(super_block, magic);
        if !cred.is_null() {
            scratch.record.what = what::CREATOR;
            scratch.record.object = cred as u64;
            scratch.record.ucounts = load_u64(cred, census!(cred_ucounts));
            scratch.put();
        }
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
