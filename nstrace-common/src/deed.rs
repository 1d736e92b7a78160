//! What tasks outside the initial namespaces do with kernel objects, as far as it may lead out of a container.
//!
//! Facts only: a record says what was done to which object, by whom, and where that object lies. Whether it was an escape is
//! for the reader of the records.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    record::{Call, Header, NsRef},
    slots::Slots,
    task::Task,
};

/// What was done ([`Deed::what`]).
pub mod what {
    /// A file was opened (`security_file_open`). `place`: the file; `flags`: `f_flags`; `number`: `f_mode`, in its upper half bits of
    /// [`super::open`]; `name`: its dentry's name; `detail`: the name of the dentry above; `ns`: of an nsfs file. Of a task's own
    /// folder in /proc nothing is told; of the rest what is on nsfs, on a mount of another mount namespace or of none, opened for
    /// writing in proc, sysfs and their like, a block device, or the kernel's memory.
    pub const OPEN: u32 = 1;
    /// A file arrived by SCM_RIGHTS or pidfd_getfd(2) (`security_file_receive`). As [`OPEN`]: what is on nsfs, and directories and
    /// `O_PATH` files on mounts of elsewhere.
    pub const RECEIVE: u32 = 2;
    /// Another task was accessed (`security_ptrace_access_check`, after the checks for ids and capabilities). `flags`:
    /// `PTRACE_MODE_*`; `other`: the task, which is in other namespaces; `call.ret`: 0, or why it was refused.
    pub const ACCESS: u32 = 3;
    /// A file system was mounted, attached or not (`vfs_get_tree`). `name`: type; `detail`: source; `place`: its root;
    /// `flags`: 1 where the type wants a block device (`FS_REQUIRES_DEV`). `call.ret` < 0: it failed.
    pub const MOUNT: u32 = 4;
    /// A mount was moved to its place (`security_move_mount`), or a copy of a mount was made that shows an nsfs file: bind mount,
    /// open_tree(2) (`clone_mnt`). `place`: what was mounted; `ns`: of an nsfs file. Other bind mounts are not told.
    pub const BIND: u32 = 5;
    /// The propagation of a mount is changed: by mount(2) (`security_sb_mount`), or by mount_setattr(2) to shared, then told of each
    /// mount (`change_mnt_propagation`). `flags`: `MS_*`; `place`: the mount.
    pub const PROPAGATION: u32 = 6;
    /// open_by_handle_at(2) (`do_handle_open`). `call.ret` < 0: it failed; else `place` is what was found, and the rest as in
    /// [`OPEN`].
    pub const HANDLE_OPEN: u32 = 7;
    /// A unix socket was connected to (`security_unix_stream_connect`) whose listener is in another network, pid or user namespace.
    /// `other`: who called listen(2); when that is gone, its number and ids alone, and of its slots net, pid and user. `ns`: the
    /// listener's network namespace. Of a path socket `place`, and `name` and `detail` as of [`OPEN`]; else `name` is the
    /// abstract name, after its NUL byte.
    pub const CONNECT: u32 = 8;
    /// A kernel module is loaded (`do_init_module`). `name`: the module.
    pub const MODULE: u32 = 9;
    /// A BPF program gets a descriptor: loaded, or one that is there already (`security_bpf_prog`). `flags`: its type; `name`: its
    /// name.
    pub const BPF: u32 = 10;
    /// kexec_load(2), kexec_file_load(2) (`security_kernel_load_data`, `security_kernel_read_file`).
    pub const KEXEC: u32 = 11;
    /// The kernel runs a program in user space (`call_usermodehelper_exec`). `detail`: its path. Nobody's doing: the task that
    /// happens to run.
    pub const HELPER: u32 = 12;
    /// A task was moved to another cgroup (`cgroup_attach_task`). `other`: that task, already there; `number`: id of the cgroup;
    /// `flags`: bits of [`super::cgroup`]; `detail`: its path in its hierarchy (not on 5.10, not in lockdown).
    pub const CGROUP: u32 = 13;
    /// A uid or gid map was written (`proc_uid_map_write`), a record for each of its first five extents. `ns`: of that user
    /// namespace; `number`: first id in the initial user namespace (upper half: count); `flags`: 0 uid, 1 gid; `call.ret` < 0: it
    /// failed.
    pub const ID_MAP: u32 = 14;
    /// The root directory changes: chroot(2), pivot_root(2) (`set_fs_root`, `security_sb_pivotroot`). `place`: the new one.
    pub const ROOT: u32 = 15;
    /// The working directory changes to one of another mount namespace, or of none (`set_fs_pwd`). `place`: the new one.
    pub const WORKING_DIRECTORY: u32 = 16;
    /// A device node is made (`security_inode_mknod`): a block device, or a character device of no everyday kind. `place.rdev`, `place.mode`: of the node.
    pub const MKNOD: u32 = 17;
    /// Credentials are committed that hold more than those before, or are of a user namespace further up, outside the calls that
    /// are there to change them (`commit_creds`). `number`: effective capabilities after; `ns`: user namespace after.
    pub const CREDENTIALS: u32 = 18;
    /// The first use of `CAP_NET_ADMIN`, `CAP_NET_RAW` or `CAP_SYS_ADMIN` over a user namespace other than the initial one
    /// (`ns_capable`). `flags`: the capability; `ns`: that user namespace.
    pub const CAPABILITY: u32 = 19;
    /// Something is mounted on a shared mount of which a peer is in another mount namespace, and shows there too
    /// (`propagate_mnt`). `place`, `name`, `detail`: where it is mounted; `ns`: the peer's mount namespace, the initial one if any
    /// peer of those looked at is there.
    pub const PROPAGATED: u32 = 21;
}

/// Bits of the upper half of [`Deed::number`] of [`what::OPEN`].
pub mod open {
    /// It is a sysctl.
    pub const SYSCTL: u64 = 1 << 32;
    /// A sysctl of a namespace: its table is not the one that all share. `kernel.hostname` and the other values of the uts
    /// namespace, and before 5.19 those of the ipc namespace, are in the shared one.
    pub const OF_NAMESPACE: u64 = 1 << 33;
}

/// Bits of [`Deed::flags`] of [`what::CGROUP`].
pub mod cgroup {
    /// The cgroup is the one of the task that did it, or below it; told of other tasks only.
    pub const BELOW: u32 = 1;
    /// The task moved itself: it is in that cgroup already, and where it was the records before tell.
    pub const ITSELF: u32 = 1 << 1;
    /// The cgroup is in a version 1 hierarchy.
    pub const OTHER_HIERARCHY: u32 = 1 << 2;
}

/// Bits of [`Place::flags`].
pub mod place {
    /// There is a place at all.
    pub const KNOWN: u32 = 1;
    /// Its mount's namespace is known: [`super::Place::mnt_ns`], or one of the next two bits.
    pub const MOUNT_KNOWN: u32 = 1 << 1;
    /// Its mount is attached to nothing: an anonymous mount namespace (fsmount(2), open_tree(2), a lazy umount).
    pub const DETACHED: u32 = 1 << 2;
    /// Its mount is one of the kernel's own (pipes, memfds, pidfds): in no namespace ever.
    pub const INTERNAL: u32 = 1 << 3;
    /// It is the directory that is the root of PID 1 or of kthreadd: the host's root.
    pub const HOST_ROOT: u32 = 1 << 4;
    /// It lies on the file system of the host's root directory.
    pub const HOST_FILE_SYSTEM: u32 = 1 << 5;
    /// It was looked for below its mount's root, and is not there.
    pub const OUTSIDE_MOUNT: u32 = 1 << 6;
    /// Its file system belongs to the initial user namespace (`s_user_ns`).
    pub const INITIAL_USER: u32 = 1 << 7;
    /// Its mount is read-only.
    pub const READ_ONLY: u32 = 1 << 8;
}

/// Where a `struct path` leads, or the root of a file system.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Place {
    /// `inode->i_ino`.
    pub ino: u64,
    /// `real_mount(path.mnt)->mnt_ns`.
    pub mnt_ns: NsRef,
    /// `inode->i_sb->s_dev` in the kernel's own encoding: major << 20 | minor.
    pub dev: u32,
    /// `inode->i_sb->s_magic`, its low half.
    pub magic: u32,
    /// `inode->i_mode`.
    pub mode: u32,
    /// `inode->i_rdev`, encoded as `dev`.
    pub rdev: u32,
    /// Bits of [`place`]; 0 = there is none.
    pub flags: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<Place>() == 48);

/// [`crate::record::kind::DEED`]: `task` (= `current`) did it, or tried to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Deed {
    pub header: Header,
    /// `ret` is the result where the hook is a return, else 0.
    pub call: Call,
    pub task: Task,
    /// The namespaces of `task`.
    pub slots: Slots,
    /// The task it was done to; all zero (`tid` 0) for none.
    pub other: Task,
    pub other_slots: Slots,
    pub place: Place,
    /// See [`what`]; `inum` 0 = none.
    pub ns: NsRef,
    pub number: u64,
    /// One of [`what`].
    pub what: u32,
    pub flags: u32,
    /// Text, up to the first NUL; hostile.
    pub name: [u8; 64],
    pub detail: [u8; 128],
}
const _: () = assert!(size_of::<Deed>() == 24 + 24 + 2 * (size_of::<Task>() + 120) + 48 + 16 + 16 + 192);

/// [`crate::record::kind::PLACED`]: where a task outside the initial namespaces stands and what it may do, after execve(2) and
/// in the start-up snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Placed {
    pub header: Header,
    pub task: Task,
    pub slots: Slots,
    /// `fs->root`.
    pub root: Place,
    /// `fs->pwd`.
    pub pwd: Place,
    /// `mm->exe_file->f_path`.
    pub exe: Place,
    pub cap_permitted: u64,
    pub cap_bounding: u64,
    /// `seccomp.mode`: 0 disabled, 1 strict, 2 filter; `u32::MAX` unknown.
    pub seccomp: u32,
    /// 1: `PFA_NO_NEW_PRIVS`; `u32::MAX` unknown.
    pub no_new_privs: u32,
    /// `loginuid`; `u32::MAX` = not set.
    pub loginuid: u32,
    /// 1 after execve(2), 0 in the snapshot.
    pub executed: u32,
}
const _: () = assert!(size_of::<Placed>() == 24 + size_of::<Task>() + 120 + 3 * 48 + 32);
