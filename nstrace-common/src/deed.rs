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
    /// A file was opened (`security_file_open`). `place`: the file; `flags`: `f_flags`; `number`: `f_mode`; `name`: its dentry's
    /// name; `detail`: the name of the dentry above; `ns`: of an nsfs file.
    pub const OPEN: u32 = 1;
    /// A file arrived by SCM_RIGHTS or pidfd_getfd(2) (`receive_fd`). As [`OPEN`].
    pub const RECEIVE: u32 = 2;
    /// Another task was accessed (`security_ptrace_access_check`). `flags`: `PTRACE_MODE_*`; `other`: the task.
    pub const ACCESS: u32 = 3;
    /// A file system was mounted, attached or not (`vfs_get_tree`). `name`: type; `detail`: source; `place`: its root;
    /// `flags`: 1 where the type wants a block device (`FS_REQUIRES_DEV`).
    pub const MOUNT: u32 = 4;
    /// An existing file or directory was mounted elsewhere: bind, move, open_tree(2), move_mount(2) (`security_sb_mount`,
    /// `security_move_mount`). `place`: what was mounted; `flags`: `MS_*` of mount(2); `ns`: of an nsfs file.
    pub const BIND: u32 = 5;
    /// The propagation of a mount was changed (mount(2) with `MS_SHARED`, mount_setattr(2)). `flags`: `MS_*`; `place`: the mount.
    pub const PROPAGATION: u32 = 6;
    /// open_by_handle_at(2). `place`: what was found, where it is known.
    pub const HANDLE_OPEN: u32 = 7;
    /// A unix socket was reached (`security_unix_stream_connect`, `security_unix_may_send`). `other`: the listener's creator as
    /// its `peer` credentials tell (tid = tgid = `pid`), `ns`: the peer's network namespace; `place`: of a path socket; `name`:
    /// the end of its path, or its abstract name after a NUL byte.
    pub const CONNECT: u32 = 8;
    /// A kernel module is loaded (`do_init_module`, `security_kernel_read_file`). `name`: the module.
    pub const MODULE: u32 = 9;
    /// A BPF program is loaded (`security_bpf_prog`, `bpf_prog_load`). `flags`: program type; `name`: its name.
    pub const BPF: u32 = 10;
    /// kexec_load(2), kexec_file_load(2).
    pub const KEXEC: u32 = 11;
    /// The kernel runs a program in user space (`call_usermodehelper_exec`). `detail`: its path. Nobody's doing: the task that
    /// happens to run.
    pub const HELPER: u32 = 12;
    /// A task was moved to another cgroup (`cgroup_attach_task`). `other`: that task; `number`: id of the cgroup it goes to;
    /// `flags`: 1 where that is the task's own cgroup or one below it.
    pub const CGROUP: u32 = 13;
    /// A uid or gid map was written (`map_write`). `ns`: of that user namespace; `number`: first id outside (upper half: count);
    /// `flags`: 0 uid, 1 gid.
    pub const ID_MAP: u32 = 14;
    /// The root directory changed: chroot(2), pivot_root(2) (`set_fs_root`). `place`: the new one.
    pub const ROOT: u32 = 15;
    /// The working directory changed (`set_fs_pwd`). `place`: the new one.
    pub const WORKING_DIRECTORY: u32 = 16;
    /// A device node was made (`security_inode_mknod`). `place.rdev`, `place.mode`: of the node.
    pub const MKNOD: u32 = 17;
    /// Credentials were committed that hold more than those before, outside execve(2) and of the set*id(2) and capset(2) calls
    /// (`commit_creds`). `number`: effective capabilities after.
    pub const CREDENTIALS: u32 = 18;
    /// A kernel subsystem that wants a capability over a user namespace other than the initial one was used
    /// (`ns_capable`). `flags`: the capability; `ns`: that user namespace; `name`: subsystem, where it is known.
    pub const CAPABILITY: u32 = 19;
    /// The namespaces of a task are not what its last transition left ([`Deed::slots`]: now). `other_slots`: as remembered.
    pub const MISMATCH: u32 = 20;
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
    /// It is the directory that is the root of kthreadd(2): the host's root.
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
