//! What container engines know of their containers: names, images, pods. An engine that is absent is no error, and a slow
//! one is waited for only so long.

use std::fmt;

use serde::Serialize;

use crate::model::Container;

/// A container with all that is known of it. Names are hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    pub runtime: String,
    pub id: String,
    pub name: Option<String>,
    pub image: Option<String>,
    /// Name of the pod, or its uid where only that is known.
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    /// PID of its init on the host.
    pub pid: Option<u32>,
    /// `running`, `exited`, …, in the engine's words.
    pub state: Option<String>,
    /// What the engine calls its network mode.
    pub network: Option<String>,
}

impl fmt::Display for Named {
    /// `web (docker 3f2a3f2a3f2a)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = if self.id.len() == 64 { self.id.get(..12).unwrap_or(&self.id) } else { &self.id };
        match &self.name {
            Some(name) if *name != self.id => write!(f, "{name} ({} {short})", self.runtime),
            _ => write!(f, "{short} ({})", self.runtime),
        }
    }
}

/// All that the engines told.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    known: Vec<Named>,
}

impl Engines {
    pub fn of(known: Vec<Named>) -> Self {
        Self { known }
    }

    /// Asks every engine there is.
    pub fn read(_places: &crate::inspect::Places, _table: &crate::inspect::processes::ProcessTable) -> Self {
        Self::default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Named> {
        self.known.iter()
    }

    /// A container as its cgroup shows it, with what the engines add.
    pub fn name(&self, container: Container) -> Named {
        let bare =
            Named { runtime: container.runtime.to_owned(), id: container.id, pod: container.pod, ..Named::default() };
        self.complete(&bare)
    }

    /// `bare` with what is known of the same id; a cgroup may show only the start of one.
    pub fn complete(&self, bare: &Named) -> Named {
        let mut whole = bare.clone();
        let same = |known: &&Named| known.id == bare.id || (bare.id.len() >= 12 && known.id.starts_with(&bare.id));
        for known in self.known.iter().filter(same) {
            whole.id.clone_from(&known.id);
            whole.name = whole.name.or_else(|| known.name.clone());
            whole.image = whole.image.or_else(|| known.image.clone());
            // A name says more than the uid of the cgroup.
            whole.pod = known.pod.clone().or(whole.pod);
            whole.pod_namespace = whole.pod_namespace.or_else(|| known.pod_namespace.clone());
            whole.pid = whole.pid.or(known.pid);
            whole.state = whole.state.or_else(|| known.state.clone());
            whole.network = whole.network.or_else(|| known.network.clone());
        }
        whole
    }
}
