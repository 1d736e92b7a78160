//! The security layers of a container side by side: what its processes have together; pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    facts::{Container, DeviceRules, Process},
    kernel_files::{self, Met},
};
use crate::{
    inspect::{
        capability::{is_full, names},
        cgroup::Limit,
        idmap::IdMap,
        seen::Seen,
    },
    ns::NsType,
};

/// Labels of a security module told at most.
const MOST_LABELS: usize = 8;

/// The layers. Of sets the union of all processes, of switches the weakest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layers {
    pub capabilities: CapabilityLayer,
    pub seccomp: SeccompLayer,
    /// Set for all of them. None: the kernel does not say.
    pub no_new_privs: Option<bool>,
    /// Labels, each once; hostile.
    pub lsm: Seen<Vec<String>>,
    pub uid_map: Seen<IdMap>,
    pub gid_map: Seen<IdMap>,
    /// Some process is uid 0 of the host.
    pub host_root: bool,
    pub limits: Seen<Vec<Limit>>,
    pub devices: DeviceRules,
    pub kernel_files: Vec<KernelFile>,
}

/// Names as in capabilities(7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CapabilityLayer {
    /// Over the initial user namespace. None: not known.
    pub over_host: Option<Vec<String>>,
    /// Every capability of this kernel over it.
    pub all_over_host: Option<bool>,
    /// In whatever user namespace its processes are.
    pub effective: Vec<String>,
    pub bounding: Vec<String>,
    pub ambient: Vec<String>,
}

/// seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeccompLayer {
    /// `off`, `strict` or `filter`: the weakest. None: the kernel does not say.
    pub mode: Option<&'static str>,
    /// The least of them.
    pub filters: Option<u32>,
}

/// One file of the whole machine that this kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelFile {
    pub path: &'static str,
    pub is: &'static str,
}

/// Of a container; `host` has the kernel's own capabilities and files.
pub fn layers(container: &Container, host: &super::facts::Host) -> Layers {
    let processes = &container.processes;
    let union = |of: fn(&Process) -> u64| processes.iter().map(of).fold(0, |all, set| all | set);
    let over_host = super::privileges::over_host(container);
    let weakest = |known: bool| (known && !processes.is_empty()).then_some(());
    let mode = weakest(processes.iter().all(|p| p.seccomp.is_some())).map(|()| {
        match processes.iter().filter_map(|p| p.seccomp).min_by_key(|&mode| if mode == 1 { u32::MAX } else { mode }) {
            Some(0) => "off",
            Some(1) => "strict",
            _ => "filter",
        }
    });
    let no_new_privs = weakest(processes.iter().all(|p| p.no_new_privs.is_some()));
    Layers {
        capabilities: CapabilityLayer {
            over_host: over_host.map(names),
            all_over_host: over_host.map(|set| is_full(set, host.all_capabilities)),
            effective: names(union(|p| p.capabilities.effective)),
            bounding: names(union(|p| p.capabilities.bounding)),
            ambient: names(union(|p| p.capabilities.ambient)),
        },
        seccomp: SeccompLayer { mode, filters: processes.iter().filter_map(|p| p.seccomp_filters).min() },
        no_new_privs: no_new_privs.map(|()| processes.iter().all(|p| p.no_new_privs == Some(true))),
        lsm: labels(processes),
        uid_map: container.uid_map.clone(),
        gid_map: container.gid_map.clone(),
        host_root: container.host_root().is_some(),
        limits: container.cgroup.clone().map(|cgroup| cgroup.limits),
        devices: container.devices.clone(),
        kernel_files: container.mounts.known().map_or_else(Vec::new, |mounts| {
            let state = |path| match kernel_files::met(mounts, path) {
                Met::Masked => "masked",
                Met::ReadOnly => "read-only",
                Met::Open => "open",
            };
            let all = kernel_files::paths().filter(|path| host.kernel_files.contains(path));
            all.map(|path| KernelFile { path, is: state(path) }).collect()
        }),
    }
}

fn labels(processes: &[Process]) -> Seen<Vec<String>> {
    let mut labels = BTreeSet::new();
    for process in processes {
        match &process.lsm {
            Seen::Is(label) if labels.len() < MOST_LABELS => {
                labels.insert(label.clone());
            }
            Seen::Is(_) | Seen::Absent => {}
            Seen::Unreadable(error) => return Seen::Unreadable(*error),
        }
    }
    if labels.is_empty() { Seen::Absent } else { Seen::Is(labels.into_iter().collect()) }
}

/// Its root inside, in words: `host root`, `uid 100000`, `none`, `?`.
pub fn root_is(container: &Container) -> String {
    match (&container.uid_map, container.on_host(NsType::User)) {
        (Seen::Is(map), _) => match map.outside(0) {
            Some(0) => "host root".to_owned(),
            Some(uid) => format!("uid {uid}"),
            None => "none".to_owned(),
        },
        (_, Some(true)) => "host root".to_owned(),
        _ => "?".to_owned(),
    }
}
