//! What can hold a namespace.

use nstrace_common::census::place;

use super::{NsIndex, TaskIndex};

/// A descriptor in the file table of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Descriptor {
    pub pid: u32,
    /// Differs from `pid` when the thread has a file table of its own (`unshare(CLONE_FILES)`), or the leader is dead.
    pub tid: u32,
    /// Or what else the thread has the file or mount by: see [`Self::place`].
    pub fd: u32,
}

impl Descriptor {
    /// What takes the place of a descriptor: a directory, a mapping, the program that runs. None: it is a descriptor.
    pub const fn place(self) -> Option<&'static str> {
        match self.fd {
            place::CWD => Some("cwd"),
            place::ROOT => Some("root"),
            place::MAPPING => Some("mapping"),
            place::PROGRAM => Some("program"),
            _ => None,
        }
    }
}

/// One holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that lives in it.
    Task(TaskIndex),
    /// A thread that lives in it while the leader of its process does not, or is dead.
    Thread(TaskIndex),
    /// A dead task that nobody waited for: it still holds its pid and user namespace.
    Zombie(TaskIndex),
    /// A task whose children will live in it.
    Pending(TaskIndex),
    /// An nsfs file.
    Fd(Descriptor),
    /// An nsfs file, or the sender's `struct pid`, in a message that nobody received yet; by a descriptor of the receiving
    /// socket, or of what leads to that.
    InFlight(Descriptor),
    /// An nsfs file registered with this io_uring.
    IoUring(Descriptor),
    /// A bind mount of an nsfs file.
    Mount(MountHolder),
    /// A bind mount in a tree that is in no mount namespace; by what keeps the tree.
    DetachedMount(Descriptor),
    /// A pid or user namespace below it.
    Child(NsIndex),
    /// A namespace that this user namespace owns.
    Owned(NsIndex),
    Socket {
        at: Descriptor,
        family: u16,
    },
    /// An open `/dev/net/tun`.
    Tun(Descriptor),
    /// A file opened with credentials of this user namespace, by a task of another.
    Cred(Descriptor),
    /// A mounted file system that this user namespace owns.
    Superblock(MountHolder),
    /// A file on a file system that this user namespace owns.
    SuperblockFile(Descriptor),
    /// A file on a procfs that shows this pid namespace, or in the folder of one of its processes.
    ProcfsFile(Descriptor),
    /// A procfs that shows this pid namespace.
    Procfs(MountHolder),
    /// A pidfd.
    Pidfd(Descriptor),
    /// A System V shared memory segment of this ipc namespace attached in a process.
    Shm {
        pid: u32,
        id: u32,
    },
    /// Something rare.
    Other {
        /// Where it is known.
        at: Option<Descriptor>,
        what: &'static str,
    },
}

/// A mount, as seen in its mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountHolder {
    /// Inode number of the mount namespace; None: unknown.
    pub mnt_ns: Option<u32>,
    /// Hostile; None: it could not be looked up.
    pub path: Option<String>,
    /// Something is mounted over it or over a directory on the way to it.
    pub hidden: bool,
}

/// The word of the JSON documents for a kind of holder, in the order of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HolderKind {
    Task,
    Thread,
    Zombie,
    Pending,
    Fd,
    InFlight,
    IoUring,
    Mount,
    DetachedMount,
    Child,
    Owned,
    Socket,
    Tun,
    Cred,
    Superblock,
    Procfs,
    Pidfd,
    Shm,
    Other,
}

impl HolderKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Thread => "thread",
            Self::Zombie => "zombie",
            Self::Pending => "pending",
            Self::Fd => "fd",
            Self::InFlight => "inflight",
            Self::IoUring => "iouring",
            Self::Mount => "mount",
            Self::DetachedMount => "detached-mount",
            Self::Child => "child",
            Self::Owned => "owned",
            Self::Socket => "socket",
            Self::Tun => "tun",
            Self::Cred => "cred",
            Self::Superblock => "superblock",
            Self::Procfs => "procfs",
            Self::Pidfd => "pidfd",
            Self::Shm => "shm",
            Self::Other => "other",
        }
    }
}

impl Holder {
    /// The descriptor it is or goes through.
    pub const fn descriptor(&self) -> Option<Descriptor> {
        match self {
            Self::Fd(at)
            | Self::InFlight(at)
            | Self::IoUring(at)
            | Self::DetachedMount(at)
            | Self::Socket { at, .. }
            | Self::Tun(at)
            | Self::Cred(at)
            | Self::SuperblockFile(at)
            | Self::ProcfsFile(at)
            | Self::Pidfd(at) => Some(*at),
            Self::Other { at, .. } => *at,
            _ => None,
        }
    }

    /// The task it is.
    pub const fn task(&self) -> Option<TaskIndex> {
        match self {
            Self::Task(task) | Self::Thread(task) | Self::Zombie(task) | Self::Pending(task) => Some(*task),
            _ => None,
        }
    }

    /// The mount it is.
    pub const fn mount(&self) -> Option<&MountHolder> {
        match self {
            Self::Mount(mount) | Self::Superblock(mount) | Self::Procfs(mount) => Some(mount),
            _ => None,
        }
    }

    /// The namespace it is.
    pub const fn namespace(&self) -> Option<NsIndex> {
        match self {
            Self::Child(ns) | Self::Owned(ns) => Some(*ns),
            _ => None,
        }
    }

    pub const fn kind(&self) -> HolderKind {
        match self {
            Self::Task(_) => HolderKind::Task,
            Self::Thread(_) => HolderKind::Thread,
            Self::Zombie(_) => HolderKind::Zombie,
            Self::Pending(_) => HolderKind::Pending,
            Self::Fd(_) => HolderKind::Fd,
            Self::InFlight(_) => HolderKind::InFlight,
            Self::IoUring(_) => HolderKind::IoUring,
            Self::Mount(_) => HolderKind::Mount,
            Self::DetachedMount(_) => HolderKind::DetachedMount,
            Self::Child(_) => HolderKind::Child,
            Self::Owned(_) => HolderKind::Owned,
            Self::Socket { .. } => HolderKind::Socket,
            Self::Tun(_) => HolderKind::Tun,
            Self::Cred(_) => HolderKind::Cred,
            Self::Superblock(_) | Self::SuperblockFile(_) => HolderKind::Superblock,
            Self::Procfs(_) | Self::ProcfsFile(_) => HolderKind::Procfs,
            Self::Pidfd(_) => HolderKind::Pidfd,
            Self::Shm { .. } => HolderKind::Shm,
            Self::Other { .. } => HolderKind::Other,
        }
    }
}
