//! Files that are opened or received, and what is found by file handles.

use nstrace_common::{
    deed::{open, place, what},
    file::{
        FMODE_PATH, FMODE_WRITE, KMEM, MEM, PORT,
        magic::{BINFMT_MISC, CGROUP, CGROUP2, DEBUGFS, EFIVARFS, NSFS, PROC, SECURITYFS, SYSFS, TRACEFS},
        mode::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFMT},
    },
    record::hook,
};

use crate::{
    config::offset,
    deed::{deed_begin, deed_entry, deed_names, deed_place, deed_return, deed_send, draft, of, whoever},
    kernel_memory::{Kptr, load_ptr, load_u16, load_u32, load_u64},
    namespace::write_common_ref,
    place::{deeds, is_internal, mount_namespace},
};

deed_entry!(fentry_deed_file_open kprobe_deed_file_open "security_file_open" of::FILE_OPEN, [0] deed_file_open);
deed_entry!(fentry_deed_file_receive kprobe_deed_file_receive "security_file_receive" of::FILE_RECEIVE, [0] deed_file_receive);
deed_return!(fexit_deed_handle_open kprobe_deed_handle_open kretprobe_deed_handle_open "do_handle_open"
    of::HANDLE_OPEN, [0 2] 3 deed_handle_open);

/// What an open file is, in numbers.
struct File {
    mnt: Kptr,
    dentry: Kptr,
    inode: Kptr,
    magic: u32,
    mode: u32,
    f_mode: u32,
}

#[inline(always)]
fn file(file: Kptr) -> File {
    let inode = load_ptr(file, deeds!(file_f_inode));
    let super_block = load_ptr(inode, deeds!(inode_i_sb));
    File {
        mnt: load_ptr(file, deeds!(file_mnt)),
        dentry: load_ptr(file, deeds!(file_dentry)),
        inode,
        magic: load_u64(super_block, deeds!(super_block_s_magic)) as u32,
        mode: u32::from(load_u16(inode, deeds!(inode_i_mode))),
        f_mode: load_u32(file, deeds!(file_f_mode)),
    }
}

/// A mount is in another mount namespace than `current`, or in none; those of the kernel's own are not meant.
#[inline(always)]
pub fn is_elsewhere(mnt: Kptr) -> bool {
    let ns = mount_namespace(mnt);
    let own = load_ptr(load_ptr(whoever(), offset!(task_nsproxy)), offset!(nsproxy_mnt));
    ns as u64 != own as u64 && !is_internal(ns)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_file_open() -> u32 {
    let Some(draft) = draft(of::FILE_OPEN) else { return 0 };
    let opened = draft.args[0] as Kptr;
    let File { mnt, dentry, inode, magic, mode, f_mode } = file(opened);
    let mut more = 0;
    let mut sink = false;
    if f_mode & FMODE_WRITE != 0 {
        sink = magic == PROC
            || magic == SYSFS
            || magic == CGROUP
            || magic == CGROUP2
            || magic == SECURITYFS
            || magic == DEBUGFS
            || magic == TRACEFS
            || magic == BINFMT_MISC
            || magic == EFIVARFS;
        if magic == PROC {
            let proc_inode = inode.wrapping_sub(deeds!(proc_inode_vfs_inode) as usize);
            let pid = load_u64(proc_inode, deeds!(proc_inode_pid));
            let task = whoever();
            let leader = load_ptr(task, deeds!(task_group_leader));
            // Its own folder: id maps and the like are told by hooks of their own.
            if pid != 0
                && (pid == load_u64(task, offset!(task_thread_pid))
                    || pid == load_u64(leader, offset!(task_thread_pid)))
            {
                sink = false;
            }
            let header = load_ptr(proc_inode, deeds!(proc_inode_sysctl));
            if header as u64 != 0 {
                more |= open::SYSCTL;
                let set = load_ptr(header, deeds!(ctl_table_header_set));
                // Only the tables of a namespace are not seen by everybody.
                if load_u64(set, deeds!(ctl_table_set_is_seen)) != 0 {
                    more |= open::OF_NAMESPACE;
                }
            }
        }
    }
    let kind = mode & S_IFMT;
    let mut device = kind == S_IFBLK;
    if kind == S_IFCHR {
        let rdev = load_u32(inode, deeds!(inode_i_rdev));
        device = rdev == MEM || rdev == KMEM || rdev == PORT;
    }
    if !sink && !device && magic != NSFS && !is_elsewhere(mnt) {
        return 0;
    }
    if deed_begin(of::FILE_OPEN, what::OPEN, 0) == 0 {
        return 0;
    }
    draft.deed.flags = load_u32(opened, deeds!(file_f_flags));
    draft.deed.number = u64::from(f_mode) | more;
    told(of::FILE_OPEN, mnt, dentry, inode, magic);
    deed_send(of::FILE_OPEN, u32::from(hook::FILE_OPEN))
}

/// Where a file lies, its names, and of an nsfs file the namespace.
#[inline(always)]
fn told(of: u32, mnt: Kptr, dentry: Kptr, inode: Kptr, magic: u32) {
    deed_place(of, mnt as u64, dentry as u64);
    deed_names(of, dentry as u64);
    if magic == NSFS
        && let Some(draft) = draft(of)
    {
        // SAFETY: the draft is writable.
        unsafe { write_common_ref(&raw mut draft.deed.ns, load_ptr(inode, offset!(inode_i_private))) };
    }
}

/// By SCM_RIGHTS, pidfd_getfd(2), or a seccomp notification: handles of namespaces, and directories of elsewhere.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_file_receive() -> u32 {
    let Some(draft) = draft(of::FILE_RECEIVE) else { return 0 };
    let received = draft.args[0] as Kptr;
    let File { mnt, dentry, inode, magic, mode, f_mode } = file(received);
    let path = mode & S_IFMT == S_IFDIR || f_mode & FMODE_PATH != 0;
    if magic != NSFS && !(path && is_elsewhere(mnt)) {
        return 0;
    }
    if deed_begin(of::FILE_RECEIVE, what::RECEIVE, 0) == 0 {
        return 0;
    }
    draft.deed.flags = load_u32(received, deeds!(file_f_flags));
    draft.deed.number = u64::from(f_mode);
    told(of::FILE_RECEIVE, mnt, dentry, inode, magic);
    deed_send(of::FILE_RECEIVE, u32::from(hook::RECEIVE_FD))
}

/// open_by_handle_at(2): the file is in the caller's table already.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_handle_open() -> u32 {
    let Some(draft) = draft(of::HANDLE_OPEN) else { return 0 };
    let ret = draft.args[2] as i32;
    if deed_begin(of::HANDLE_OPEN, what::HANDLE_OPEN, draft.args[2]) == 0 {
        return 0;
    }
    if ret >= 0 {
        let table = load_ptr(load_ptr(whoever(), deeds!(task_files)), deeds!(files_struct_fdt));
        let files = load_u64(table, deeds!(fdtable_fd));
        let opened = load_ptr((files + ret as u64 * 8) as Kptr, 0);
        let File { mnt, dentry, inode, magic, f_mode, .. } = file(opened);
        draft.deed.flags = load_u32(opened, deeds!(file_f_flags));
        draft.deed.number = u64::from(f_mode);
        told(of::HANDLE_OPEN, mnt, dentry, inode, magic);
        if is_outside(mnt, dentry) {
            draft.deed.place.flags |= place::OUTSIDE_MOUNT;
        }
    }
    deed_send(of::HANDLE_OPEN, u32::from(hook::HANDLE_OPEN))
}

/// How far up a file's mount root is looked for; deeper ones count as inside.
const LEVELS: u32 = 48;

#[inline(always)]
fn is_outside(mnt: Kptr, dentry: Kptr) -> bool {
    let root = load_ptr(mnt, deeds!(vfsmount_mnt_root));
    let mut at = dentry;
    for _ in 0..LEVELS {
        if at as u64 == root as u64 {
            return false;
        }
        let parent = load_ptr(at, deeds!(dentry_d_parent));
        if parent as u64 == at as u64 || parent as u64 == 0 {
            return true;
        }
        at = parent;
    }
    false
}
