//! Technique by technique: what the container must have been granted, and the finding that is owed.

use std::collections::BTreeMap;

/// One technique in one kind of container.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As `escape list` calls it.
    pub technique: &'static str,
    /// What `escape contain` grants or takes away, separated by commas.
    pub needs: &'static str,
    pub owes: Owes,
    /// Some kernels and machines have not what it takes.
    pub may_be_missing: bool,
    /// Also tried in privileged containers of real runtimes that share the host's pid namespace.
    pub real_runtimes: bool,
}

/// What has to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// It works, and this rule's finding names the task that did it. With the fact by which `doctor` says that it can be seen.
    Finding(&'static str, &'static str),
    /// It works, and the rule's finding names another task: a helper of the kernel, the runtime.
    FindingOfAnother(&'static str, &'static str),
    /// It works, and no finding comes though one should: why. What is missing is said in every run.
    Unseen(&'static str),
    /// The kernel refuses, and nothing is alleged.
    Refusal,
    /// The kernel refuses a call that changes namespaces: a `denied` line with the errno, and nothing is alleged.
    DeniedLine,
    /// The kernel refuses, and this rule is silent; how far it came may well be a finding.
    RefusalOf(&'static str),
    /// It works and is nobody's concern.
    Nothing,
}

impl Owes {
    /// The fact that a finding of it rests on, if one is owed.
    pub const fn fact(self) -> Option<&'static str> {
        match self {
            Self::Finding(_, fact) | Self::FindingOfAnother(_, fact) => Some(fact),
            Self::Unseen(_) | Self::DeniedLine | Self::Refusal | Self::RefusalOf(_) | Self::Nothing => None,
        }
    }
}

const fn row(technique: &'static str, needs: &'static str, owes: Owes) -> Row {
    Row { technique, needs, owes, may_be_missing: false, real_runtimes: false }
}

impl Row {
    const fn or_missing(self) -> Self {
        Self { may_be_missing: true, ..self }
    }

    const fn everywhere(self) -> Self {
        Self { real_runtimes: true, ..self }
    }
}

use Owes::{DeniedLine, Finding, FindingOfAnother, Nothing, Refusal, RefusalOf, Unseen};

const ORDINARY: &str = "NST-015: CAP_SYS_ADMIN over a user namespace of one's own is what every nested runtime uses";

/// The whole suite. User and pid namespaces are missing from the setns rows because nobody leaves them upwards: an
/// ancestor is refused (user_namespaces(7), pid_namespaces(7)).
pub const ROWS: &[Row] = &[
    row("setns-mnt", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-uts", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-ipc", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-net", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-cgroup", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-time", "hostpid,timens", Finding("NST-001", "setns-unshare")),
    row("setns-pidfd", "hostpid", Finding("NST-001", "setns-unshare")).everywhere(),
    row("setns-pidfd-denied", "hostpid,nocaps", DeniedLine),
    row("setns-neighbour", "hostpid", Finding("NST-017", "setns-unshare")).everywhere(),
    row("handle-open", "hostpid", Finding("NST-002", "opens")).everywhere(),
    row("handle-open-uring", "hostpid", Finding("NST-002", "opens")).or_missing(),
    row("handle-receive", "", Finding("NST-002", "receives")).everywhere(),
    row("handle-bind", "hostpid", Finding("NST-002", "binds")).everywhere(),
    row("root-link", "hostpid", Finding("NST-003", "opens")).everywhere(),
    row("cwd-link", "hostpid", Finding("NST-003", "opens")).everywhere(),
    row("leaked-fd", "leakedfd", Finding("NST-003", "opens")),
    row("leaked-fd-fchdir", "leakedfd", Finding("NST-003", "roots")),
    row("leaked-cwd", "leakedcwd", Finding("NST-003", "placed")),
    row("ptrace-seize", "hostpid", Finding("NST-004", "accesses")).everywhere(),
    row("proc-environ", "hostpid", Finding("NST-004", "accesses")).everywhere(),
    row("proc-root-mkdir", "hostpid", Finding("NST-004", "accesses")),
    row("proc-mem", "hostpid", Finding("NST-004", "accesses")).everywhere().or_missing(),
    row("process-vm-readv", "hostpid", Finding("NST-004", "accesses")).everywhere(),
    row("pidfd-getfd", "hostpid", Finding("NST-004", "accesses")).everywhere(),
    row("ptrace-denied", "hostpid,nocaps", Refusal),
    row("sink-core-pattern", "", Finding("NST-005", "opens")).everywhere(),
    row("sink-core-pattern-alias", "", Finding("NST-005", "opens")).everywhere(),
    row("sink-core-pattern-uring", "", Finding("NST-005", "opens")).or_missing(),
    row("sink-core-pattern-denied", "nobody", Refusal),
    row("sink-core-pattern-runtime", "sink", Finding("NST-005", "opens")),
    row("sink-modprobe-alias", "", Finding("NST-005", "opens")).or_missing(),
    row("sink-usermodehelper", "", Finding("NST-005", "opens")),
    row("sink-poweroff", "", Finding("NST-005", "opens")),
    row("sink-hotplug", "", Finding("NST-005", "opens")).or_missing(),
    row("sink-uevent-helper", "", Finding("NST-005", "opens")).or_missing(),
    row("sink-sysrq-trigger", "", Finding("NST-005", "opens")).everywhere().or_missing(),
    row("sink-binfmt-register", "", Finding("NST-005", "opens")).or_missing(),
    row("sink-release-agent", "hostcgroup", Finding("NST-005", "opens")).or_missing(),
    row("sysctl-namespaced", "", Nothing),
    row("helper-release-agent", "hostcgroup", FindingOfAnother("NST-006", "helpers")).or_missing(),
    row("helper-core-pattern", "", FindingOfAnother("NST-006", "helpers")),
    row("device-open", "", Finding("NST-007", "opens")).everywhere(),
    row("device-mount", "", Finding("NST-007", "mounts")).everywhere(),
    row("device-fsmount", "", Finding("NST-007", "mounts")).everywhere(),
    row("device-fsmount-detached", "", Finding("NST-007", "mounts")).everywhere(),
    row("mount-proc", "", Finding("NST-008", "mounts")).everywhere(),
    row("mount-sysfs", "", Finding("NST-008", "mounts")),
    row("mount-cgroup2", "", Finding("NST-008", "mounts")).everywhere(),
    row("mount-cgroup-named", "hostcgroup", Finding("NST-008", "mounts")).or_missing(),
    row("mount-debugfs", "", Finding("NST-008", "mounts")).everywhere(),
    row("mount-tracefs", "", Finding("NST-008", "mounts")),
    row("mount-securityfs", "", Finding("NST-008", "mounts")).or_missing(),
    row("mount-bpf", "", Finding("NST-008", "mounts")),
    row("file-handle", "", Finding("NST-009", "handle-opens")).everywhere(),
    row("file-handle-denied", "nocaps", Refusal),
    row("socket-path", "", Finding("NST-010", "connects")).everywhere(),
    row("socket-abstract", "hostnet", Finding("NST-010", "connects")),
    row("module-load", "", Finding("NST-011", "modules")).or_missing(),
    row("bpf-load", "", Finding("NST-011", "bpf")).everywhere(),
    row("kexec-denied", "nocaps", Refusal),
    row("forge-creds", "nocaps", Finding("NST-012", "credentials")).or_missing(),
    row("forge-switch", "nocaps", Finding("NST-012", "switches")).or_missing(),
    row("forge-nsproxy", "nocaps", Finding("NST-013", "switches")).or_missing(),
    row("forge-caps", "nocaps", Finding("NST-013", "switches")).or_missing(),
    row("executable-write", "hostpid", Finding("NST-014", "opens")),
    row("executable-write-busy", "hostpid", RefusalOf("NST-014")),
    row("userns-nf-tables", "", Finding("NST-015", "capabilities")).or_missing(),
    row("userns-packet", "", Finding("NST-015", "capabilities")).everywhere(),
    row("userns-fsopen", "", Unseen(ORDINARY)),
    row("userns-only", "", Nothing),
    row("uid-map-root", "", Finding("NST-016", "id-maps")).everywhere(),
    row("uid-map-own", "", Nothing),
    row("cgroup-procs", "hostcgroup", Finding("NST-018", "cgroups")),
    row("chroot-host", "hostroot", Finding("NST-019", "roots")),
    row("pivot-root-host", "hostroot", Finding("NST-019", "roots")),
    row("mount-propagates", "sharedmount", Finding("NST-019", "propagated")),
    row("bind-propagates", "sharedmount", Finding("NST-019", "propagated")),
    row("share-mount", "", Finding("NST-019", "propagation")),
    row("share-mount-setattr", "", Finding("NST-019", "propagation")).or_missing(),
    row("keep-namespace", "", Finding("NST-022", "pinned")),
    // In a container of its own: it is told of the first of each type.
    row("hide-tasks", "timens", Finding("NST-023", "setns-unshare")),
];

/// The rows, those with the same needs together: one container is enough for them.
pub fn by_needs() -> BTreeMap<&'static str, Vec<&'static Row>> {
    let mut groups: BTreeMap<&'static str, Vec<&'static Row>> = BTreeMap::new();
    for row in ROWS {
        groups.entry(row.needs).or_default().push(row);
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_technique_stands_here_once() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.technique).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
