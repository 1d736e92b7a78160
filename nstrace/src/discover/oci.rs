//! Containers that runc, crun, podman and `ctr` put into cgroups with plain names: told by the runtime's state directory.
//!
//! `runc run r1` makes `/run/runc/r1` before it makes the cgroup `…/r1`, and writes `state.json` with the cgroup's path a
//! little later; crun writes `/run/crun/ID/config.json` and then `status`; containerd keeps a folder per task. Rootless
//! podman without systemd has such cgroups too (`/tester/<64 digits>`); the annotation `io.container.manager` names it.
//! [`OciState::canonical`] is asked once per new cgroup path and looks only for names that occur in that path.
//!
//! Directories below `/run/user/UID` belong to that user, so they are believed only for cgroups that do too: in
//! `/user.slice/user-UID.slice`, or in a directory of the hierarchy that was given to the user.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, de::DeserializeOwned};

use crate::container::{is_oci_id, with_runtime_unit};

/// Most bytes read of a state file.
const MAX_STATE: u64 = 4 << 20;

/// Annotation by which podman (`libpod`) and CRI-O (`cri-o`) say that a container is theirs.
const MANAGER: &str = "io.container.manager";

/// One directory of states.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StateDir {
    runtime: &'static str,
    path: PathBuf,
    /// containerd: `<path>/<namespace>/<id>` for the cgroup `/<namespace>/<id>`.
    by_namespace: bool,
}

/// One container that a runtime keeps state of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciContainer {
    /// `runc` or `crun`.
    pub runtime: &'static str,
    pub id: String,
    /// As the runtime wrote them: below the cgroup mount (`/sys/fs/cgroup/user.slice/r1`, one per version 1 hierarchy) or
    /// from the root of the hierarchy. Empty until it has.
    pub cgroups: Vec<String>,
}

/// The state directories of OCI runtimes.
#[derive(Clone, Debug)]
pub struct OciState {
    run: PathBuf,
    cgroups: Option<PathBuf>,
}

impl Default for OciState {
    /// `/run`.
    fn default() -> Self {
        Self::at("/run")
    }
}

impl OciState {
    /// Below another `/run`.
    pub fn at(run: impl Into<PathBuf>) -> Self {
        Self { run: run.into(), cgroups: None }
    }

    /// Also believes users about cgroups below this mount point that belong to them.
    #[must_use]
    pub fn with_cgroups(mut self, mount_point: impl Into<PathBuf>) -> Self {
        self.cgroups = Some(mount_point.into());
        self
    }

    /// Every container of runc and crun, rootful and rootless. What cannot be read is left out.
    pub fn list(&self) -> Vec<OciContainer> {
        let mut found = Vec::new();
        for dir in self.dirs().into_iter().filter(|dir| !dir.by_namespace) {
            let Ok(entries) = fs::read_dir(&dir.path) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if let Ok(id) = entry.file_name().into_string()
                    && is_oci_id(&id)
                    && !id.starts_with('.')
                    && entry.file_type().is_ok_and(|kind| kind.is_dir())
                {
                    let cgroups = State::read(&entry.path()).cgroups();
                    found.push(OciContainer { runtime: dir.runtime, id, cgroups });
                }
            }
        }
        found.sort_by(|a, b| (a.runtime, &a.id).cmp(&(b.runtime, &b.id)));
        found
    }

    /// `path` written as the runtime's systemd driver would have, when one of its components is the cgroup of a container
    /// that one of these runtimes keeps: `/user.slice/r1/x` becomes `/user.slice/runc-r1.scope/x`. None: no such container.
    ///
    /// The innermost component counts. Before the runtime has written its state file the name alone decides.
    pub fn canonical(&self, path: &str) -> Option<String> {
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            let id = &path[slash + 1..end];
            if is_plain(id)
                && let Some(runtime) = self.keeper(&path[..end], id)
            {
                return with_runtime_unit(path, end, runtime);
            }
            end = slash;
        }
        None
    }

    /// Unit prefix of what keeps a container `id` in the cgroup `path`.
    fn keeper(&self, path: &str, id: &str) -> Option<&'static str> {
        let users =
            owner_by_name(path).into_iter().chain(self.owner_of_parent(path)).flat_map(|uid| self.user_dirs(uid));
        self.root_dirs().into_iter().chain(users).find_map(|dir| {
            if dir.by_namespace {
                let namespace = path.strip_suffix(id)?.strip_prefix('/')?.strip_suffix('/')?;
                return (is_oci_id(namespace) && is_dir(&dir.path.join(namespace).join(id))).then_some(dir.runtime);
            }
            let kept = dir.path.join(id);
            if !is_dir(&kept) {
                return None;
            }
            let state = State::read(&kept);
            let cgroups = state.cgroups();
            let here = cgroups.is_empty() || cgroups.iter().any(|cgroup| cgroup.ends_with(path));
            here.then(|| state.manager().unwrap_or(dir.runtime))
        })
    }

    /// The user that the cgroup around `path` was given to.
    fn owner_of_parent(&self, path: &str) -> Option<u32> {
        let parent = path.rsplit_once('/')?.0.trim_start_matches('/');
        if parent.is_empty() || parent.split('/').any(|name| name == "..") {
            return None;
        }
        let uid = fs::symlink_metadata(self.cgroups.as_ref()?.join(parent)).ok()?.uid();
        (uid != 0).then_some(uid)
    }

    fn dirs(&self) -> Vec<StateDir> {
        let mut dirs = self.root_dirs().to_vec();
        let users = fs::read_dir(self.run.join("user")).into_iter().flatten().filter_map(Result::ok);
        for user in users {
            if let Some(uid) = user.file_name().to_str().and_then(|name| name.parse().ok()) {
                dirs.extend(self.user_dirs(uid));
            }
        }
        dirs
    }

    fn root_dirs(&self) -> [StateDir; 3] {
        let dir = |runtime, path: &str, by_namespace| StateDir { runtime, path: self.run.join(path), by_namespace };
        [
            dir("runc", "runc", false),
            dir("crun", "crun", false),
            dir("containerd", "containerd/io.containerd.runtime.v2.task", true),
        ]
    }

    /// `$XDG_RUNTIME_DIR` of a user.
    fn user_dirs(&self, uid: u32) -> [StateDir; 2] {
        ["runc", "crun"].map(|runtime| StateDir {
            runtime,
            path: self.run.join(format!("user/{uid}/{runtime}")),
            by_namespace: false,
        })
    }
}

/// The user whose slice a cgroup path lies in.
fn owner_by_name(path: &str) -> Option<u32> {
    path.strip_prefix("/user.slice/user-")?.split_once(".slice/")?.0.parse().ok()
}

/// A name that a person may have given; units of systemd are never a container of these.
fn is_plain(id: &str) -> bool {
    is_oci_id(id) && !id.starts_with('.') && ![".slice", ".scope", ".service"].iter().any(|unit| id.ends_with(unit))
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// runc's `state.json`, or crun's `status` with the `config.json` beside it: the members that matter. All empty when
/// nothing was written yet or cannot be read as such.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    /// runc: one per version 1 hierarchy, or `""` for cgroup2.
    cgroup_paths: BTreeMap<String, String>,
    /// runc.
    config: RuncConfig,
    /// crun.
    #[serde(rename = "cgroup-path")]
    cgroup_path: Option<String>,
    /// crun's `config.json`, the OCI runtime configuration.
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuncConfig {
    /// `key=value`, the annotations among them.
    labels: Vec<String>,
}

impl State {
    fn read(dir: &Path) -> Self {
        if let Some(runc) = read_json::<Self>(&dir.join("state.json")) {
            return runc;
        }
        let mut crun: Self = read_json(&dir.join("status")).unwrap_or_default();
        crun.annotations = read_json::<Self>(&dir.join("config.json")).unwrap_or_default().annotations;
        crun
    }

    fn cgroups(&self) -> Vec<String> {
        self.cgroup_paths.values().chain(&self.cgroup_path).filter(|path| !path.is_empty()).cloned().collect()
    }

    /// Unit prefix of the engine that started the runtime.
    fn manager(&self) -> Option<&'static str> {
        let labelled = || self.config.labels.iter().find_map(|label| label.strip_prefix(MANAGER)?.strip_prefix('='));
        match self.annotations.get(MANAGER).map(String::as_str).or_else(labelled)? {
            "libpod" => Some("libpod"),
            "cri-o" => Some("crio"),
            _ => None,
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    // O_NOFOLLOW and O_NONBLOCK: a user's own directory may hold anything.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    fs::File::from(file).take(MAX_STATE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
