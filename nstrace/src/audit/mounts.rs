//! What of the host's file systems, sockets and devices a container has; pure.

use super::{
    facts::{Container, DeviceRules, Host},
    host_directories::{host_directory, is_whole_tree},
    privileges::{MKNOD, over_host},
    verdict::{Judgement, Severity},
};
use crate::{inspect::seen::Seen, map::mount_table::Mount, ns::NsType, view::errno};

/// The mounts of a container that has some of its own.
pub(super) fn own_mounts(container: &Container) -> Result<&[Mount], Vec<Judgement>> {
    if container.on_host(NsType::Mnt) == Some(true) {
        return Err(vec![Judgement::covered("it has the host's mounts themselves, which is a finding of its own")]);
    }
    seen(&container.mounts, "its mounts").map(Vec::as_slice)
}

fn seen<'s, T>(value: &'s Seen<T>, what: &str) -> Result<&'s T, Vec<Judgement>> {
    match value {
        Seen::Is(value) => Ok(value),
        Seen::Absent => Err(vec![Judgement::unknown(format!("{what} were not seen"))]),
        Seen::Unreadable(error) => {
            Err(vec![Judgement::unknown(format!("{what} cannot be read ({})", errno::name(error.raw_os_error())))])
        }
    }
}

fn reachable(mounts: &[Mount]) -> impl Iterator<Item = &Mount> {
    mounts.iter().filter(|mount| !mount.hidden && !mount.overmounted)
}

/// Uid 0 in it is another user of the host: what belongs to the host's root is closed to it by its mode.
fn is_no_host_root(container: &Container) -> bool {
    container.on_host(NsType::User) == Some(false) && container.host_root().is_none()
}

fn mode(mount: &Mount) -> &'static str {
    if mount.read_only { "read-only" } else { "writable" }
}

pub fn host_directories(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let mut found = Vec::new();
    for mount in reachable(mounts) {
        let Some(path) = mount.host_path.as_deref().filter(|_| mount.fstype != "proc") else { continue };
        // Its own root directory is a part of the host's file system wherever there is no overlay.
        if mount.point == "/" && path != "/" {
            continue;
        }
        let Some((severity, what)) = host_directory(path, mount.read_only) else { continue };
        let severity = if is_no_host_root(container) { severity.min(Severity::Medium) } else { severity };
        found.push(Judgement::finding(
            severity,
            format!("{path} of the host is mounted at {}, {}: {what}", mount.point, mode(mount)),
        ));
    }
    if found.is_empty() { vec![Judgement::pass("it has no sensitive directory of the host")] } else { found }
}

/// Everything else of the host's file systems: neither good nor bad by itself.
pub fn other_host_paths(container: &Container, _: &Host) -> Vec<Judgement> {
    /// Paths named in the reason.
    const MOST: usize = 5;
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let plain = |mount: &&Mount| mount.point != "/" && mount.source.is_some() && !is_whole_tree(&mount.fstype);
    let paths: Vec<&str> = reachable(mounts)
        .filter(plain)
        .filter_map(|mount| mount.host_path.as_deref())
        .filter(|path| host_directory(path, false).is_none())
        .collect();
    if paths.is_empty() {
        return vec![Judgement::pass("nothing of the host's file systems is mounted in it")];
    }
    let more = paths.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = paths.iter().take(MOST).copied().collect::<Vec<_>>().join(" ");
    vec![Judgement::finding(Severity::Info, format!("of the host's file systems it has {named}{more}"))]
}

/// The same procfs instance as the host's, in a container with a pid namespace of its own.
pub fn host_proc(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let found = reachable(mounts).find(|m| m.fstype == "proc" && m.root == "/" && m.host_path.is_some());
    vec![match (found, container.on_host(NsType::Pid)) {
        (Some(mount), Some(false)) => Judgement::finding(
            Severity::High,
            format!("the /proc at {} is the host's: its processes, their files and their namespaces", mount.point),
        ),
        (Some(mount), None) => Judgement::unknown(format!(
            "the /proc at {} is the host's, but whether its pid namespace is so too cannot be read",
            mount.point
        )),
        (Some(_), Some(true)) => Judgement::covered("its pid namespace is the host's, which is a finding of its own"),
        (None, _) => Judgement::pass("it has no /proc of another pid namespace"),
    }]
}

pub fn propagation(container: &Container, host: &Host) -> Vec<Judgement> {
    let (mounts, groups) = match (own_mounts(container), seen(&host.peer_groups, "the host's mounts")) {
        (Ok(mounts), Ok(groups)) => (mounts, groups),
        (Err(other), _) | (_, Err(other)) => return other,
    };
    let shared = |mount: &&Mount| mount.shared.is_some_and(|group| groups.contains(&group));
    let points: Vec<&str> = mounts.iter().filter(shared).map(|mount| mount.point.as_str()).collect();
    let Some(first) = points.first() else {
        return vec![Judgement::pass("what is mounted in it does not appear on the host")];
    };
    let more = if points.len() > 1 { format!(" and at {} more places", points.len() - 1) } else { String::new() };
    vec![Judgement::finding(
        Severity::Medium,
        format!("the mount at {first}{more} is in a peer group of the host: what is mounted below it appears there"),
    )]
}

pub fn read_only_root(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    vec![match mounts.iter().rfind(|mount| mount.point == "/" && !mount.overmounted) {
        Some(root) if root.read_only => Judgement::pass("its root file system is read-only"),
        Some(_) => Judgement::finding(Severity::Info, "its root file system is writable"),
        None => Judgement::unknown("its root directory is in the middle of a mount"),
    }]
}

/// By the socket that listens, wherever its file is mounted.
pub fn sockets(container: &Container, _: &Host) -> Vec<Judgement> {
    if let Err(covered) = own_mounts(container) {
        return covered;
    }
    let sockets = match seen(&container.sockets, "the listening sockets of the host") {
        Ok(sockets) => sockets,
        Err(other) => return other,
    };
    if sockets.is_empty() {
        return vec![Judgement::pass("no listening socket of the host is in its reach")];
    }
    let judge = |socket: &super::facts::ReachedSocket| {
        let Some(listener) = &socket.listener else {
            let text = format!(
                "{} (inode {}) is a listening socket, but who listens cannot be seen",
                socket.path, socket.inode
            );
            return Judgement::unknown(text);
        };
        let (severity, why) = match (socket.listener_is_admin, socket.listener_uid) {
            (true, _) => (Severity::High, "it has CAP_SYS_ADMIN over the host"),
            (false, 0) => (Severity::Medium, "it is uid 0 of the host"),
            _ => (Severity::Info, "it is not privileged"),
        };
        Judgement::finding(
            severity,
            format!(
                "{} (inode {}) is where process {} ({}) of the host listens: {why}, and does what it is asked there",
                socket.path, socket.inode, listener.pid, listener.comm
            ),
        )
    };
    sockets.iter().map(judge).collect()
}

pub fn devices(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    if let Some(mount) = reachable(mounts).find(|m| m.fstype == "devtmpfs" && m.root == "/") {
        return vec![Judgement::finding(
            Severity::High,
            format!("all devices of the host are at {}, {}", mount.point, mode(mount)),
        )];
    }
    let blocks = match seen(&container.block_devices, "its devices") {
        Ok(blocks) => blocks,
        Err(other) => return other,
    };
    vec![match blocks.as_slice() {
        [] => Judgement::pass("there is no block device in its /dev"),
        [first, more @ ..] => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let (severity, why) = if is_no_host_root(container) {
                (
                    Severity::Low,
                    "its uid 0 is not that of the host, so that the modes of the nodes decide who opens them",
                )
            } else {
                (Severity::High, "file systems of the host lie open")
            };
            Judgement::finding(severity, format!("it has the block device {first}{more}: {why}"))
        }
    }]
}

pub fn device_rules(container: &Container, _: &Host) -> Vec<Judgement> {
    if container.on_host(NsType::User) == Some(false) {
        return vec![Judgement::pass("in a user namespace of its own no device node can be made")];
    }
    let makes = over_host(container).map(|set| set & MKNOD != 0);
    let severity = if makes == Some(false) && !container.may_gain() { Severity::Info } else { Severity::High };
    let how = if makes == Some(false) {
        "none of its processes has CAP_MKNOD now"
    } else {
        "with CAP_MKNOD it makes any device node and opens it"
    };
    vec![match &container.devices {
        DeviceRules::List { rules } if rules.iter().any(|rule| rule.starts_with("a ")) => {
            Judgement::finding(severity, format!("its device cgroup allows all devices: {how}"))
        }
        DeviceRules::List { rules } => {
            Judgement::pass(format!("its device cgroup allows {} kinds of devices only", rules.len()))
        }
        DeviceRules::Programs { count: 0 } => {
            Judgement::finding(severity, format!("no device filter is attached to its cgroup or to one above: {how}"))
        }
        DeviceRules::Programs { count } => Judgement::unknown(format!(
            "{count} BPF program(s) decide on devices of its cgroup: what they allow cannot be read"
        )),
        DeviceRules::Unknown => Judgement::unknown("what its device cgroup allows cannot be read"),
    }]
}
