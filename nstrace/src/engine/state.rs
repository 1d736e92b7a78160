//! What engines and runtimes leave in files: works without any daemon. What cannot be read is left out.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::Named;
use crate::container::is_oci_id;

/// Most bytes read of one file.
const MAX_FILE: u64 = 16 << 20;
/// Most entries read of one folder.
const MAX_ENTRIES: usize = 20_000;

/// Everything below `run` and `var_lib`.
pub(super) fn read(run: &Path, var_lib: &Path) -> Vec<Named> {
    let mut known = Vec::new();
    docker(&var_lib.join("docker/containers"), &mut known);
    containers_storage(&var_lib.join("containers/storage"), &run.join("containers/storage"), &mut known);
    containerd(&run.join("containerd/io.containerd.runtime.v2.task"), &mut known);
    runc(&run.join("runc"), "runc", &mut known);
    runc(&run.join("crun"), "crun", &mut known);
    machines(&run.join("systemd/machines"), &mut known);
    lxc(&var_lib.join("lxc"), &mut known);
    known
}

/// What a user's rootless runtimes leave in their own folder.
pub(super) fn read_user(run: &Path) -> Vec<Named> {
    let mut known = Vec::new();
    runc(&run.join("runc"), "runc", &mut known);
    runc(&run.join("crun"), "crun", &mut known);
    known
}

/// What rootless podman leaves in the home of its user.
pub(super) fn read_home(home: &Path) -> Vec<Named> {
    let mut known = Vec::new();
    let storage = home.join(".local/share/containers/storage");
    containers_storage(&storage, Path::new("/nonexistent"), &mut known);
    known
}

/// Homes of people (passwd(5)), those on a file system over the net left out: they may hang.
pub(super) fn homes(etc: &Path, mountinfo: &[u8]) -> Vec<(u32, PathBuf)> {
    /// `UID_MIN` of login.defs(5).
    const UID_MIN: u32 = 1000;
    /// More homes are not looked into.
    const MOST: usize = 256;
    let text = text(&etc.join("passwd")).unwrap_or_default();
    let (mounts, _) = crate::map::mount_table::parse(mountinfo);
    let home = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok().filter(|&uid| uid >= UID_MIN)?;
        let home = fields.nth(2).filter(|home| home.starts_with('/'))?;
        is_local(home, &mounts).then(|| (uid, PathBuf::from(home)))
    };
    String::from_utf8_lossy(&text).lines().filter_map(home).take(MOST).collect()
}

/// Whether the mount that holds `path` is of a file system that no server can make hang, by the reader's mounts: a
/// statfs(2) would already wait for it.
fn is_local(path: &str, mounts: &[crate::map::mount_table::Mount]) -> bool {
    let holding = mounts.iter().filter(|mount| !mount.hidden && crate::map::mount_table::is_below(path, &mount.point));
    let slow = ["nfs", "fuse", "cifs", "smb", "9p", "ceph", "afs", "autofs"];
    holding
        .max_by_key(|mount| mount.point.len())
        .is_none_or(|mount| !slow.iter().any(|slow| mount.fstype.starts_with(slow)))
}

/// Users with a runtime directory (`$XDG_RUNTIME_DIR`).
pub(super) fn users(run: &Path) -> Vec<(u32, PathBuf)> {
    let uid = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
    entries(&run.join("user")).into_iter().filter_map(uid).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).take(MAX_ENTRIES).map(|entry| entry.path()).collect()
}

/// Own folders of users may hold anything: no link is followed, no FIFO waited for.
fn text(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    fs::File::from(file).take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(text)
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&text(path)?).ok()
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| is_oci_id(name))
}

/// docker's `config.v2.json`: for when the daemon does not answer.
fn docker(dir: &Path, known: &mut Vec<Named>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        #[serde(rename = "ID")]
        id: String,
        name: String,
        /// Its id.
        image: Option<String>,
        config: Config,
        state: Option<State>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        image: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State {
        running: bool,
        pid: u32,
    }
    for container in entries(dir) {
        let Some(file) = json::<File>(&container.join("config.v2.json")) else { continue };
        let running = file.state.filter(|state| state.running && state.pid != 0);
        known.push(Named {
            runtime: "docker".to_owned(),
            id: file.id,
            name: Some(file.name.trim_start_matches('/').to_owned()),
            image: file.config.image,
            image_id: file.image,
            state: running.as_ref().map(|_| "running".to_owned()),
            pid: running.map(|state| state.pid),
            ..Named::default()
        });
    }
}

/// What podman and CRI-O write: `containers.json`, and CRI-O's annotations in the runtime's `config.json`.
fn containers_storage(lib: &Path, run: &Path, known: &mut Vec<Named>) {
    #[derive(Deserialize)]
    struct File {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        /// JSON in a string.
        #[serde(default)]
        metadata: String,
        /// Its id, without the name of the hash function.
        #[serde(default)]
        image: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        name: String,
        #[serde(rename = "image-name")]
        image: String,
        #[serde(rename = "pod-name")]
        pod: String,
        namespace: String,
    }
    for file in json::<Vec<File>>(&lib.join("overlay-containers/containers.json")).unwrap_or_default() {
        let metadata: Metadata = serde_json::from_str(&file.metadata).unwrap_or_default();
        let spec = json::<Spec>(&run.join("overlay-containers").join(&file.id).join("userdata/config.json"))
            .unwrap_or_default();
        let crio = spec.annotations.contains_key("io.kubernetes.cri-o.ContainerName") || !metadata.pod.is_empty();
        let pid = text(&run.join("overlay-containers").join(&file.id).join("userdata/pidfile"));
        let pid = pid.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
        known.push(Named {
            runtime: if crio { "cri-o" } else { "podman" }.to_owned(),
            name: spec
                .annotation("io.kubernetes.container.name")
                .or_else(|| file.names.first().cloned())
                .or_else(|| some(metadata.name)),
            image: spec.annotation("io.kubernetes.cri-o.ImageName").or_else(|| some(metadata.image)),
            image_id: some(file.image).map(|id| format!("sha256:{id}")),
            pod: spec.annotation("io.kubernetes.pod.name").or_else(|| some(metadata.pod)),
            pod_namespace: spec.annotation("io.kubernetes.pod.namespace").or_else(|| some(metadata.namespace)),
            pid,
            id: file.id,
            ..Named::default()
        });
    }
}

/// The parts of an OCI `config.json` that name a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    annotations: BTreeMap<String, String>,
}

impl Spec {
    fn annotation(&self, key: &str) -> Option<String> {
        self.annotations.get(key).filter(|value| !value.is_empty()).cloned()
    }

    /// containerd's CRI plugin, nerdctl.
    fn named(&self, runtime: &str, id: &str, pid: Option<u32>) -> Named {
        let sandbox = self.annotation("io.kubernetes.cri.container-type").is_some_and(|kind| kind == "sandbox");
        Named {
            runtime: runtime.to_owned(),
            id: id.to_owned(),
            name: self
                .annotation("io.kubernetes.cri.container-name")
                .or_else(|| self.annotation("nerdctl/name"))
                .or_else(|| sandbox.then(|| "sandbox".to_owned())),
            image: self.annotation("io.kubernetes.cri.image-name").or_else(|| self.annotation("nerdctl/image-ref")),
            pod: self.annotation("io.kubernetes.cri.sandbox-name"),
            pod_namespace: self.annotation("io.kubernetes.cri.sandbox-namespace"),
            pid,
            ..Named::default()
        }
    }
}

/// `NAMESPACE/ID/config.json` and `init.pid`. Docker keeps its tasks here too and knows their names better.
fn containerd(dir: &Path, known: &mut Vec<Named>) {
    for namespace in entries(dir) {
        let runtime = if namespace.ends_with("moby") { "docker" } else { "containerd" };
        for bundle in entries(&namespace) {
            let Some(id) = name_of(&bundle) else { continue };
            let spec = json::<Spec>(&bundle.join("config.json")).unwrap_or_default();
            let pid =
                text(&bundle.join("init.pid")).and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
            known.push(spec.named(runtime, id, pid));
        }
    }
}

/// runc's `state.json`, crun's `status`; below a namespace folder too (`/run/containerd/runc/NAMESPACE/ID` is containerd's).
fn runc(dir: &Path, runtime: &str, known: &mut Vec<Named>) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct State {
        init_process_pid: u32,
        pid: u32,
        bundle: String,
        config: RuncConfig,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct RuncConfig {
        labels: Vec<String>,
    }
    for container in entries(dir) {
        let Some(id) = name_of(&container) else { continue };
        let Some(state) = json::<State>(&container.join("state.json")).or_else(|| json(&container.join("status")))
        else {
            continue;
        };
        let labelled = state.config.labels.iter().find_map(|label| label.strip_prefix("bundle="));
        let bundle = labelled.unwrap_or(&state.bundle);
        let spec = if bundle.is_empty() { None } else { json::<Spec>(&Path::new(bundle).join("config.json")) };
        let pid = [state.init_process_pid, state.pid].into_iter().find(|&pid| pid != 0);
        let mut named = spec.unwrap_or_default().named(runtime, id, pid);
        // What a person called it is its id.
        if id.len() < 64 {
            named.name.get_or_insert_with(|| id.to_owned());
        }
        known.push(named);
    }
}

/// systemd-machined: `NAME=`, `LEADER=`, `CLASS=container`, `ROOT=`.
fn machines(dir: &Path, known: &mut Vec<Named>) {
    for path in entries(dir) {
        let Some(text) = text(&path) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .and_then(|value| some(value.trim_matches('"').to_owned()))
        };
        let Some(name) = field("NAME").filter(|_| field("CLASS").as_deref() == Some("container")) else { continue };
        let lxc = field("SERVICE").is_some_and(|service| service.contains("lxc"));
        known.push(Named {
            runtime: if lxc { "lxc" } else { "nspawn" }.to_owned(),
            id: name.clone(),
            name: Some(name),
            image: field("ROOT"),
            pid: field("LEADER").and_then(|pid| pid.parse().ok()),
            ..Named::default()
        });
    }
}

/// `NAME/config` with `lxc.rootfs.path`.
fn lxc(dir: &Path, known: &mut Vec<Named>) {
    for container in entries(dir) {
        let (Some(name), Some(text)) = (name_of(&container), text(&container.join("config"))) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        let root =
            text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "lxc.rootfs.path"));
        known.push(Named {
            runtime: "lxc".to_owned(),
            id: name.to_owned(),
            name: Some(name.to_owned()),
            image: root.map(|(_, path)| path.trim().to_owned()),
            ..Named::default()
        });
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
