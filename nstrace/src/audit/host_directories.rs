//! Directories of the host that a container should not have; pure.

use super::verdict::Severity::{self, Critical, High, Info, Low, Medium};
use crate::map::mount_table::is_below;

/// One directory.
struct Directory {
    path: &'static str,
    what: &'static str,
    /// Mounted whole, or as part of a directory above: writable, read-only.
    whole: (Severity, Severity),
    /// Something below it: writable, read-only. None: what lies below may well be the container's own.
    below: Option<(Severity, Severity)>,
}

const fn whole(path: &'static str, what: &'static str, writable: Severity, read_only: Severity) -> Directory {
    Directory { path, what, whole: (writable, read_only), below: None }
}

const fn tree(
    path: &'static str,
    what: &'static str,
    whole: (Severity, Severity),
    below: (Severity, Severity),
) -> Directory {
    Directory { path, what, whole, below: Some(below) }
}

/// The first that matches counts: worse ones come first.
const DIRECTORIES: [Directory; 16] = [
    whole("/", "the whole root file system", Critical, High),
    tree("/etc", "accounts, services and jobs of the host", (High, Medium), (Medium, Info)),
    tree("/root", "keys and start-up files of root", (High, Medium), (Medium, Low)),
    tree("/boot", "kernels and boot loader", (High, Low), (High, Low)),
    tree("/usr", "programs and libraries that root runs", (High, Info), (High, Info)),
    tree("/bin", "programs that root runs", (High, Info), (High, Info)),
    tree("/sbin", "programs that root runs", (High, Info), (High, Info)),
    tree("/lib", "libraries and kernel modules that root loads", (High, Info), (High, Info)),
    tree("/var/spool/cron", "jobs that run as other users", (High, Medium), (High, Medium)),
    whole("/var/lib/kubelet", "secrets and volumes of all pods", High, High),
    whole("/var/lib/kubelet/pods", "secrets and volumes of all pods", High, High),
    whole("/var/lib", "state of all services, containers of others among them", High, Medium),
    tree("/var/log", "logs: links made there are followed by who reads them", (Medium, Low), (Low, Info)),
    whole("/run", "sockets and state of all services", High, Medium),
    tree("/home", "files of the users", (Medium, Low), (Low, Info)),
    whole("/tmp", "temporary files and sockets of all users", Low, Low),
];

/// How bad it is to have `path` of the host, and what it is. None: not by itself.
pub fn host_directory(path: &str, read_only: bool) -> Option<(Severity, &'static str)> {
    let pick = |(writable, reading): (Severity, Severity)| if read_only { reading } else { writable };
    DIRECTORIES.iter().find_map(|directory| {
        if is_below(directory.path, path) {
            return Some((pick(directory.whole), directory.what));
        }
        let below = directory.below.filter(|_| is_below(path, directory.path))?;
        Some((pick(below), directory.what))
    })
}

/// File systems of which every mount shows the same: their paths are no paths of a disk.
pub fn is_whole_tree(fstype: &str) -> bool {
    const KERNEL: [&str; 17] = [
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "devtmpfs",
        "devpts",
        "mqueue",
        "nsfs",
        "debugfs",
        "tracefs",
        "securityfs",
        "bpf",
        "binfmt_misc",
        "efivarfs",
        "configfs",
        "pstore",
        "hugetlbfs",
    ];
    KERNEL.contains(&fstype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_above_and_below() {
        let of = |path: &str, ro| host_directory(path, ro).map(|(severity, _)| severity);
        assert_eq!((of("/", false), of("/", true)), (Some(Critical), Some(High)));
        assert_eq!(of("/etc", false), Some(High));
        assert_eq!(of("/etc/shadow", false), Some(Medium));
        assert_eq!(of("/etcetera", false), None);
        assert_eq!(of("/var", false), Some(High), "what contains /var/lib");
        assert_eq!(of("/var/lib/volumes/x", false), None, "may be its own");
        assert_eq!(of("/var/lib/kubelet/pods/1/volumes/x", false), None);
        assert_eq!(of("/var/log/pods", true), Some(Info));
        assert_eq!(of("/srv/data", false), None);
        assert_eq!(of("/run", true), Some(Medium));
        assert_eq!(of("/run/user", true), None);
    }
}
