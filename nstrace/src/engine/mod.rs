//! What container engines know of their containers: names, images, pods. An engine that is absent is no error, and a slow
//! one is waited for only so long.

pub mod asking;
mod http;
pub mod ports;
mod sockets;
mod state;

use std::{
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use ports::Port;

use crate::{
    inspect::{
        Places,
        processes::{Process, ProcessTable},
        task_dir::TaskDir,
    },
    model::Container,
};

/// How long all engines together are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A container with all that is known of it. Names are hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    pub runtime: String,
    pub id: String,
    pub name: Option<String>,
    pub image: Option<String>,
    /// `sha256:` and the digest of the image's configuration: what ran, whatever the tag means by now.
    pub image_id: Option<String>,
    /// Name of the pod, or its uid where only that is known.
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    /// PID of its init on the host.
    pub pid: Option<u32>,
    /// `running`, `exited`, …, in the engine's words.
    pub state: Option<String>,
    /// What the engine calls its network mode.
    pub network: Option<String>,
    /// Ports that the engine publishes on the host; empty also when no engine was there to tell.
    pub ports: Vec<Port>,
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
    /// Sockets that did not answer in time.
    slow: Vec<String>,
}

/// Of which containers somebody may speak.
#[derive(Clone, Debug)]
enum Scope {
    /// Root of the host: of all.
    Host,
    /// A user's own engine: of what is in that user's slice, or runs as that user.
    User(u32),
    /// An engine inside the container with this id: of what is inside that one.
    Inside(String),
}

impl Engines {
    pub fn of(known: Vec<Named>) -> Self {
        Self { known, slow: Vec::new() }
    }

    /// Asks every engine there is, the host's own first, and reads what they leave in files.
    pub fn read(places: &Places, table: &ProcessTable) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let mut asked: Vec<(Scope, sockets::EngineSocket)> = Vec::new();
        // From the root directory: on the host a link may lead anywhere.
        let run = places.run.to_string_lossy();
        asked.extend(sockets::sockets(Path::new("/"), &run).into_iter().map(|socket| (Scope::Host, socket)));
        let named = [(sockets::Kind::Docker, &places.docker_host), (sockets::Kind::Podman, &places.container_host)];
        for (kind, host) in named {
            let path = host.as_deref().and_then(|host| host.strip_prefix("unix://"));
            asked.extend(path.map(|path| (Scope::Host, sockets::EngineSocket::at(kind, path))));
        }
        asked.extend(sockets::user_sockets(&places.run).into_iter().map(|(uid, socket)| (Scope::User(uid), socket)));
        asked.extend(inner_sockets(places, table));
        let (answers, slow) = sockets::ask(asked, deadline);
        let mut told = answers;
        told.extend(state::read(&places.run, &places.var_lib).into_iter().map(|named| (Scope::Host, named)));
        for (uid, run) in state::users(&places.run) {
            told.extend(state::read_user(&run).into_iter().map(|named| (Scope::User(uid), named)));
        }
        let mounts = TaskDir::open_self(&places.proc).and_then(|dir| dir.read("mountinfo")).unwrap_or_default();
        for (uid, home) in state::homes(&places.etc, &mounts) {
            told.extend(state::read_home(&home).into_iter().map(|named| (Scope::User(uid), named)));
        }
        // Whoever may speak of more is believed first.
        told.sort_by_key(|(scope, _)| !matches!(scope, Scope::Host));
        let known = told.into_iter().filter_map(|(scope, named)| believable(&scope, named, table)).collect();
        Self { known, slow }
    }

    /// Engines that were there and did not answer in time.
    pub fn missing(&self) -> Vec<String> {
        self.slow.iter().map(|socket| format!("the names that {socket} knows: no answer in {PATIENCE:?}")).collect()
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
        for known in self.known.iter().filter(|known| is_same(&bare.id, &known.id)) {
            whole.id.clone_from(&known.id);
            whole.name = whole.name.or_else(|| known.name.clone());
            whole.image = whole.image.or_else(|| known.image.clone());
            whole.image_id = whole.image_id.or_else(|| known.image_id.clone());
            // A name says more than the uid of the cgroup.
            whole.pod = known.pod.clone().or(whole.pod);
            whole.pod_namespace = whole.pod_namespace.or_else(|| known.pod_namespace.clone());
            whole.pid = whole.pid.or(known.pid);
            whole.state = whole.state.or_else(|| known.state.clone());
            whole.network = whole.network.or_else(|| known.network.clone());
            if whole.ports.is_empty() {
                whole.ports.clone_from(&known.ports);
            }
        }
        whole
    }
}

/// An id as a cgroup shows it is the one that an engine tells; a cgroup may show only the start of it.
pub fn is_same(shown: &str, told: &str) -> bool {
    /// What engines print as a short id.
    const SHORT: usize = 12;
    shown == told || (shown.len() >= SHORT && told.starts_with(shown))
}

/// What somebody said, as far as it is theirs to say.
fn believable(scope: &Scope, mut named: Named, table: &ProcessTable) -> Option<Named> {
    let is_its = |process: &Process| process.containers().iter().any(|container| container.id == named.id);
    match scope {
        Scope::Host => Some(named),
        Scope::User(uid) => {
            let slice = format!("/user.slice/user-{uid}.slice/");
            let theirs = |process: &Process| {
                process.cgroup.as_deref().is_some_and(|path| path.starts_with(&slice)) || process.status.uid[0] == *uid
            };
            if table.iter().any(|process| is_its(process) && !theirs(process)) {
                return None;
            }
            named.pid = named.pid.filter(|&pid| table.get(pid).is_some_and(theirs));
            Some(named)
        }
        Scope::Inside(outer) => {
            // Its PIDs are those of another pid namespace.
            named.pid = None;
            let inside = |process: &Process| {
                let containers = process.containers();
                let at = |id: &str| containers.iter().position(|container| container.id == id);
                matches!((at(outer), at(&named.id)), (Some(outer), Some(inner)) if outer < inner)
            };
            let mut all = table.iter().filter(|process| is_its(process)).peekable();
            (all.peek().is_some() && all.all(inside)).then_some(named)
        }
    }
}

/// Sockets of engines that run in containers.
fn inner_sockets(places: &Places, table: &ProcessTable) -> Vec<(Scope, sockets::EngineSocket)> {
    /// More containers with an engine inside are not asked.
    const MOST: usize = 32;
    let engines = table.iter().filter(|p| matches!(p.status.name.as_str(), "dockerd" | "podman"));
    let found = engines.filter_map(|process| Some((process.status.pid, process.containers().pop()?.id)));
    let asked = found.take(MOST).flat_map(|(pid, id)| {
        let root = places.proc.root().join(pid.to_string()).join("root");
        sockets::sockets(Path::new(&root), "run").into_iter().map(move |socket| (Scope::Inside(id.clone()), socket))
    });
    asked.collect()
}

#[cfg(test)]
mod tests;
