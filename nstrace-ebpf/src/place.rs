//! Where a path leads: [`Place`].

use nstrace_common::{
    deed::{Place, place},
    deed_layout::DeedLayout,
    record::NsRef,
    slots::MNT,
};

use crate::{
    config::{offset, typed},
    initial::{is_host_device, is_host_root},
    kernel_memory::{Kptr, load_ptr, load_u16, load_u32, load_u64},
    namespace::write_ref,
};

#[unsafe(no_mangle)]
pub static DEEDS: DeedLayout = DeedLayout::UNKNOWN;

/// One member of [`DEEDS`].
macro_rules! deeds {
    ($member:ident) => {
        $crate::config::constant(&$crate::place::DEEDS.$member)
    };
}
pub(crate) use deeds;

/// `-MAX_ERRNO` as an address.
const ERRORS: u64 = 0u64.wrapping_sub(4095);
/// `MNT_NS_ANON_INO` (6.18+).
const ANONYMOUS: u32 = 0xefff_fff7;
/// `MNT_READONLY` of `vfsmount.mnt_flags` (include/linux/mount.h).
const MNT_READONLY: u32 = 0x40;

/// `real_mount(mnt)->mnt_ns` of a `struct vfsmount`, which may be an error number; not for typed loads, which cannot go from a
/// part to the whole.
#[inline(always)]
pub fn mount_namespace(mnt: Kptr) -> Kptr {
    load_ptr(mnt.wrapping_sub(deeds!(mount_mnt) as usize), deeds!(mount_mnt_ns))
}

/// A mount of the kernel's own has an error number for a namespace.
#[inline(always)]
pub fn is_internal(mount_namespace: Kptr) -> bool {
    mount_namespace as u64 >= ERRORS
}

/// Writes every field of `to` for `struct path { mnt, dentry }`; `mnt` may be null (the root of a file system), and a null `dentry`
/// makes no place.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_place(to: *mut Place, mnt: Kptr, dentry: Kptr) {
    let inode = load_ptr(dentry, deeds!(dentry_d_inode));
    let super_block = load_ptr(dentry, deeds!(dentry_d_sb));
    let user = load_ptr(super_block, deeds!(super_block_s_user_ns));
    let device = load_u32(super_block, deeds!(super_block_s_dev));
    let mut flags = 0;
    if dentry as u64 != 0 {
        flags |= place::KNOWN;
        if is_host_root(dentry) {
            flags |= place::HOST_ROOT;
        }
        if is_host_device(device) {
            flags |= place::HOST_FILE_SYSTEM;
        }
        if load_u32(user, offset!(user_namespace_level)) == 0 {
            flags |= place::INITIAL_USER;
        }
        if load_u32(mnt, deeds!(vfsmount_mnt_flags)) & MNT_READONLY != 0 {
            flags |= place::READ_ONLY;
        }
    }
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        (*to).ino = load_u64(inode, deeds!(inode_i_ino));
        (*to).dev = device;
        (*to).magic = load_u64(super_block, deeds!(super_block_s_magic)) as u32;
        (*to).mode = u32::from(load_u16(inode, deeds!(inode_i_mode)));
        (*to).rdev = load_u32(inode, deeds!(inode_i_rdev));
        (*to).mnt_ns = NsRef { id: 0, inum: 0, clone_flag: 0 };
        (*to).reserved = 0;
        if !typed() && mnt as u64 != 0 && dentry as u64 != 0 {
            let ns = mount_namespace(mnt);
            flags |= place::MOUNT_KNOWN;
            if is_internal(ns) {
                flags |= place::INTERNAL;
            } else {
                write_ref::<MNT>(&raw mut (*to).mnt_ns, ns);
                let inum = (*to).mnt_ns.inum;
                if inum == 0 || inum == ANONYMOUS {
                    flags |= place::DETACHED;
                }
            }
        }
        (*to).flags = flags;
    }
}
