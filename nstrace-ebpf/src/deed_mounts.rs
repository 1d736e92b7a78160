//! File systems that are mounted, mounts that are moved, directories that become root or working directory, device nodes.

use nstrace_common::{
    deed::what,
    file::{
        magic::NSFS,
        mode::{S_IFBLK, S_IFCHR, S_IFMT},
    },
    record::hook,
    slots::MNT,
};

use crate::{
    config::{initial, offset},
    deed::{deed_begin, deed_entry, deed_names, deed_place, deed_return, deed_send, draft, of, text, whoever},
    deed_files::is_elsewhere,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    namespace::{write_common_ref, write_ref},
    place::{deeds, is_internal},
    slots::inum,
    syscall::{CLONE, SETNS, UNSHARE},
};

deed_return!(fexit_deed_get_tree kprobe_deed_get_tree kretprobe_deed_get_tree "vfs_get_tree" of::GET_TREE, [0 0] 1 deed_get_tree);
deed_entry!(fentry_deed_clone_mnt kprobe_deed_clone_mnt "clone_mnt" of::CLONE_MNT, [0 1] deed_clone_mnt);
deed_entry!(fentry_deed_move_mount kprobe_deed_move_mount "security_move_mount" of::MOVE_MOUNT, [0 1] deed_move_mount);
deed_entry!(fentry_deed_sb_mount kprobe_deed_sb_mount "security_sb_mount" of::SB_MOUNT, [1 3] deed_sb_mount);
deed_entry!(fentry_deed_change_propagation kprobe_deed_change_propagation "change_mnt_propagation"
    of::CHANGE_PROPAGATION, [0 1] deed_change_propagation);
deed_entry!(fentry_deed_propagate kprobe_deed_propagate "propagate_mnt" of::PROPAGATE_MNT, [0 1] deed_propagate);
deed_entry!(fentry_deed_fs_root kprobe_deed_fs_root "set_fs_root" of::FS_ROOT, [0 1] deed_fs_root);
deed_entry!(fentry_deed_fs_pwd kprobe_deed_fs_pwd "set_fs_pwd" of::FS_PWD, [0 1] deed_fs_pwd);
deed_entry!(fentry_deed_pivot_root kprobe_deed_pivot_root "security_sb_pivotroot" of::PIVOT_ROOT, [1] deed_pivot_root);
deed_entry!(fentry_deed_mknod kprobe_deed_mknod "security_inode_mknod" of::MKNOD, [1 2 3] deed_mknod);

/// `FS_REQUIRES_DEV` (include/linux/fs.h).
const FS_REQUIRES_DEV: u32 = 1;

/// `vfs_get_tree(fc)` returned: of mount(2) and of fsconfig(2).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_get_tree() -> u32 {
    let Some(draft) = draft(of::GET_TREE) else { return 0 };
    let context = draft.args[0] as Kptr;
    if deed_begin(of::GET_TREE, what::MOUNT, draft.args[2]) == 0 {
        return 0;
    }
    let kind = load_ptr(context, deeds!(fs_context_fs_type));
    draft.deed.flags = load_u32(kind, deeds!(file_system_type_fs_flags)) & FS_REQUIRES_DEV;
    text(&mut draft.deed.name, load_ptr(kind, deeds!(file_system_type_name)));
    text(&mut draft.deed.detail, load_ptr(context, deeds!(fs_context_source)));
    if draft.args[2] as i32 == 0 {
        deed_place(of::GET_TREE, 0, load_u64(context, deeds!(fs_context_root)));
    }
    deed_send(of::GET_TREE, u32::from(hook::GET_TREE))
}

/// Number of clone3(2).
const CLONE3: i32 = 435;

/// `clone_mnt(old, root, flag)`: a mount is copied. Told where it is a namespace's file and not its mount namespace that is copied.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_clone_mnt() -> u32 {
    let Some(draft) = draft(of::CLONE_MNT) else { return 0 };
    let [mount, root, ..] = draft.args;
    let super_block = load_ptr(root as Kptr, deeds!(dentry_d_sb));
    if load_u64(super_block, deeds!(super_block_s_magic)) as u32 != NSFS
        || deed_begin(of::CLONE_MNT, what::BIND, 0) == 0
    {
        return 0;
    }
    let nr = draft.deed.call.nr;
    if nr == CLONE || nr == CLONE3 || nr == UNSHARE || nr == SETNS {
        return 0;
    }
    deed_place(of::CLONE_MNT, mount + u64::from(deeds!(mount_mnt)), root);
    deed_names(of::CLONE_MNT, root);
    let inode = load_ptr(root as Kptr, deeds!(dentry_d_inode));
    // SAFETY: the draft is writable.
    unsafe { write_common_ref(&raw mut draft.deed.ns, load_ptr(inode, offset!(inode_i_private))) };
    deed_send(of::CLONE_MNT, u32::from(hook::MOUNT))
}

/// The place and the names of a `struct path`.
#[inline(always)]
fn at_path(of: u32, path: u64) {
    let dentry = load_u64(path as Kptr, deeds!(path_dentry));
    deed_place(of, load_u64(path as Kptr, deeds!(path_mnt)), dentry);
    deed_names(of, dentry);
}

/// `security_move_mount(from, to)`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_move_mount() -> u32 {
    let Some(draft) = draft(of::MOVE_MOUNT) else { return 0 };
    if deed_begin(of::MOVE_MOUNT, what::BIND, 0) == 0 {
        return 0;
    }
    at_path(of::MOVE_MOUNT, draft.args[0]);
    deed_send(of::MOVE_MOUNT, u32::from(hook::MOUNT))
}

/// `MS_UNBINDABLE`, `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` (mount(2)).
const PROPAGATION: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20;

/// `security_sb_mount(dev_name, path, type, flags, data)`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_sb_mount() -> u32 {
    let Some(draft) = draft(of::SB_MOUNT) else { return 0 };
    let [path, flags, ..] = draft.args;
    if flags & PROPAGATION == 0 || deed_begin(of::SB_MOUNT, what::PROPAGATION, 0) == 0 {
        return 0;
    }
    draft.deed.flags = flags as u32;
    at_path(of::SB_MOUNT, path);
    deed_send(of::SB_MOUNT, u32::from(hook::MOUNT))
}

/// `MS_SHARED` (mount(2)).
const SHARED: u64 = 1 << 20;
/// Number of mount_setattr(2), on 32 bits too.
const MOUNT_SETATTR: i32 = 442;

/// `change_mnt_propagation(mount, type)`: of mount_setattr(2), which no `security_` function is told of.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_change_propagation() -> u32 {
    let Some(draft) = draft(of::CHANGE_PROPAGATION) else { return 0 };
    let [mount, kind, ..] = draft.args;
    if kind & SHARED == 0 || deed_begin(of::CHANGE_PROPAGATION, what::PROPAGATION, 0) == 0 {
        return 0;
    }
    if draft.deed.call.nr != MOUNT_SETATTR {
        return 0;
    }
    draft.deed.flags = SHARED as u32;
    let mnt = mount + u64::from(deeds!(mount_mnt));
    let root = load_u64(mnt as Kptr, deeds!(vfsmount_mnt_root));
    deed_place(of::CHANGE_PROPAGATION, mnt, root);
    deed_names(of::CHANGE_PROPAGATION, root);
    deed_send(of::CHANGE_PROPAGATION, u32::from(hook::MOUNT))
}

/// How many peers of a mount are looked at.
const PEERS: u32 = 64;

/// `propagate_mnt(dest_mnt, dest_mp, ...)`: something is mounted on a shared mount.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_propagate() -> u32 {
    let Some(draft) = draft(of::PROPAGATE_MNT) else { return 0 };
    let [mount, mountpoint, ..] = draft.args;
    let own = load_u64(load_ptr(whoever(), offset!(task_nsproxy)), offset!(nsproxy_mnt));
    let ring = mount + u64::from(deeds!(mount_mnt_share));
    let mut at = load_u64(ring as Kptr, 0);
    let mut elsewhere = 0;
    for _ in 0..PEERS {
        if at == ring || at == 0 {
            break;
        }
        let peer = at - u64::from(deeds!(mount_mnt_share));
        let ns = load_ptr(peer as Kptr, deeds!(mount_mnt_ns));
        if ns as u64 != own && ns as u64 != 0 && !is_internal(ns) {
            elsewhere = ns as u64;
            if inum::<MNT>(ns) == initial(MNT) {
                break;
            }
        }
        at = load_u64(at as Kptr, 0);
    }
    if elsewhere == 0 || deed_begin(of::PROPAGATE_MNT, what::PROPAGATED, 0) == 0 {
        return 0;
    }
    let dentry = load_u64(mountpoint as Kptr, deeds!(mountpoint_m_dentry));
    deed_place(of::PROPAGATE_MNT, mount + u64::from(deeds!(mount_mnt)), dentry);
    deed_names(of::PROPAGATE_MNT, dentry);
    // SAFETY: the draft is writable.
    unsafe { write_ref::<MNT>(&raw mut draft.deed.ns, elsewhere as Kptr) };
    deed_send(of::PROPAGATE_MNT, u32::from(hook::MOUNT))
}

/// `set_fs_root(fs, path)`: chroot(2). setns(2) sets it before the namespaces, and that is not meant.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_fs_root() -> u32 {
    let Some(draft) = draft(of::FS_ROOT) else { return 0 };
    if draft.args[0] != load_u64(whoever(), deeds!(task_fs)) || deed_begin(of::FS_ROOT, what::ROOT, 0) == 0 {
        return 0;
    }
    if draft.deed.call.nr == SETNS {
        return 0;
    }
    at_path(of::FS_ROOT, draft.args[1]);
    deed_send(of::FS_ROOT, u32::from(hook::FS_ROOT))
}

/// `set_fs_pwd(fs, path)`: to a directory of another mount namespace, or of none.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_fs_pwd() -> u32 {
    let Some(draft) = draft(of::FS_PWD) else { return 0 };
    if draft.args[0] != load_u64(whoever(), deeds!(task_fs))
        || !is_elsewhere(load_ptr(draft.args[1] as Kptr, deeds!(path_mnt)))
        || deed_begin(of::FS_PWD, what::WORKING_DIRECTORY, 0) == 0
    {
        return 0;
    }
    if draft.deed.call.nr == SETNS {
        return 0;
    }
    at_path(of::FS_PWD, draft.args[1]);
    deed_send(of::FS_PWD, u32::from(hook::FS_PWD))
}

/// `security_sb_pivotroot(old_path, new_path)`: pivot_root(2) sets roots without `set_fs_root`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_pivot_root() -> u32 {
    let Some(draft) = draft(of::PIVOT_ROOT) else { return 0 };
    if deed_begin(of::PIVOT_ROOT, what::ROOT, 0) == 0 {
        return 0;
    }
    at_path(of::PIVOT_ROOT, draft.args[0]);
    deed_send(of::PIVOT_ROOT, u32::from(hook::FS_ROOT))
}

/// `security_inode_mknod(dir, dentry, mode, dev)`: not the harmless ones that every container has, and no whiteouts.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_mknod() -> u32 {
    let Some(draft) = draft(of::MKNOD) else { return 0 };
    let [dentry, mode, device, _] = draft.args;
    let (mode, device) = (mode as u32 & 0xffff, device as u32);
    let kind = mode & S_IFMT;
    if kind != S_IFBLK && (kind != S_IFCHR || is_harmless(device)) || deed_begin(of::MKNOD, what::MKNOD, 0) == 0 {
        return 0;
    }
    deed_place(of::MKNOD, 0, dentry);
    deed_names(of::MKNOD, dentry);
    draft.deed.place.mode = mode;
    draft.deed.place.rdev = device;
    deed_send(of::MKNOD, u32::from(hook::MKNOD))
}

/// Whiteouts, null, zero, full, random, urandom, tty, ptmx.
#[inline(always)]
const fn is_harmless(device: u32) -> bool {
    const MEM: u32 = 1 << 20;
    const TTY: u32 = 5 << 20;
    device == 0
        || device == MEM | 3
        || device == MEM | 5
        || device == MEM | 7
        || device == MEM | 8
        || device == MEM | 9
        || device == TTY
        || device == TTY | 2
}
