//! Which container a cgroup path stands for. Pure: a path in, a [`Container`] out.
//!
//! Paths come from `/proc/PID/cgroup` or from the cgroup2 tree. Their names are chosen by whoever may make cgroups, so an
//! id is only believed when it has the alphabet and length that the runtime gives it.
//!
//! `runc run r1` and `crun run r1` put a container into `/user.slice/r1`: the path alone does not tell that from any other
//! cgroup. [`crate::discover::oci`] finds the state directory of such a container and [`with_runtime_unit`] then writes the
//! path the way the same runtime writes it with its systemd driver (`/user.slice/runc-r1.scope`), before it enters the
//! stream of events. So a stream holds all that is needed and this module stays a function of the path.

mod id;
mod seat;
mod shape;

#[cfg(test)]
mod tests;

pub use crate::model::Container;
pub use id::is_oci_id;
pub use seat::{ContainerFacts, Seat};

use shape::{Shape, shape_of};

/// Longest path looked at, in bytes: `PATH_MAX`. The kernel cannot have made a longer one in one step.
const MAX_PATH: usize = 4096;

/// The innermost container that a cgroup path lies in; None: no container, or nothing that can be told from a path.
///
/// Helpers that a runtime puts beside its containers (conmon, `lxc.monitor`, the `supervisor` of systemd-nspawn) are in no
/// container of their own, but may be inside an outer one.
pub fn from_cgroup_path(path: &str) -> Option<Container> {
    if path.len() > MAX_PATH {
        return None;
    }
    // The kernel appends this to the path of a cgroup that was removed under a dying task.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let mut innermost: Option<Container> = None;
    let mut around: Option<Container> = None;
    let mut pod = None;
    // The component before was a container.
    let mut at_unit = false;
    let mut before = ["", ""];
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if let Some(uid) = id::pod_uid(name) {
            pod = Some(uid);
        }
        let below_unit = std::mem::take(&mut at_unit);
        match shape_of(name, before) {
            Shape::Container { runtime, id } => {
                at_unit = true;
                around = innermost.replace(Container { runtime, id, pod: pod.clone() });
            }
            // A machine that systemd-nspawn started inside someone else's unit (`--keep-unit`) has no name but the unit's.
            Shape::Payload { unit } if !below_unit => {
                around = innermost.replace(Container { runtime: "nspawn", id: unit, pod: pod.clone() });
            }
            // The supervisor lies below the unit of the container it watches.
            Shape::Supervisor if below_unit && innermost.as_ref().is_some_and(|c| c.runtime == "nspawn") => {
                innermost = around.take();
            }
            // What a helper makes below itself is still the helper's.
            Shape::Helper => return innermost,
            Shape::Supervisor | Shape::Payload { .. } | Shape::Other => {}
        }
        before = [before[1], name];
    }
    innermost
}

/// Rewrites the component `id` that ends at byte `end` of `path` as the scope that a systemd driver would have made, by its
/// `prefix`: `runc`, `crun`, `containerd`, `libpod` (podman) or `crio`. None when there is no such component, or the result
/// would not name a container.
///
/// `with_runtime_unit("/user.slice/r1/init", 14, "runc")` is `/user.slice/runc-r1.scope/init`.
pub fn with_runtime_unit(path: &str, end: usize, prefix: &str) -> Option<String> {
    let (head, tail) = path.split_at_checked(end)?;
    if !(tail.is_empty() || tail.starts_with('/')) {
        return None;
    }
    let (parent, id) = head.rsplit_once('/')?;
    if !is_oci_id(id) {
        return None;
    }
    let unit = format!("{prefix}-{id}.scope");
    matches!(shape_of(&unit, ["", ""]), Shape::Container { .. }).then(|| format!("{parent}/{unit}{tail}"))
}
