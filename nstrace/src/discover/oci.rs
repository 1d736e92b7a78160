//! Containers that runc, crun and `ctr` put into cgroups with plain names: told by the runtime's state directory.
//!
//! `runc run r1` makes `/run/runc/r1` before it makes the cgroup `…/r1`, and writes `state.json` with the cgroup's path a
//! little later; crun writes `/run/crun/ID/status`; containerd keeps a folder per task. [`OciState::canonical`] is asked
//! once per new cgroup path and looks only for names that occur in that path.
//!
//! Directories below `/run/user/UID` belong to that user, so they are believed only for cgroups that do too
//! (`/user.slice/user-UID.slice`).

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::container::{is_oci_id, with_runtime_unit};

/// Most bytes read of a state file.
const MAX_STATE: u64 = 4 << 20;

/// Below which a state directory is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StateDir {
    runtime: &'static str,
    path: PathBuf,
    /// Prefix of the cgroup paths it may speak of.
    scope: String,
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
        Self { run: run.into() }
    }

    /// Every container of runc and crun, rootful and rootless. What cannot be read is left out.
    pub fn list(&self) -> Vec<OciContainer> {
        let mut found = Vec::new();
        for dir in self.dirs().into_iter().filter(|dir| !dir.by_namespace) {
            let Ok(entries) = fs::read_dir(&dir.path) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if let Ok(id) = entry.file_name().into_string()
                    && is_oci_id(&id)
                    && entry.file_type().is_ok_and(|kind| kind.is_dir())
                {
                    let cgroups = cgroups_of(&entry.path()).unwrap_or_default();
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

    /// The runtime that keeps a container `id` in the cgroup `path`.
    fn keeper(&self, path: &str, id: &str) -> Option<&'static str> {
        let mut dirs = self.root_dirs().to_vec();
        dirs.extend(owner_of(path).map(|uid| self.user_dirs(uid)).into_iter().flatten());
        dirs.into_iter()
            .find(|dir| {
                if !path.starts_with(&dir.scope) {
                    return false;
                }
                if dir.by_namespace {
                    let namespace =
                        path.strip_suffix(id).and_then(|p| p.strip_prefix('/')).and_then(|p| p.strip_suffix('/'));
                    return namespace.is_some_and(|ns| is_oci_id(ns) && is_dir(&dir.path.join(ns).join(id)));
                }
                let state = dir.path.join(id);
                is_dir(&state)
                    && cgroups_of(&state).is_none_or(|cgroups| cgroups.iter().any(|cgroup| cgroup.ends_with(path)))
            })
            .map(|dir| dir.runtime)
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
        let dir = |runtime, path: &str, by_namespace| StateDir {
            runtime,
            path: self.run.join(path),
            scope: "/".to_owned(),
            by_namespace,
        };
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
            scope: format!("/user.slice/user-{uid}.slice/"),
            by_namespace: false,
        })
    }
}

/// The user whose slice a cgroup path lies in.
fn owner_of(path: &str) -> Option<u32> {
    path.strip_prefix("/user.slice/user-")?.split_once(".slice/")?.0.parse().ok()
}

/// A name that a person may have given; units of systemd are never a container of these.
fn is_plain(id: &str) -> bool {
    is_oci_id(id) && ![".slice", ".scope", ".service"].iter().any(|unit| id.ends_with(unit))
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// runc's `state.json` and crun's `status`, the members that matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    cgroup_paths: std::collections::BTreeMap<String, String>,
    #[serde(rename = "cgroup-path")]
    cgroup_path: Option<String>,
}

/// None: not written yet, or not readable as such.
fn cgroups_of(state: &Path) -> Option<Vec<String>> {
    let read = |name: &str| {
        // O_NOFOLLOW and O_NONBLOCK: a user's own directory may hold anything.
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::NONBLOCK
            | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(state.join(name), flags, rustix::fs::Mode::empty()).ok()?;
        let mut text = Vec::new();
        fs::File::from(file).take(MAX_STATE).read_to_end(&mut text).ok()?;
        serde_json::from_slice::<State>(&text).ok()
    };
    let state = read("state.json").or_else(|| read("status"))?;
    let cgroups: Vec<String> =
        state.cgroup_paths.into_values().chain(state.cgroup_path).filter(|path| !path.is_empty()).collect();
    (!cgroups.is_empty()).then_some(cgroups)
}
