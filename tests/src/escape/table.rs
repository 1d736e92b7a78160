//! Technique by technique: what the container must have been granted, and the finding that is owed.

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
    /// It works, and this rule's finding names the task that did it.
    Finding(&'static str),
    /// It works, and the rule's finding names another task: a helper of the kernel, the runtime.
    FindingOfAnother(&'static str),
    /// The kernel refuses, and nothing is alleged.
    Refusal,
    /// It works and is nobody's concern.
    Nothing,
}

impl Owes {
    /// The rule, if one has to speak.
    pub const fn rule(self) -> Option<&'static str> {
        match self {
            Self::Finding(rule) | Self::FindingOfAnother(rule) => Some(rule),
            Self::Refusal | Self::Nothing => None,
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

use Owes::{Finding, FindingOfAnother, Nothing, Refusal};

/// The whole suite. User and pid namespaces are missing from the setns rows because nobody leaves them upwards: an
/// ancestor is refused (user_namespaces(7), pid_namespaces(7)).
pub const ROWS: &[Row] = &[
    row("setns-mnt", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-uts", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-ipc", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-net", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-cgroup", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-time", "hostpid,timens", Finding("NST-001")),
    row("setns-pidfd", "hostpid", Finding("NST-001")).everywhere(),
    row("setns-pidfd-denied", "hostpid,nocaps", Refusal),
    row("setns-neighbour", "hostpid", Finding("NST-017")).everywhere(),
    row("handle-open", "hostpid", Finding("NST-002")).everywhere(),
    row("handle-open-uring", "hostpid", Finding("NST-002")).or_missing(),
    row("handle-receive", "", Finding("NST-002")).everywhere(),
    row("handle-bind", "hostpid", Finding("NST-002")).everywhere(),
    row("root-link", "hostpid", Finding("NST-003")).everywhere(),
    row("cwd-link", "hostpid", Finding("NST-003")).everywhere(),
    row("leaked-fd", "leakedfd", Finding("NST-003")),
    row("leaked-fd-fchdir", "leakedfd", Finding("NST-003")),
    row("leaked-cwd", "leakedcwd", Finding("NST-003")),
    row("ptrace-seize", "hostpid", Finding("NST-004")).everywhere(),
    row("proc-mem", "hostpid", Finding("NST-004")).everywhere().or_missing(),
    row("process-vm-readv", "hostpid", Finding("NST-004")).everywhere(),
    row("pidfd-getfd", "hostpid", Finding("NST-004")).everywhere(),
    row("ptrace-denied", "hostpid,nocaps", Refusal),
    row("sink-core-pattern", "", Finding("NST-005")).everywhere(),
    row("sink-core-pattern-alias", "", Finding("NST-005")).everywhere(),
    row("sink-core-pattern-uring", "", Finding("NST-005")).or_missing(),
    row("sink-core-pattern-denied", "nobody", Refusal),
    row("sink-core-pattern-runtime", "sink", Finding("NST-005")),
    row("sink-modprobe-alias", "", Finding("NST-005")).or_missing(),
    row("sink-usermodehelper", "", Finding("NST-005")),
    row("sink-poweroff", "", Finding("NST-005")),
    row("sink-hotplug", "", Finding("NST-005")).or_missing(),
    row("sink-uevent-helper", "", Finding("NST-005")).or_missing(),
    row("sink-sysrq-trigger", "", Finding("NST-005")).everywhere().or_missing(),
    row("sink-binfmt-register", "", Finding("NST-005")).or_missing(),
    row("sink-release-agent", "hostcgroup", Finding("NST-005")).or_missing(),
    row("sysctl-namespaced", "", Nothing),
    row("helper-release-agent", "hostcgroup", FindingOfAnother("NST-006")).or_missing(),
    row("helper-core-pattern", "", FindingOfAnother("NST-006")),
    row("device-open", "", Finding("NST-007")).everywhere(),
    row("device-mount", "", Finding("NST-007")).everywhere(),
    row("device-fsmount", "", Finding("NST-007")).everywhere(),
    row("device-fsmount-detached", "", Finding("NST-007")).everywhere(),
    row("mount-proc", "", Finding("NST-008")).everywhere(),
    row("mount-sysfs", "", Finding("NST-008")),
    row("mount-cgroup2", "", Finding("NST-008")).everywhere(),
    row("mount-cgroup-named", "hostcgroup", Finding("NST-008")).or_missing(),
    row("mount-debugfs", "", Finding("NST-008")).everywhere(),
    row("mount-tracefs", "", Finding("NST-008")),
    row("mount-securityfs", "", Finding("NST-008")).or_missing(),
    row("mount-bpf", "", Finding("NST-008")),
    row("file-handle", "", Finding("NST-009")).everywhere(),
    row("file-handle-denied", "nocaps", Refusal),
    row("socket-path", "", Finding("NST-010")).everywhere(),
    row("socket-abstract", "hostnet", Finding("NST-010")),
    row("module-load", "", Finding("NST-011")).or_missing(),
    row("bpf-load", "", Finding("NST-011")).everywhere(),
    row("kexec-denied", "nocaps", Refusal),
    row("executable-write", "hostpid", Finding("NST-014")),
    row("executable-write-busy", "hostpid", Refusal),
    row("userns-nf-tables", "", Finding("NST-015")).or_missing(),
    row("userns-packet", "", Finding("NST-015")).everywhere(),
    row("userns-fsopen", "", Finding("NST-015")),
    row("userns-only", "", Nothing),
    row("uid-map-root", "", Finding("NST-016")).everywhere(),
    row("uid-map-own", "", Nothing),
    row("cgroup-procs", "hostcgroup", Finding("NST-018")),
    row("chroot-host", "hostroot", Finding("NST-019")),
    row("pivot-root-host", "hostroot", Finding("NST-019")),
    row("mount-propagates", "sharedmount", Finding("NST-019")),
];

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
