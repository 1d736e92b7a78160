//! docker and podman by their sockets, rootful and rootless, and those of engines inside containers.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Instant,
};

use rustix::{
    fd::AsRawFd,
    fs::{CWD, OFlags},
};
use serde::Deserialize;

use super::{
    Named, Scope, http,
    ports::{self, DockerPort, PodmanPort},
};
use crate::discover::rooted;

/// One engine's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EngineSocket {
    pub kind: Kind,
    /// Root directory below which the path is looked up, which is hostile unless it is `/`.
    pub root: PathBuf,
    /// Relative to the root.
    pub path: String,
}

impl EngineSocket {
    /// By its path from the root directory.
    pub fn at(kind: Kind, path: &str) -> Self {
        Self { kind, root: "/".into(), path: path.trim_start_matches('/').to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Docker,
    Podman,
}

/// Where engines listen below a `/run`, given as the root and the path to it.
pub(super) fn sockets(root: &Path, run: &str) -> Vec<EngineSocket> {
    let mut found = Vec::new();
    let mut add = |kind, path: String| found.push(EngineSocket { kind, root: root.to_owned(), path });
    let below = |path: &str| format!("{run}/{path}").trim_start_matches('/').to_owned();
    add(Kind::Docker, below("docker.sock"));
    add(Kind::Podman, below("podman/podman.sock"));
    found
}

/// Those of rootless engines, with the uid of each.
pub(super) fn user_sockets(run: &Path) -> Vec<(u32, EngineSocket)> {
    let of =
        |(uid, _): (u32, PathBuf)| sockets(run, &format!("user/{uid}")).into_iter().map(move |socket| (uid, socket));
    super::state::users(run).into_iter().flat_map(of).collect()
}

/// Asks all of them at once and waits until `deadline` at most. The second list: sockets that did not answer in time.
pub(super) fn ask(sockets: Vec<(Scope, EngineSocket)>, deadline: Instant) -> (Vec<(Scope, Named)>, Vec<String>) {
    let (sender, receiver) = mpsc::channel();
    let mut waiting: Vec<String> = Vec::new();
    for (scope, socket) in sockets {
        let name = format!("{}/{}", socket.root.display(), socket.path);
        let sender = sender.clone();
        // Detached: connect(2) to a full backlog cannot be given a time limit, and nobody waits for this thread.
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn({
            let name = name.clone();
            move || {
                let _ = sender.send((name, scope, ask_one(&socket, deadline)));
            }
        });
        if thread.is_ok() {
            waiting.push(name);
        }
    }
    drop(sender);
    let mut known = Vec::new();
    let mut slow = Vec::new();
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((name, scope, answer)) = receiver.recv_timeout(left) else { break };
        waiting.retain(|other| *other != name);
        match answer {
            Ok(list) => known.extend(list.into_iter().map(|named| (scope.clone(), named))),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => slow.push(name),
            // Absent, stopped, not ours, or something else that listens there.
            Err(_) => {}
        }
    }
    slow.append(&mut waiting);
    (known, slow)
}

fn ask_one(socket: &EngineSocket, deadline: Instant) -> io::Result<Vec<Named>> {
    let path = match socket.kind {
        // The oldest form of the API that all supported engines still speak is left to the engine to choose.
        Kind::Docker => "/containers/json",
        Kind::Podman => "/v4.0.0/libpod/containers/json?namespace=true",
    };
    let body = http::get(connect(socket)?, path, deadline)?;
    Ok(match socket.kind {
        Kind::Docker => serde_json::from_slice::<Vec<Docker>>(&body)?.into_iter().map(Named::from).collect(),
        Kind::Podman => serde_json::from_slice::<Vec<Podman>>(&body)?.into_iter().map(Named::from).collect(),
    })
}

/// No symbolic link leads out of the root: a container must not make nstrace talk to a socket of the host.
fn connect(socket: &EngineSocket) -> io::Result<UnixStream> {
    let root = rooted::root(CWD, &socket.root)?;
    let there = rooted::open(&root, &socket.path, OFlags::PATH)?;
    UnixStream::connect(format!("/proc/self/fd/{}", there.as_raw_fd()))
}

/// An element of docker's `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Docker {
    id: String,
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    state: String,
    labels: Option<std::collections::BTreeMap<String, String>>,
    host_config: HostConfig,
    ports: Option<Vec<DockerPort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

impl From<Docker> for Named {
    fn from(docker: Docker) -> Self {
        // Links make further names with a slash in them: `/other/alias`.
        let own = |name: &&String| !name.trim_start_matches('/').contains('/');
        let name = docker.names.iter().find(own).map(|name| name.trim_start_matches('/').to_owned());
        let label = |key: &str| docker.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        Self {
            runtime: "docker".to_owned(),
            name,
            image: some(docker.image),
            image_id: some(docker.image_id),
            // cri-dockerd.
            pod: label("io.kubernetes.pod.name"),
            pod_namespace: label("io.kubernetes.pod.namespace"),
            pid: None,
            state: some(docker.state),
            network: some(docker.host_config.network_mode),
            ports: ports::of_docker(docker.ports),
            id: docker.id,
        }
    }
}

/// An element of podman's `GET /libpod/containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Podman {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    pod_name: String,
    pid: u32,
    state: String,
    ports: Option<Vec<PodmanPort>>,
}

impl From<Podman> for Named {
    fn from(podman: Podman) -> Self {
        Self {
            runtime: "podman".to_owned(),
            name: podman.names.and_then(|names| names.into_iter().next()),
            image: some(podman.image),
            // Without the name of the hash function.
            image_id: some(podman.image_id).map(|id| if id.contains(':') { id } else { format!("sha256:{id}") }),
            pod: some(podman.pod_name),
            pod_namespace: None,
            pid: (podman.pid != 0).then_some(podman.pid),
            state: some(podman.state),
            network: None,
            ports: ports::of_podman(podman.ports),
            id: podman.id,
        }
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_docker_and_podman() {
        let docker = br#"[{"Id":"ab12","Names":["/web/db","/web"],"Image":"nginx:1.27","ImageID":"sha256:aa","State":"running",
            "Labels":{"io.kubernetes.pod.name":"p"},"HostConfig":{"NetworkMode":"bridge"},"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}]},{"Id":"x"}]"#;
        let list: Vec<Docker> = serde_json::from_slice(docker).expect("docker's form");
        let named = Named::from(list.into_iter().next().expect("one"));
        assert_eq!((named.name.as_deref(), named.image.as_deref()), (Some("web"), Some("nginx:1.27")));
        assert_eq!(named.image_id.as_deref(), Some("sha256:aa"));
        assert_eq!((named.pod.as_deref(), named.network.as_deref()), (Some("p"), Some("bridge")));
        assert_eq!(named.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["tcp 0.0.0.0:8080 -> 80"]);
        let podman =
            br#"[{"Id":"cd34","Names":["db"],"Image":"postgres","ImageID":"bb","PodName":"back","Pid":77,"State":"running"}]"#;
        let list: Vec<Podman> = serde_json::from_slice(podman).expect("podman's form");
        let named = Named::from(list.into_iter().next().expect("one"));
        assert_eq!((named.name.as_deref(), named.pod.as_deref(), named.pid), (Some("db"), Some("back"), Some(77)));
        assert_eq!(named.image_id.as_deref(), Some("sha256:bb"));
    }
}
