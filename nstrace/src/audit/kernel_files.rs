//! Files of `/proc` and `/sys` that are the whole machine's: over-mounted, read-only or open, by the container's mount
//! table; pure.

use super::{
    facts::{Container, Host},
    mounts::own_mounts,
    privileges::{SYS_ADMIN, over_host},
    verdict::{Judgement, Severity},
};
use crate::{
    map::mount_table::{Mount, is_below},
    ns::NsType,
};

/// What must not be read: memory, keys and timers of the whole machine.
pub const READABLE: [&str; 10] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What must not be written: settings of the whole machine, some of which name a program that the kernel then runs.
pub const WRITABLE: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Both: what the collector has to look for on the host.
pub fn paths() -> impl Iterator<Item = &'static str> {
    READABLE.into_iter().chain(WRITABLE)
}

/// The mount that a path walk ends in: of those that are not hidden the deepest, and of several on one place the last.
fn covering<'m>(mounts: &'m [Mount], path: &str) -> Option<&'m Mount> {
    let reached = mounts.iter().filter(|mount| !mount.hidden && is_below(path, &mount.point));
    reached.max_by_key(|mount| mount.point.trim_end_matches('/').len())
}

/// How a container meets one of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Something else is mounted there, or its file system is not mounted at all.
    Masked,
    ReadOnly,
    Open,
}

/// Of the table of a container.
pub fn met(mounts: &[Mount], path: &str) -> Met {
    let fstype = if path.starts_with("/proc") { "proc" } else { "sysfs" };
    match covering(mounts, path) {
        Some(mount) if mount.fstype == fstype => {
            if mount.read_only {
                Met::ReadOnly
            } else {
                Met::Open
            }
        }
        _ => Met::Masked,
    }
}

/// These files belong to uid 0 of the initial user namespace: how bad it is depends on who in the container is that.
fn by_root(container: &Container) -> (Severity, &'static str) {
    if container.host_root().is_some() {
        (Severity::High, "and a process of it is uid 0 of the host")
    } else if container.on_host(NsType::User) == Some(false) {
        (Severity::Info, "but its uid 0 is not that of the host, whose files these are")
    } else if container.may_gain() {
        (Severity::Medium, "and a set-user-ID file can make it uid 0 of the host")
    } else {
        (Severity::Low, "but no process of it is uid 0 of the host or can become it")
    }
}

pub fn masked(container: &Container, host: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let open = |path: &&'static str| host.kernel_files.contains(path) && met(mounts, path) != Met::Masked;
    let open: Vec<&str> = READABLE.into_iter().filter(|path| open(path)).collect();
    if open.is_empty() {
        return vec![Judgement::pass("nothing of the kernel's own files lies open")];
    }
    let (severity, why) = match by_root(container) {
        (Severity::High, why) => (Severity::Medium, why),
        (Severity::Medium, why) => (Severity::Low, why),
        (_, why) => (Severity::Info, why),
    };
    vec![Judgement::finding(severity, format!("nothing is mounted over {}, {why}", open.join(" ")))]
}

pub fn proc_writable(container: &Container, host: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let open = |path: &&'static str| host.kernel_files.contains(path) && met(mounts, path) == Met::Open;
    let open: Vec<&str> = WRITABLE.into_iter().filter(|path| open(path)).collect();
    if open.is_empty() {
        return vec![Judgement::pass("/proc/sys and its like are read-only or over-mounted")];
    }
    let (severity, why) = by_root(container);
    vec![Judgement::finding(severity, format!("{} can be written to, {why}", open.join(" ")))]
}

pub fn sys_writable(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let open: Vec<&str> = mounts
        .iter()
        .filter(|mount| mount.fstype == "sysfs" && !mount.hidden && !mount.overmounted && !mount.read_only)
        .map(|mount| mount.point.as_str())
        .collect();
    if open.is_empty() {
        return vec![Judgement::pass("no sysfs is mounted writable")];
    }
    let (severity, why) = by_root(container);
    vec![Judgement::finding(severity, format!("sysfs can be written to at {}, {why}", open.join(" ")))]
}

pub fn cgroup_writable(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let open = |fstype: &str| {
        mounts
            .iter()
            .find(|m| m.fstype == fstype && !m.hidden && !m.overmounted && !m.read_only)
            .map(|m| m.point.as_str())
    };
    let (root, why) = by_root(container);
    let mut found = Vec::new();
    if let Some(point) = open("cgroup") {
        // release_agent takes CAP_SYS_ADMIN over the initial user namespace to write (cgroup_release_agent_write).
        let severity = match over_host(container) {
            Some(set) if set & SYS_ADMIN != 0 => Severity::High,
            _ => root.min(Severity::Medium),
        };
        let what = "a version 1 hierarchy names a program that the host runs (release_agent)";
        found.push(Judgement::finding(severity, format!("cgroups can be written to at {point}, {why}: {what}")));
    }
    if let Some(point) = open("cgroup2") {
        found.push(match container.on_host(NsType::Cgroup) {
            Some(false) => Judgement::finding(
                Severity::Info,
                format!("the cgroups below its own can be written to at {point}: it may divide its limits"),
            ),
            Some(true) => Judgement::finding(
                root.min(Severity::Medium),
                format!("the host's cgroup tree can be written to at {point}, {why}: it may leave its own limits"),
            ),
            None => Judgement::unknown(format!(
                "cgroups can be written to at {point}, but which of them cannot be told: its cgroup namespace cannot be read"
            )),
        });
    }
    if found.is_empty() { vec![Judgement::pass("no cgroup hierarchy is mounted writable")] } else { found }
}

/// Kernel file systems that are not cut to namespaces: (type, what it is, severity read-only, writable).
const KERNEL_FILE_SYSTEMS: [(&str, &str, Severity, Severity); 8] = [
    ("debugfs", "the kernel's debugging interface", Severity::Medium, Severity::High),
    ("tracefs", "the kernel's tracing interface", Severity::Medium, Severity::High),
    ("securityfs", "the interface of the security modules", Severity::Low, Severity::Medium),
    ("bpf", "pinned BPF objects", Severity::Low, Severity::Medium),
    ("binfmt_misc", "handlers of executable formats, for all of the machine", Severity::Info, Severity::High),
    ("efivarfs", "variables of the firmware", Severity::Info, Severity::Medium),
    ("configfs", "configuration of kernel subsystems", Severity::Info, Severity::Medium),
    ("pstore", "remains of crashed kernels", Severity::Low, Severity::Low),
];

pub fn kernel_file_systems(container: &Container, _: &Host) -> Vec<Judgement> {
    let mounts = match own_mounts(container) {
        Ok(mounts) => mounts,
        Err(other) => return other,
    };
    let rootless = container.on_host(NsType::User) == Some(false) && container.host_root().is_none();
    let mut found = Vec::new();
    for mount in mounts.iter().filter(|mount| !mount.hidden && !mount.overmounted) {
        let Some((_, what, read, write)) = KERNEL_FILE_SYSTEMS.iter().find(|(name, ..)| *name == mount.fstype) else {
            continue;
        };
        let severity = if mount.read_only { *read } else { *write };
        let severity = if rootless { severity.min(Severity::Info) } else { severity };
        let mode = if mount.read_only { "read-only" } else { "writable" };
        found.push(Judgement::finding(severity, format!("{} at {}, {mode}: {what}", mount.fstype, mount.point)));
    }
    if found.is_empty() {
        vec![Judgement::pass("no file system of the whole machine's kernel is mounted")]
    } else {
        found
    }
}
