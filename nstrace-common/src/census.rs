//! The records of the census iterators: one snapshot of tasks, namespaces and files, by kernel address.
//!
//! An address is an opaque key that joins records of one run. It never leaves the collector.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    layout::ABSENT,
    slots::{SLOTS, TYPES},
    task::COMM_LEN,
};

/// What a record is ([`Head::kind`]).
pub mod kind {
    /// [`super::Task`].
    pub const TASK: u32 = 1;
    /// [`super::Namespace`]: written before the first record that names it.
    pub const NAMESPACE: u32 = 2;
    /// [`super::File`].
    pub const FILE: u32 = 3;
    /// [`super::Mount`].
    pub const MOUNT: u32 = 4;
}

/// How a file holds a namespace ([`File::what`]).
pub mod what {
    /// The file is on nsfs; `object` is the file.
    pub const NSFS: u32 = 1;
    /// A socket; `object` is its `struct sock`, `detail` its address family.
    pub const SOCKET: u32 = 2;
    /// `/dev/net/tun`; `object` is the `struct sock` inside it.
    pub const TUN: u32 = 3;
    /// A pidfd; `object` is its `struct pid`.
    pub const PIDFD: u32 = 4;
    /// Opened with other credentials than the task's; `object` is the `struct cred`.
    pub const CRED: u32 = 5;
    /// A unix socket with messages in its queue, no namespace; `object` is its `struct sock`.
    pub const QUEUE: u32 = 6;
    /// An io_uring instance, no namespace; `object` is its `struct io_ring_ctx`.
    pub const IO_URING: u32 = 7;
    /// Something in a mount tree that belongs to no visible mount namespace (`open_tree`, `fsmount`); `object` is the address
    /// of the anonymous `struct mnt_namespace`, `ns` its owner.
    pub const DETACHED_MOUNT: u32 = 8;
    /// A file of a file system that a user namespace other than the initial one owns; `object` is the super block.
    pub const SUPER_BLOCK: u32 = 9;
    /// A file of a procfs of a pid namespace other than the initial one; `object` is the super block.
    pub const PROCFS: u32 = 10;
    /// A System V shared memory segment is attached; `object` is the `struct file` of the attachment, `detail` its id.
    pub const SHM: u32 = 11;
    /// Something in a mount tree that is in no mount namespace any more, no namespace; `object` is the `struct mount`.
    pub const LOOSE_MOUNT: u32 = 12;
    /// A file in a `/proc/PID` folder; `object` is the `struct pid`.
    pub const PROC_PID: u32 = 13;
    /// A unix socket whose other end was made by this `struct pid` (`SO_PEERCRED`).
    pub const PEER_PID: u32 = 14;
    /// As [`PEER_PID`], by these credentials: `object` is the `struct cred`.
    pub const PEER_CRED: u32 = 15;
    /// A file whose signals go to this `struct pid` (`F_SETOWN`).
    pub const OWNER_PID: u32 = 16;
    /// A message that tells its sender's `struct pid` waits in a unix socket.
    pub const SENDER_PID: u32 = 17;
    /// A file system context (fsopen(2)); `object` is the `struct fs_context`.
    pub const FS_CONTEXT: u32 = 18;
    /// An open mount table (`/proc/PID/mounts` and the like); `object` is the file.
    pub const MOUNT_TABLE: u32 = 19;
    /// An open file below `/proc/PID/net`; `object` is the file.
    pub const NET_TABLE: u32 = 20;
    /// An open cgroup file; `object` is the file.
    pub const CGROUP_FILE: u32 = 21;
    /// An inotify or fanotify instance, no namespace; `object` is its `struct fsnotify_group`.
    pub const WATCHES: u32 = 22;
    /// An nsfs inode that is watched; `object` is the inode.
    pub const WATCH: u32 = 23;
    /// A TCP socket with connections that nobody accepted, no namespace; `object` is its `struct sock`.
    pub const CONNECTIONS: u32 = 24;
    /// The file table is too large for one visit, no namespace: `iter/task_file` tells what is in it.
    pub const MORE: u32 = 25;
    /// Something on a mount that itself holds a user namespace, as [`super::mount_of::NUMBERS`]; `object` is the
    /// `struct vfsmount`.
    pub const NUMBERS: u32 = 26;
    /// As [`super::mount_of::IDMAPPED`].
    pub const IDMAPPED: u32 = 27;
    /// A file of an overlayfs that does its work with these credentials: `object` is the `struct cred`.
    pub const CREATOR: u32 = 28;
    /// An event of perf_event_open(2), which keeps the pid namespace of who opened it; `object` is the `struct perf_event`.
    pub const PERF_EVENT: u32 = 29;
}

/// In place of a descriptor's number ([`File::fd`]): what else a task has a file or a mount by.
pub mod place {
    pub const CWD: u32 = u32::MAX;
    pub const ROOT: u32 = u32::MAX - 1;
    /// The file is mapped.
    pub const MAPPING: u32 = u32::MAX - 2;
    /// The file is executed.
    pub const PROGRAM: u32 = u32::MAX - 3;
}

/// What the lowest bits of an address in the list of a walk over files that are in no file table mean.
pub mod queue_of {
    /// `struct sock` of a unix socket: files in its messages.
    pub const SOCK: u32 = 0;
    /// `struct io_ring_ctx`: files registered with it.
    pub const RING: u32 = 1;
    /// `struct fsnotify_group`: inodes that it watches.
    pub const WATCHES: u32 = 2;
    /// `struct sock` of a TCP socket: sockets of connections that nobody accepted.
    pub const CONNECTIONS: u32 = 3;
}

/// Mark of an address in the list of a walk over mounts: it is a `struct mount` in no mount namespace, whose tree is meant.
pub const LOOSE_MOUNT: u64 = 1;

/// Mark that the walk over mounts sets in that list: the tree changed meanwhile, and was left.
pub const TORN: u64 = 2;

/// How a mount holds a namespace ([`Mount::what`]).
pub mod mount_of {
    /// A bind mount of an nsfs file.
    pub const NSFS: u32 = 1;
    /// A procfs of a pid namespace other than the initial one.
    pub const PROCFS: u32 = 2;
    /// A file system that a user namespace other than the initial one owns.
    pub const USER: u32 = 3;
    /// From 5.17 to 6.1 a mount itself holds the user namespace of its file system as well (`vfsmount.mnt_userns`).
    pub const NUMBERS: u32 = 4;
    /// The same member of an idmapped mount (mount_setattr(2), 5.12 to 6.1): another user namespace.
    pub const IDMAPPED: u32 = 5;
    /// The credentials that an overlayfs does its work with: [`super::Mount::super_block`] is the `struct cred`,
    /// [`super::Mount::unique_id`] its `struct ucounts`.
    pub const CREATOR: u32 = 6;
}

/// Start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Head {
    /// One of [`kind`].
    pub kind: u32,
    /// Length of the record in bytes.
    pub len: u32,
}
const _: () = assert!(size_of::<Head>() == 8);

/// A `struct pid` and the namespace that it holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Pid {
    /// Address.
    pub pid: u64,
    /// Key of the pid namespace.
    pub ns: u64,
}
const _: () = assert!(size_of::<Pid>() == 16);

/// [`kind::TASK`]: a thread, dead ones that were not waited for included.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Task {
    pub head: Head,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub start_boottime: u64,
    /// Id of its cgroup2 cgroup, 0 unknown.
    pub cgroup: u64,
    /// Address of `task->nsproxy`; 0 of a task that let go of it while exiting.
    pub nsproxy: u64,
    /// Address of `task->real_cred`.
    pub real_cred: u64,
    /// Address of `task->cred`.
    pub cred: u64,
    /// Address of `task->thread_pid`.
    pub pid: u64,
    /// Address of `real_cred->ucounts`, 0 before 5.14.
    pub ucounts: u64,
    /// Address of `task->mm`, 0 of kernel threads and the dead; where it exists, of `task->exec_state`.
    pub mm: u64,
    /// Key of its `user_ns`: the user namespace its program was executed in.
    pub mm_user: u64,
    /// Address of the credentials that `mm->exe_file` was opened with.
    pub exe_cred: u64,
    /// Key of their user namespace.
    pub exe_user: u64,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Key of each namespace, as in [`Namespace::key`]; 0 none.
    pub slots: [u64; SLOTS],
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// `real_parent->tgid` in the initial pid namespace.
    pub ppid: u32,
    /// Of `real_cred`, in the initial user namespace.
    pub uid: u32,
    /// `PF_*`.
    pub flags: u32,
    /// `EXIT_*` bits of `task->exit_state`: not 0 = dead.
    pub exit_state: u32,
    /// Hostile.
    pub comm: [u8; COMM_LEN],
}
const _: () = assert!(size_of::<Task>() == 248);

/// [`kind::NAMESPACE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Namespace {
    pub head: Head,
    /// Address of its `ns_common`, the inode number laid over the upper half by exclusive or: unique in a run even when the
    /// memory is used again.
    pub key: u64,
    /// 64-bit `ns_id` (6.18+), else 0.
    pub id: u64,
    /// Key of the owning user namespace, of a user namespace its parent; 0 = none.
    pub owner: u64,
    /// Key of the parent of a pid namespace, 0 = none; means nothing of another type.
    pub parent: u64,
    /// Address of the `struct ucounts` of its owner that it was charged to.
    pub ucounts: u64,
    /// Inode number on nsfs; 0 or a constant for an anonymous mount namespace.
    pub inum: u32,
    /// `CLONE_NEW*` of its type.
    pub clone_flag: u32,
    /// The kernel's reference count; `u32::MAX` unknown.
    pub refs: u32,
    /// `__ns_ref_active` (6.19+); `u32::MAX` unknown.
    pub active: u32,
    /// Nesting level of a pid namespace; means nothing of another type.
    pub pid_level: u32,
    /// Nesting level of a user namespace; means nothing of another type.
    pub user_level: u32,
    /// `user_namespace.owner`, a uid in the initial user namespace; means nothing of another type.
    pub owner_uid: u32,
    /// Shared memory segments of an ipc namespace (`ids[IPC_SHM_IDS].in_use`), `u32::MAX` unknown; means nothing of another type.
    pub segments: u32,
    /// Address of the super block of the message queues of an ipc namespace; means nothing of another type.
    pub mqueue: u64,
    /// `mnt_namespace.seq`: before 6.18 its id to listmount(2); means nothing of another type.
    pub mnt_seq: u64,
    /// Address of the mount of those message queues where it holds the owner once more ([`mount_of::NUMBERS`]), else 0.
    pub mqueue_mount: u64,
}
const _: () = assert!(size_of::<Namespace>() == 104);

/// [`kind::FILE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct File {
    pub head: Head,
    /// Key of the namespace; 0 = none or not readable on this kernel.
    pub ns: u64,
    /// Address of what takes the reference; see [`what`].
    pub object: u64,
    /// Address of the `ucounts` of the credentials, for [`what::CRED`].
    pub ucounts: u64,
    pub tid: u32,
    pub tgid: u32,
    pub fd: u32,
    /// One of [`what`].
    pub what: u32,
    /// See [`what`].
    pub detail: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<File>() == 56);

/// [`kind::MOUNT`]: a mount that holds a namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Mount {
    pub head: Head,
    /// Key of the namespace that is held.
    pub ns: u64,
    /// What was listed: the address of the mount namespace, or a marked one.
    pub mnt_ns: u64,
    /// Address of the super block; of [`mount_of::NUMBERS`] and [`mount_of::IDMAPPED`] of the `struct vfsmount`.
    pub super_block: u64,
    /// `mount->mnt_id_unique` (6.8+), else 0.
    pub unique_id: u64,
    /// `mount->mnt_id`, as in `mountinfo`.
    pub id: u32,
    /// One of [`mount_of`].
    pub what: u32,
}
const _: () = assert!(size_of::<Mount>() == 48);

/// Where a walk over mount trees, or over the kernel's lists of namespaces, stands; user space sets `count` and zeroes the rest before a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Walk {
    /// The visit that took the walk from `from` to `to`; a visit that is repeated starts at `from` again.
    pub visit: u64,
    pub from: Place,
    pub to: Place,
    /// Number of mount namespaces in the list.
    pub count: u32,
    /// Trees that changed under the walk and were left.
    pub torn: u32,
}
const _: () = assert!(size_of::<Walk>() == 48);

/// A mount of one of the listed mount namespaces, or a link of a list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Place {
    /// Address of the mount or link; 0 = the first.
    pub mount: u64,
    /// Which mount namespace or list.
    pub index: u32,
    /// 1: its subtree is done, the walk goes up.
    pub up: u32,
}
const _: () = assert!(size_of::<Place>() == 16);

/// Room for the start of a `struct file`, up to the last member that is asked for.
pub const FILE_COPY: usize = 256;

/// Most mount namespaces of one run.
pub const WALKS: usize = 4096;

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Byte offsets that only the census needs (`ABSENT` where this kernel has no such member).
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct CensusLayout {
            /// The reference count inside the structure of each type, indexed as `slots::{MNT…TIME}`.
            pub ns_count: [u32; TYPES],
            /// `ucounts` inside the structure of each type.
            pub ns_ucounts: [u32; TYPES],
            $($(#[$doc])* pub $name: u32,)*
        }

        impl CensusLayout {
            pub const UNKNOWN: Self = Self { ns_count: [ABSENT; TYPES], ns_ucounts: [ABSENT; TYPES], $($name: ABSENT,)* };
        }
    };
}

layout! {
    ns_common_active,
    task_group_leader,
    task_real_parent,
    task_exit_state,
    task_files,
    files_struct_fdt,
    fdtable_fd,
    fdtable_max_fds,
    fdtable_open_fds,
    /// From the start of a `struct file` to the end of the last of these members; no offset.
    file_span,
    file_f_inode,
    file_f_cred,
    file_private_data,
    /// `f_path.dentry`.
    file_dentry,
    /// `f_path.mnt`: a `struct vfsmount` inside a `struct mount`.
    file_mnt,
    inode_i_sb,
    inode_i_ino,
    inode_i_rdev,
    dentry_d_name,
    dentry_d_inode,
    super_block_s_magic,
    super_block_s_user_ns,
    super_block_s_fs_info,
    socket_sk,
    sock_net,
    sock_family,
    sock_receive_queue,
    sock_state,
    sock_protocol,
    sock_peer_pid,
    sock_peer_cred,
    /// `icsk_accept_queue.rskq_accept_head`.
    inet_csk_accept_head,
    /// `dl_next`.
    request_sock_next,
    request_sock_sk,
    sk_buff_next,
    sk_buff_sk,
    sk_buff_cb,
    unix_skb_parms_fp,
    unix_skb_parms_pid,
    scm_fp_list_count,
    scm_fp_list_fp,
    mount_mnt,
    mount_mnt_ns,
    mount_mnt_id,
    mount_mnt_id_unique,
    /// Of `vfsmount`.
    vfsmount_mnt_root,
    vfsmount_mnt_sb,
    vfsmount_mnt_userns,
    mount_mnt_parent,
    mount_mnt_mounts,
    mount_mnt_child,
    mnt_namespace_root,
    proc_fs_info_pid_ns,
    ovl_fs_creator_cred,
    cred_ucounts,
    /// The link of the list of all namespaces of a type (6.18) or of all types (6.19+), inside `ns_common`.
    ns_common_list,
    net_list,
    vm_area_struct_vm_file,
    mm_struct_user_ns,
    /// What has its place from 7.1 on.
    task_exec_state,
    task_exec_state_user_ns,
    mm_struct_exe_file,
    task_mm,
    task_signal,
    /// An array of pointers by `enum pid_type`.
    signal_struct_pids,
    task_fs,
    /// `root.mnt` and `pwd.mnt`.
    fs_struct_root_mnt,
    fs_struct_pwd_mnt,
    /// `f_owner.pid`, where the owner is inside the file (before 6.12).
    file_f_owner_pid,
    /// The pointer to the owner, elsewhere.
    file_f_owner,
    fown_struct_pid,
    /// The array of registered files: of pointers with flags, or of `struct io_rsrc_node` (6.13+).
    io_ring_ctx_files,
    io_ring_ctx_count,
    io_rsrc_node_file,
    fsnotify_group_marks,
    fsnotify_mark_list,
    fsnotify_mark_connector,
    fsnotify_connector_obj,
    inode_fsnotify_marks,
    fs_context_net_ns,
    fs_context_user_ns,
    fs_context_cred,
    perf_event_ns,
    seq_file_private,
    proc_mounts_ns,
    proc_inode_vfs_inode,
    proc_inode_pid,
    proc_inode_pde,
    proc_dir_entry_parent,
    proc_dir_entry_name,
    proc_dir_entry_data,
    kernfs_open_file_priv,
    cgroup_file_ctx_ns,
    ipc_namespace_mq_mnt,
    mnt_namespace_seq,
    shm_file_data_id,
    shm_file_data_ns,
    /// `ipc_namespace.ids[IPC_SHM_IDS].in_use`.
    ipc_namespace_shm_in_use,
}
