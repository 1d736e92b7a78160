//! What changed in the world: the output of [`super::World::apply`], the input of detectors, sinks and views.

use std::borrow::Cow;

use serde::Serialize;

use super::NsKey;
use crate::{
    deed::Deed,
    detect::Finding,
    event::{PinHolder, Stamp, TaskInfo, Via},
    ns::{NsName, NsType},
};

/// A namespace in an output line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsSeen {
    pub key: NsKey,
    pub name: NsName,
    pub initial: bool,
}

/// What brought a change about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    pub via: Via,
    /// `CLONE_*` flags of the call; 0 = none.
    pub flags: u64,
    /// Positive errno of a failed attempt.
    pub errno: Option<i32>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Existed before the watch began. `task`: its first member, if any.
    Snapshot { ns: NsSeen, nprocs: u32, holders: Vec<PinHolder> },
    /// A namespace was made and published.
    Created { ns: NsSeen, owner: Option<NsName>, parent: Option<NsName> },
    /// The task became a member.
    Joined { ns: NsSeen },
    /// The task is no member any more.
    Left { ns: NsSeen },
    /// The namespace does not exist any more.
    Destroyed { ns: NsSeen, lifetime_ns: Option<u64> },
    /// The first nsfs file or bind mount.
    Pinned { ns: NsSeen },
    /// The last nsfs file or bind mount is gone.
    Unpinned { ns: NsSeen },
    /// An attempt failed. `ns_type`: of the one namespace asked for; `ns`: when the kernel got as far as naming it.
    Denied { ns_type: Option<NsType>, ns: Option<NsSeen> },
    /// Records were lost.
    Lost { count: u64, hook: Option<Cow<'static, str>> },
    /// The model was repaired after a loss.
    Resynced,
    /// A task did something with a kernel object that a finding rests on.
    Deed(Box<Deed>),
    /// A detector spoke.
    Finding(Box<Finding>),
}

/// The container of a task, as told from its cgroup path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Container {
    /// `docker`, `podman`, `containerd`, `cri-o`, `runc`, `crun`, `nspawn`, `lxc`, or `unknown` for an id of unknown make.
    pub runtime: &'static str,
    /// Container id or machine name as in the path; hostile.
    pub id: String,
    /// Pod uid, for Kubernetes shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// One line of `watch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub stamp: Stamp,
    /// UTC, nanoseconds since the epoch, from the last clock anchor.
    pub utc_ns: i64,
    /// Number of the change in this stream, from 1: the same live and replayed; findings cite it.
    pub seq: u64,
    pub what: What,
    /// Who did it; None where nobody can be named (a namespace freed by a kworker with no release seen).
    pub task: Option<TaskInfo>,
    pub cause: Option<Cause>,
    /// Container of `task`.
    pub container: Option<std::sync::Arc<Container>>,
}

impl Container {
    /// Every runtime that is told apart.
    pub const RUNTIMES: [&'static str; 9] =
        ["docker", "podman", "containerd", "cri-o", "runc", "crun", "nspawn", "lxc", "unknown"];
}

impl What {
    /// The `event` word of output lines.
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Snapshot { .. } => "snapshot",
            Self::Created { .. } => "created",
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::Destroyed { .. } => "destroyed",
            Self::Pinned { .. } => "pinned",
            Self::Unpinned { .. } => "unpinned",
            Self::Denied { .. } => "denied",
            Self::Lost { .. } => "lost",
            Self::Resynced => "resynced",
            Self::Deed(_) => "deed",
            Self::Finding(_) => "finding",
        }
    }

    /// The namespace it is about.
    pub const fn ns(&self) -> Option<&NsSeen> {
        match self {
            Self::Snapshot { ns, .. }
            | Self::Created { ns, .. }
            | Self::Joined { ns }
            | Self::Left { ns }
            | Self::Destroyed { ns, .. }
            | Self::Pinned { ns }
            | Self::Unpinned { ns }
            | Self::Denied { ns: Some(ns), .. } => Some(ns),
            Self::Finding(finding) => finding.ns.as_ref(),
            Self::Denied { ns: None, .. } | Self::Lost { .. } | Self::Resynced | Self::Deed(_) => None,
        }
    }

    /// The type of that namespace; of a failed attempt also where no namespace was named.
    pub fn ns_type(&self) -> Option<NsType> {
        match self {
            Self::Denied { ns: None, ns_type } => *ns_type,
            _ => self.ns().map(|ns| ns.name.ns_type),
        }
    }
}
