//! The table of checks: what is looked at, and which controls that serves. A condition never rests on the name of a process,
//! runtime or image: a test reads the sources for such names, and another renames everything.

use super::{
    control::{self as c, Control},
    facts::{Container, Host},
    kernel_files, mounts, namespaces, outside, privileges, resources,
    verdict::Judgement,
};

/// One check of a container.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable: rule and topic.
    pub id: &'static str,
    /// What holds when it passes.
    pub title: &'static str,
    /// What to change when it does not.
    pub remedy: &'static str,
    pub controls: &'static [Control],
    pub judge: fn(&Container, &Host) -> Vec<Judgement>,
}

const fn check(
    id: &'static str,
    title: &'static str,
    remedy: &'static str,
    controls: &'static [Control],
    judge: fn(&Container, &Host) -> Vec<Judgement>,
) -> Check {
    Check { id, title, remedy, controls, judge }
}

/// All checks of a container, in the order in which they are told.
pub const CHECKS: &[Check] = &[
    check(
        "NST-021.host-mnt",
        "It has a mount namespace of its own",
        "start it with a mount namespace of its own",
        &[c::PSS_HOST_PATH, c::DOCKER_DIRECTORIES, c::NIST_FILES],
        namespaces::mnt,
    ),
    check(
        "NST-021.host-pid",
        "It has a pid namespace of its own",
        "start it without the host's pid namespace",
        &[c::DOCKER_PID, c::K8S_PID, c::PSS_HOST_NAMESPACES, c::NIST_RUNTIME],
        namespaces::pid,
    ),
    check(
        "NST-021.host-net",
        "It has a network namespace of its own",
        "start it without the host's network namespace",
        &[c::DOCKER_NET, c::K8S_NET, c::PSS_HOST_NAMESPACES, c::NIST_NETWORK],
        namespaces::net,
    ),
    check(
        "NST-021.host-ipc",
        "It has an IPC namespace of its own",
        "start it without the host's IPC namespace",
        &[c::DOCKER_IPC, c::K8S_IPC, c::PSS_HOST_NAMESPACES, c::NIST_RUNTIME],
        namespaces::ipc,
    ),
    check(
        "NST-021.host-uts",
        "It has a UTS namespace of its own",
        "start it without the host's UTS namespace",
        &[c::DOCKER_UTS, c::NIST_RUNTIME],
        namespaces::uts,
    ),
    check(
        "NST-021.host-user",
        "It has a user namespace of its own, or nobody in it is root",
        "map its users to unused ids of the host, or run it as another user with no_new_privs",
        &[c::DOCKER_USER, c::NIST_SHARED_KERNEL],
        namespaces::user,
    ),
    check(
        "NST-021.host-cgroup",
        "It has a cgroup namespace of its own",
        "start it with a private cgroup namespace",
        &[c::NIST_RUNTIME],
        namespaces::cgroup,
    ),
    check(
        "NST-021.shared-namespace",
        "It shares no namespace with a container of another pod",
        "give each container namespaces of its own, or put those that belong together into one pod",
        &[c::NIST_RUNTIME],
        namespaces::neighbours,
    ),
    check(
        "NST-021.root",
        "No process of it is root of the host",
        "run it as another user, or map uid 0 to an unused id of the host",
        &[c::K8S_ROOT, c::PSS_NON_ROOT],
        namespaces::root,
    ),
    check(
        "NST-021.privileged",
        "It does not have every capability over the host",
        "start it unprivileged, with the capabilities that it needs",
        &[c::DOCKER_PRIVILEGED, c::K8S_PRIVILEGED, c::PSS_PRIVILEGED, c::NIST_RUNTIME],
        privileges::privileged,
    ),
    check(
        "NST-021.capabilities",
        "Its capabilities over the host are within the baseline",
        "drop what is beyond the baseline",
        &[c::DOCKER_CAPABILITIES, c::K8S_CAPABILITIES, c::PSS_CAPABILITIES, c::NIST_RUNTIME],
        privileges::capabilities,
    ),
    check(
        "NST-021.bounding-set",
        "It can gain no capability beyond the baseline",
        "drop it from the bounding set, or set no_new_privs",
        &[c::DOCKER_CAPABILITIES, c::PSS_CAPABILITIES],
        privileges::bounding,
    ),
    check(
        "NST-021.drop-all",
        "It dropped all capabilities over the host",
        "drop all capabilities but those that it needs",
        &[c::PSS_DROP_ALL],
        privileges::drop_all,
    ),
    check(
        "NST-021.seccomp",
        "System calls are filtered",
        "start it with the default seccomp profile",
        &[c::DOCKER_SECCOMP, c::PSS_SECCOMP, c::PSS_SECCOMP_RESTRICTED, c::NIST_SHARED_KERNEL],
        privileges::seccomp,
    ),
    check(
        "NST-021.no-new-privs",
        "It cannot gain privileges by executing a file",
        "set no_new_privs (allowPrivilegeEscalation: false)",
        &[c::DOCKER_NO_NEW_PRIVS, c::K8S_ESCALATION, c::PSS_ESCALATION],
        privileges::no_new_privs,
    ),
    check(
        "NST-021.lsm",
        "A security module confines it",
        "start it with a profile or label of its own",
        &[c::DOCKER_APPARMOR, c::DOCKER_SELINUX, c::PSS_APPARMOR, c::PSS_SELINUX],
        privileges::lsm,
    ),
    check(
        "NST-021.masked-paths",
        "Files with secrets of the kernel are masked",
        "leave the default masked paths in place",
        &[c::PSS_PROC_MOUNT, c::NIST_RUNTIME],
        kernel_files::masked,
    ),
    check(
        "NST-021.proc-writable",
        "Settings of the whole machine in /proc are read-only",
        "leave the default read-only paths in place",
        &[c::PSS_PROC_MOUNT, c::PSS_SYSCTLS, c::NIST_FILES],
        kernel_files::proc_writable,
    ),
    check(
        "NST-021.sys-writable",
        "Settings of the whole machine in /sys are read-only",
        "mount sysfs read-only",
        &[c::PSS_PRIVILEGED, c::NIST_FILES],
        kernel_files::sys_writable,
    ),
    check(
        "NST-021.cgroup-writable",
        "It cannot write to cgroups of the host",
        "mount cgroups read-only, or give it a cgroup namespace of its own",
        &[c::PSS_PRIVILEGED, c::NIST_RUNTIME],
        kernel_files::cgroup_writable,
    ),
    check(
        "NST-021.kernel-file-system",
        "It has no interface to the whole machine's kernel",
        "do not mount it",
        &[c::DOCKER_DIRECTORIES, c::PSS_HOST_PATH, c::NIST_SHARED_KERNEL],
        kernel_files::kernel_file_systems,
    ),
    check(
        "NST-021.host-proc",
        "It has no /proc of another pid namespace",
        "mount a /proc of its own",
        &[c::DOCKER_DIRECTORIES, c::PSS_HOST_PATH, c::NIST_FILES],
        mounts::host_proc,
    ),
    check(
        "NST-021.host-directory",
        "It has no sensitive directory of the host",
        "mount only what it needs, read-only",
        &[c::DOCKER_DIRECTORIES, c::K8S_HOST_PATH, c::PSS_HOST_PATH, c::NIST_FILES],
        mounts::host_directories,
    ),
    check(
        "NST-021.host-path",
        "It has nothing of the host's file systems",
        "prefer volumes to paths of the host",
        &[c::K8S_HOST_PATH, c::PSS_HOST_PATH],
        mounts::other_host_paths,
    ),
    check(
        "NST-021.propagation",
        "What is mounted in it does not appear on the host",
        "mount it private or slave",
        &[c::DOCKER_PROPAGATION, c::NIST_FILES],
        mounts::propagation,
    ),
    check(
        "NST-021.control-socket",
        "No socket of a privileged process of the host is in its reach",
        "do not mount the socket or the directory it is in",
        &[c::DOCKER_SOCKET, c::PSS_HOST_PATH, c::NIST_RUNTIME],
        mounts::sockets,
    ),
    check(
        "NST-021.devices",
        "It has no disk of the host",
        "give it only the devices that it needs",
        &[c::DOCKER_DEVICES, c::PSS_PRIVILEGED, c::NIST_FILES],
        mounts::devices,
    ),
    check(
        "NST-021.device-rules",
        "Its device cgroup allows what it needs only",
        "start it with the default device rules",
        &[c::DOCKER_DEVICES, c::PSS_PRIVILEGED],
        mounts::device_rules,
    ),
    check(
        "NST-021.host-namespace-descriptor",
        "None of its descriptors is a namespace of the host",
        "close it before the container starts",
        &[c::NIST_RUNTIME],
        outside::namespaces,
    ),
    check(
        "NST-021.host-directory-descriptor",
        "None of its open directories is outside of its mounts",
        "update the runtime, and close descriptors before the container starts",
        &[c::NIST_FILES],
        outside::directories,
    ),
    check(
        "NST-021.read-only-root",
        "Its root file system is read-only",
        "mount it read-only, with volumes where it writes",
        &[c::DOCKER_ROOT_READ_ONLY],
        mounts::read_only_root,
    ),
    check(
        "NST-021.memory-limit",
        "Its memory is limited",
        "set a memory limit",
        &[c::DOCKER_MEMORY, c::NIST_RUNTIME],
        resources::memory,
    ),
    check(
        "NST-021.pids-limit",
        "The number of its processes is limited",
        "set a limit of processes",
        &[c::DOCKER_PIDS_LIMIT, c::NIST_RUNTIME],
        resources::pids,
    ),
    check(
        "NST-021.cpu-limit",
        "Its share of the CPUs is set",
        "set a CPU limit or weight",
        &[c::DOCKER_CPU],
        resources::cpu,
    ),
];

/// The check of namespaces without processes, as the table of a report names it.
pub const PERSISTED_ID: &str = "NST-022.persisted-namespace";
pub const PERSISTED_TITLE: &str = "No namespace is kept without a process";
pub const PERSISTED_REMEDY: &str = "close the descriptor or unmount the file that keeps it, unless it is meant to stay";
pub const PERSISTED_CONTROLS: &[Control] = &[c::NIST_RUNTIME];
