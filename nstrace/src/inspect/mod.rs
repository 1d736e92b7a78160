//! One task, container or namespace from all sides, read from `/proc` and by visits to its namespaces. Views print it.

pub mod capability;
pub mod cgroup;
pub mod container;
pub mod enter;
pub mod idmap;
pub mod namespace;
pub mod net;
pub mod nsfs;
pub mod nsproxy;
pub mod privileges;
pub mod processes;
pub mod recorded;
pub mod seen;
pub mod side;
pub mod status;
pub mod subject;
pub mod target;
pub mod task;
pub mod task_dir;
pub mod user_tree;
pub mod users;

use std::path::PathBuf;

use crate::discover::{Proc, oci::OciState};

/// Where everything is read; another place in tests.
#[derive(Clone, Debug)]
pub struct Places {
    pub proc: Proc,
    /// Below which version 1 controllers are mounted, and cgroup2 when `proc` does not tell.
    pub cgroup: PathBuf,
    /// passwd(5) and group(5).
    pub etc: PathBuf,
    /// State and sockets of runtimes and engines.
    pub run: PathBuf,
    /// Their lasting state.
    pub var_lib: PathBuf,
    /// `DOCKER_HOST` and `CONTAINER_HOST`: where docker(1) and podman(1) find their engines, `unix:///path`.
    pub docker_host: Option<String>,
    pub container_host: Option<String>,
}

impl Default for Places {
    /// This machine.
    fn default() -> Self {
        Self {
            proc: Proc::default(),
            cgroup: "/sys/fs/cgroup".into(),
            etc: "/etc".into(),
            run: "/run".into(),
            var_lib: "/var/lib".into(),
            docker_host: std::env::var("DOCKER_HOST").ok(),
            container_host: std::env::var("CONTAINER_HOST").ok(),
        }
    }
}

impl Places {
    pub fn oci(&self) -> OciState {
        OciState::at(&self.run)
    }
}
