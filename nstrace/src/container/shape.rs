//! What one component of a cgroup path says.

use super::id::{is_bare_hex, is_buildkit, is_fargate, is_machine_name, is_oci_id, is_prefixed_hex, unescape_unit};

/// What one component is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Container {
        runtime: &'static str,
        id: String,
    },
    /// A runtime's process outside of the container it serves; so is all below it.
    Helper,
    /// `supervisor`: such a helper when it lies below a machine of systemd-nspawn.
    Supervisor,
    /// `payload` below a unit: where systemd-nspawn puts the machine, whatever the unit is called.
    Payload {
        unit: String,
    },
    Other,
}

impl Shape {
    fn container(runtime: &'static str, id: &str) -> Self {
        Self::Container { runtime, id: id.to_owned() }
    }
}

/// Unit or directory prefixes with the runtime they stand for; the longest match counts, so longer ones come first.
/// None: a helper of the runtime.
const PREFIXES: &[(&str, Option<&str>)] = &[
    ("docker-", Some("docker")),
    ("libpod-conmon-", None),
    ("libpod-payload-", Some("podman")),
    ("libpod-", Some("podman")),
    ("cri-containerd-", Some("containerd")),
    ("nerdctl-", Some("containerd")),
    ("containerd-", Some("containerd")),
    ("crio-conmon-", None),
    ("crio-", Some("cri-o")),
];

/// Runtimes whose scopes carry an id that a person chose. `containerd` is what `ctr` starts.
const NAMED_SCOPES: &[(&str, &str)] = &[("runc-", "runc"), ("crun-", "crun"), ("containerd-", "containerd")];

/// Middle of `slice:prefix:id`: what a cgroupfs driver makes of a path written for the systemd driver.
const COLON_PREFIXES: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("libpod", "podman"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("containerd", "containerd"),
    ("crio", "cri-o"),
    ("runc", "runc"),
    ("crun", "crun"),
];

/// What `name` is, below the two components `before` (outer first, `""` where there is none).
pub(super) fn shape_of(name: &str, before: [&str; 2]) -> Shape {
    let parent = before[1];
    if name == "supervisor" {
        return Shape::Supervisor;
    }
    if name == "payload"
        && (parent.ends_with(".scope") || parent.ends_with(".service"))
        && let Some(unit) = unescape_unit(parent).filter(|unit| is_machine_name(unit))
    {
        return Shape::Payload { unit: unit.into_owned() };
    }
    if name.starts_with("lxc.monitor") || parent == "lxc.monitor" {
        return Shape::Helper;
    }
    slice_colon(name)
        .or_else(|| prefixed(name))
        .or_else(|| machine(name))
        .or_else(|| lxc(name, parent))
        .or_else(|| bare(name, before))
        .unwrap_or(Shape::Other)
}

/// `kubepods-burstable-pod….slice:cri-containerd:<hex>`.
fn slice_colon(name: &str) -> Option<Shape> {
    let (slice, rest) = name.split_once(':')?;
    let (prefix, id) = rest.split_once(':')?;
    let &(_, runtime) = COLON_PREFIXES.iter().find(|(known, _)| *known == prefix)?;
    let named = matches!(runtime, "runc" | "crun");
    ((slice.is_empty() || slice.ends_with(".slice"))
        && (is_prefixed_hex(id) || (runtime == "docker" && is_buildkit(id)) || (named && is_oci_id(id))))
    .then(|| Shape::container(runtime, id))
}

/// `docker-<hex>.scope`, `crio-<hex>`, `runc-<name>.scope`.
fn prefixed(name: &str) -> Option<Shape> {
    let scope = name.strip_suffix(".scope");
    let stem = scope.unwrap_or(name);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = stem.strip_prefix(prefix)
            && (is_prefixed_hex(id) || (*prefix == "docker-" && is_buildkit(id)))
        {
            return Some(runtime.map_or(Shape::Helper, |runtime| Shape::container(runtime, id)));
        }
    }
    let scope = unescape_unit(scope?)?;
    NAMED_SCOPES.iter().find_map(|(prefix, runtime)| {
        let id = scope.strip_prefix(prefix)?;
        is_oci_id(id).then(|| Shape::container(runtime, id))
    })
}

/// systemd-nspawn and what registers with systemd-machined as a container; virtual machines are none.
fn machine(name: &str) -> Option<Shape> {
    if let Some(unit) = name.strip_suffix(".service") {
        // NixOS runs systemd-nspawn in its own template.
        let machine = unit.strip_prefix("systemd-nspawn@").or_else(|| unit.strip_prefix("container@"))?;
        let machine = unescape_unit(machine)?;
        return is_machine_name(&machine).then(|| Shape::container("nspawn", &machine));
    }
    if let Some(domain) = name.strip_suffix(".libvirt-lxc") {
        let domain = unescape_unit(domain)?;
        return is_machine_name(&domain).then(|| Shape::container("lxc", &domain));
    }
    let machine = unescape_unit(name.strip_suffix(".scope")?.strip_prefix("machine-")?)?;
    if !is_machine_name(&machine) || machine.starts_with("qemu-") {
        return None;
    }
    let runtime = if machine.starts_with("lxc-") { "lxc" } else { "nspawn" };
    Some(Shape::container(runtime, &machine))
}

/// LXC 4 and newer `lxc.payload.NAME`, LXC 3 `lxc.payload/NAME`, before `lxc/NAME`; LXD and Incus likewise.
fn lxc(name: &str, parent: &str) -> Option<Shape> {
    let container = match name.strip_prefix("lxc.payload.") {
        Some(container) => container,
        None if matches!(parent, "lxc" | "lxc.payload") => name,
        None => return None,
    };
    is_machine_name(container).then(|| Shape::container("lxc", container))
}

/// An id that stands alone: the cgroupfs drivers.
fn bare(name: &str, [grandparent, parent]: [&str; 2]) -> Option<Shape> {
    if parent == "buildkit" && is_buildkit(name) {
        return Some(Shape::container(if grandparent == "docker" { "docker" } else { "unknown" }, name));
    }
    if is_bare_hex(name) {
        return match parent {
            // A pod of podman: its containers lie below.
            "libpod_parent" => None,
            "docker" => Some(Shape::container("docker", name)),
            // containerd's namespaces of nerdctl and Kubernetes.
            "default" | "k8s.io" => Some(Shape::container("containerd", name)),
            _ => Some(Shape::container("unknown", name)),
        };
    }
    is_fargate(name).then(|| Shape::container("unknown", name))
}
