//! What tasks outside the initial namespaces do with kernel objects, decoded: the domain's words for
//! [`nstrace_common::deed`], which says where each comes from.

use std::fmt;

use nstrace_common::{
    deed::{place, what},
    file,
};
use serde::{Deserialize, Serialize};

use crate::{
    event::{Call, SlotSet, TaskInfo},
    ns::NsName,
};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    Open,
    Receive,
    Access,
    Mount,
    Bind,
    Propagation,
    HandleOpen,
    Connect,
    Module,
    Bpf,
    Kexec,
    Helper,
    Cgroup,
    IdMap,
    Root,
    WorkingDirectory,
    Mknod,
    Credentials,
    Capability,
    Propagated,
}

impl Act {
    pub const ALL: [Self; 20] = [
        Self::Open,
        Self::Receive,
        Self::Access,
        Self::Mount,
        Self::Bind,
        Self::Propagation,
        Self::HandleOpen,
        Self::Connect,
        Self::Module,
        Self::Bpf,
        Self::Kexec,
        Self::Helper,
        Self::Cgroup,
        Self::IdMap,
        Self::Root,
        Self::WorkingDirectory,
        Self::Mknod,
        Self::Credentials,
        Self::Capability,
        Self::Propagated,
    ];

    /// Its number in records.
    pub const fn wire(self) -> u32 {
        match self {
            Self::Open => what::OPEN,
            Self::Receive => what::RECEIVE,
            Self::Access => what::ACCESS,
            Self::Mount => what::MOUNT,
            Self::Bind => what::BIND,
            Self::Propagation => what::PROPAGATION,
            Self::HandleOpen => what::HANDLE_OPEN,
            Self::Connect => what::CONNECT,
            Self::Module => what::MODULE,
            Self::Bpf => what::BPF,
            Self::Kexec => what::KEXEC,
            Self::Helper => what::HELPER,
            Self::Cgroup => what::CGROUP,
            Self::IdMap => what::ID_MAP,
            Self::Root => what::ROOT,
            Self::WorkingDirectory => what::WORKING_DIRECTORY,
            Self::Mknod => what::MKNOD,
            Self::Credentials => what::CREDENTIALS,
            Self::Capability => what::CAPABILITY,
            Self::Propagated => what::PROPAGATED,
        }
    }

    /// The word of output lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Receive => "receive",
            Self::Access => "access",
            Self::Mount => "mount",
            Self::Bind => "bind",
            Self::Propagation => "propagation",
            Self::HandleOpen => "handle-open",
            Self::Connect => "connect",
            Self::Module => "module",
            Self::Bpf => "bpf",
            Self::Kexec => "kexec",
            Self::Helper => "helper",
            Self::Cgroup => "cgroup",
            Self::IdMap => "id-map",
            Self::Root => "root",
            Self::WorkingDirectory => "working-directory",
            Self::Mknod => "mknod",
            Self::Credentials => "credentials",
            Self::Capability => "capability",
            Self::Propagated => "propagated",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// In which mount namespace a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mounted {
    In(NsName),
    /// In none: detached.
    Detached,
    /// A mount of the kernel's own: pipes, memfds, pidfds.
    Internal,
    /// It cannot be told on this kernel or in this mode.
    Unknown,
}

/// Where a path leads, or the root of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub ino: u64,
    pub mounted: Mounted,
    /// `s_dev`: major << 20 | minor.
    pub dev: u32,
    /// `s_magic` (statfs(2)).
    pub magic: u32,
    /// `i_mode` (inode(7)).
    pub mode: u32,
    /// `i_rdev`, encoded as `dev`.
    pub rdev: u32,
    /// It is the host's root directory.
    pub host_root: bool,
    /// It lies on the file system of the host's root directory.
    pub host_file_system: bool,
    /// It is not below the root of its mount.
    pub outside_mount: bool,
    /// Its file system belongs to the initial user namespace.
    pub initial_user: bool,
    pub read_only: bool,
}

impl Place {
    /// None: the record has none.
    pub(crate) fn of(wire: &nstrace_common::deed::Place, mounted: Option<NsName>) -> Option<Self> {
        let has = |bit| wire.flags & bit != 0;
        if !has(place::KNOWN) {
            return None;
        }
        let mounted = match mounted {
            _ if !has(place::MOUNT_KNOWN) => Mounted::Unknown,
            _ if has(place::DETACHED) => Mounted::Detached,
            _ if has(place::INTERNAL) => Mounted::Internal,
            Some(ns) => Mounted::In(ns),
            None => Mounted::Unknown,
        };
        Some(Self {
            ino: wire.ino,
            mounted,
            dev: wire.dev,
            magic: wire.magic,
            mode: wire.mode,
            rdev: wire.rdev,
            host_root: has(place::HOST_ROOT),
            host_file_system: has(place::HOST_FILE_SYSTEM),
            outside_mount: has(place::OUTSIDE_MOUNT),
            initial_user: has(place::INITIAL_USER),
            read_only: has(place::READ_ONLY),
        })
    }

    /// `S_IFMT` of its mode is this `S_IF*`.
    pub fn is(&self, file_type: u32) -> bool {
        self.mode & file::mode::S_IFMT == file_type
    }
}

/// Major and minor number of a device, as in `8:0`; `dev` in the kernel's own encoding.
pub fn device(dev: u32) -> String {
    format!("{}:{}", dev >> 20, dev & 0xf_ffff)
}

/// What a task did with a kernel object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    pub act: Act,
    pub call: Call,
    /// Who did it, and the namespaces it was in.
    pub task: TaskInfo,
    pub slots: SlotSet,
    /// To whom.
    pub other: Option<(TaskInfo, SlotSet)>,
    pub place: Option<Place>,
    pub ns: Option<NsName>,
    /// Meaning by [`Act`]: see [`nstrace_common::deed::what`].
    pub number: u64,
    pub flags: u32,
    /// Hostile.
    pub name: String,
    /// Hostile.
    pub detail: String,
}

impl Deed {
    /// Of [`Act::Open`]: the file can be written to.
    pub fn is_for_writing(&self) -> bool {
        self.number & u64::from(file::FMODE_WRITE) != 0
    }
}

/// Where a task stands after execve(2), or when the start-up snapshot found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub task: TaskInfo,
    pub slots: SlotSet,
    pub root: Option<Place>,
    pub pwd: Option<Place>,
    pub exe: Option<Place>,
    pub cap_permitted: u64,
    pub cap_bounding: u64,
    pub seccomp: Option<u32>,
    pub no_new_privs: Option<bool>,
    pub loginuid: Option<u32>,
    /// It has just executed a program.
    pub executed: bool,
}
