//! Namespaces by name: types, slots, and the three identities a namespace can have.

use std::{fmt, str::FromStr};

use nstrace_common::slots::{CLONE_FLAG, SLOTS, TYPES};
use serde::{Deserialize, Serialize};

/// A namespace type (namespaces(7)), in the order of the wire slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum NsType {
    Mnt,
    Pid,
    Net,
    Ipc,
    Uts,
    User,
    Cgroup,
    Time,
}

impl NsType {
    pub const ALL: [Self; TYPES] =
        [Self::Mnt, Self::Pid, Self::Net, Self::Ipc, Self::Uts, Self::User, Self::Cgroup, Self::Time];

    /// The name nsfs and lsns use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnt => "mnt",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its `CLONE_NEW*` bit.
    pub const fn clone_flag(self) -> u64 {
        CLONE_FLAG[self as usize]
    }

    /// The type of exactly one `CLONE_NEW*` bit.
    pub fn from_clone_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.clone_flag() == flag)
    }
}

impl fmt::Display for NsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// "unknown namespace type 'x'", with the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown namespace type '{}': use one of mnt pid net ipc uts user cgroup time", .0.escape_debug())]
pub struct UnknownNsType(pub String);

impl FromStr for NsType {
    type Err = UnknownNsType;

    fn from_str(s: &str) -> Result<Self, UnknownNsType> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or_else(|| UnknownNsType(s.to_owned()))
    }
}

/// One of the ten places in which a task refers to a namespace: a role, not a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The task lives in it: it is a member.
    Member(NsType),
    /// `pid_for_children` or `time_for_children`: its next children will.
    ForChildren(NsType),
}

impl Slot {
    pub const ALL: [Self; SLOTS] = [
        Self::Member(NsType::Mnt),
        Self::Member(NsType::Pid),
        Self::Member(NsType::Net),
        Self::Member(NsType::Ipc),
        Self::Member(NsType::Uts),
        Self::Member(NsType::User),
        Self::Member(NsType::Cgroup),
        Self::Member(NsType::Time),
        Self::ForChildren(NsType::Pid),
        Self::ForChildren(NsType::Time),
    ];

    pub const fn ns_type(self) -> NsType {
        match self {
            Self::Member(t) | Self::ForChildren(t) => t,
        }
    }

    /// Its name below `/proc/PID/ns`.
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Member(t) => t.name(),
            Self::ForChildren(NsType::Pid) => "pid_for_children",
            Self::ForChildren(_) => "time_for_children",
        }
    }
}

/// A namespace as a record or `/proc` names it. The inode number alone is reused at once by the kernel; the model turns
/// this into a [`crate::model::NsKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NsName {
    pub ns_type: NsType,
    /// Inode number on nsfs, never 0.
    pub inum: u32,
    /// 64-bit kernel id (6.18+).
    pub id: Option<u64>,
}

impl fmt::Display for NsName {
    /// `net:[4026532177]`, as readlink(2) of `/proc/PID/ns/net` says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[{}]", self.ns_type, self.inum)
    }
}
