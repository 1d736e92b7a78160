//! What the checks are about: collected once, then only looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    census::holder::HolderKind,
    engine::Named,
    inspect::{cgroup::CgroupView, idmap::IdMap, seen::Seen, status::CapSets, task::NsRef},
    map::mount_table::Mount,
    ns::NsType,
};

/// Everything of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub host: Host,
    /// Groups of processes with a root directory of their own, or with the cgroup of a container.
    pub containers: Vec<Container>,
    /// Groups with a mount namespace of their own that still have the host's root directory: host services.
    pub sandboxes: Vec<Container>,
    /// Namespaces without any process.
    pub leftovers: Vec<Leftover>,
    /// What could not be seen, one phrase each.
    pub missing: Vec<String>,
}

/// What containers are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Every capability of this kernel.
    pub all_capabilities: u64,
    /// Label of process 1 by the security module.
    pub lsm: Seen<String>,
    /// Those of [`super::kernel_files::PATHS`] that this kernel has.
    pub kernel_files: BTreeSet<&'static str>,
    /// Peer groups of the mounts of the initial mount namespace (mount_namespaces(7)).
    pub peer_groups: Seen<BTreeSet<u32>>,
}

/// A group of processes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// By its cgroup or its engine. None: told by its namespaces alone.
    pub named: Option<Named>,
    pub init: Init,
    pub processes: Vec<Process>,
    /// The eight types, in their order.
    pub namespaces: Vec<Cell>,
    /// Of its init.
    pub uid_map: Seen<IdMap>,
    pub gid_map: Seen<IdMap>,
    pub cgroup: Seen<CgroupView>,
    /// Controllers in whose root cgroup it is, where no limit can be set.
    pub unlimited: BTreeSet<&'static str>,
    pub devices: DeviceRules,
    /// Mounts as its init sees them, those of the host by their path there.
    pub mounts: Seen<Vec<Mount>>,
    /// Block devices in its `/dev`; hostile names.
    pub block_devices: Seen<Vec<String>>,
    /// Listening unix sockets of the host that can be reached by a path.
    pub sockets: Seen<Vec<ReachedSocket>>,
    /// Descriptors and directories that lead out of it.
    pub outside: Seen<Vec<Outside>>,
}

/// The process that a container is looked at by: its process 1, else its oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Init {
    pub pid: u32,
    /// Hostile.
    pub comm: String,
}

/// One process, as far as the security layers go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Hostile.
    pub comm: String,
    /// Effective, in the reader's user namespace.
    pub uid: u32,
    /// Whether its user namespace is the initial one: only then do capabilities count over the host.
    pub over_host: Seen<bool>,
    pub capabilities: CapSets,
    /// 0 off, 1 strict, 2 filter (seccomp(2)).
    pub seccomp: Option<u32>,
    pub seccomp_filters: Option<u32>,
    pub no_new_privs: Option<bool>,
    /// `attr/current`; hostile. Absent: no security module labels processes.
    pub lsm: Seen<String>,
}

impl Process {
    /// Capabilities it has over the host, or could switch on at once.
    pub fn over_host(&self) -> Option<u64> {
        let CapSets { effective, permitted, .. } = self.capabilities;
        self.over_host.known().map(|&counts| if counts { effective | permitted } else { 0 })
    }
}

/// One namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    pub r#type: NsType,
    /// Of its init.
    pub ns: Seen<NsRef>,
    /// It is the initial one. None: not known.
    pub host: Option<bool>,
    /// A process of the container that is in the initial one although its init is not.
    pub stray: Option<u32>,
    /// Other containers with processes in it.
    pub shared_with: Vec<Sharer>,
}

/// Another container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sharer {
    /// Hostile.
    pub container: String,
    /// In the same pod, which is made to share.
    pub same_pod: bool,
}

/// What the device cgroup of a container allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum DeviceRules {
    /// Lines of `devices.list` (version 1).
    List { rules: Vec<String> },
    /// Version 2: BPF programs decide, so many of them; what they allow is not readable.
    Programs { count: u32 },
    #[default]
    Unknown,
}

/// A socket of the host in reach of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedSocket {
    /// In the container; hostile.
    pub path: String,
    /// Inode number of the file that the socket is bound to.
    pub inode: u64,
    /// Who listens. None: nobody that can be seen.
    pub listener: Option<Init>,
    pub listener_uid: u32,
    /// It has `CAP_SYS_ADMIN` over the host.
    pub listener_is_admin: bool,
}

/// What leads out of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    pub pid: u32,
    /// Hostile.
    pub comm: String,
    pub what: OutsideKind,
}

/// By what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutsideKind {
    /// A descriptor of a namespace, and whether that is an initial one.
    Namespace { fd: i32, ns: NsRef, initial: bool },
    /// A descriptor of a directory that is mounted in the host's mount namespace; hostile path.
    Directory { fd: i32, path: String },
    /// Its working directory is one.
    Cwd { path: String },
}

/// A namespace that nobody lives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    pub ns: NsRef,
    /// Holders of each kind.
    pub kept_by: BTreeMap<&'static str, usize>,
    /// The first of them in words; hostile.
    pub first: Option<String>,
    /// A file or mount that somebody keeps on purpose; else the kernel's own references explain it.
    pub persisted: bool,
    /// References that nobody explains.
    pub unexplained: Option<u32>,
}

impl Leftover {
    /// Kinds of holders that somebody made on purpose.
    pub fn is_deliberate(kind: HolderKind) -> bool {
        matches!(
            kind,
            HolderKind::Fd | HolderKind::Mount | HolderKind::DetachedMount | HolderKind::InFlight | HolderKind::IoUring
        )
    }
}

impl Container {
    pub fn cell(&self, ns_type: NsType) -> Option<&Cell> {
        self.namespaces.iter().find(|cell| cell.r#type == ns_type)
    }

    /// Whether it is in the initial namespace of this type.
    pub fn on_host(&self, ns_type: NsType) -> Option<bool> {
        self.cell(ns_type)?.host
    }

    /// A name for people; hostile.
    pub fn label(&self) -> String {
        match &self.named {
            Some(named) => named.to_string(),
            None => match self.cell(NsType::Mnt).and_then(|cell| cell.ns.known()) {
                Some(ns) => format!("{} of {} ({})", ns.0, self.init.pid, self.init.comm),
                None => format!("process {} ({})", self.init.pid, self.init.comm),
            },
        }
    }

    /// Some process of it is the host's root: uid 0 of the initial user namespace.
    pub fn host_root(&self) -> Option<&Process> {
        self.processes.iter().find(|process| process.uid == 0)
    }

    /// Some process of it could gain privileges over the host by executing a file.
    pub fn may_gain(&self) -> bool {
        self.processes.iter().any(|p| p.over_host.known() != Some(&false) && p.no_new_privs != Some(true))
    }
}
