//! Controls of published benchmarks that the checks serve. Numbers move between versions: a control is known by its title
//! and the versions in which it stands under that title.

use serde::Serialize;

/// One control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Control {
    pub framework: &'static str,
    pub version: &'static str,
    pub title: &'static str,
}

const fn docker(title: &'static str) -> Control {
    Control { framework: "CIS Docker Benchmark", version: "1.6 and 1.7", title }
}

const fn kubernetes(title: &'static str) -> Control {
    Control { framework: "CIS Kubernetes Benchmark, Pod Security Standards", version: "1.8", title }
}

const fn baseline(title: &'static str) -> Control {
    Control { framework: "Kubernetes Pod Security Standards", version: "baseline", title }
}

const fn restricted(title: &'static str) -> Control {
    Control { framework: "Kubernetes Pod Security Standards", version: "restricted", title }
}

const fn nist(title: &'static str) -> Control {
    Control { framework: "NIST SP 800-190", version: "September 2017", title }
}

pub const DOCKER_APPARMOR: Control = docker("Ensure that, if applicable, an AppArmor Profile is enabled");
pub const DOCKER_SELINUX: Control = docker("Ensure that, if applicable, SELinux security options are set");
pub const DOCKER_CAPABILITIES: Control =
    docker("Ensure that Linux kernel capabilities are restricted within containers");
pub const DOCKER_PRIVILEGED: Control = docker("Ensure that privileged containers are not used");
pub const DOCKER_DIRECTORIES: Control =
    docker("Ensure sensitive host system directories are not mounted on containers");
pub const DOCKER_NET: Control = docker("Ensure that the host's network namespace is not shared");
pub const DOCKER_MEMORY: Control = docker("Ensure that the memory usage for containers is limited");
pub const DOCKER_CPU: Control = docker("Ensure that CPU priority is set appropriately on containers");
pub const DOCKER_ROOT_READ_ONLY: Control =
    docker("Ensure that the container's root filesystem is mounted as read only");
pub const DOCKER_PID: Control = docker("Ensure that the host's process namespace is not shared");
pub const DOCKER_IPC: Control = docker("Ensure that the host's IPC namespace is not shared");
pub const DOCKER_DEVICES: Control = docker("Ensure that host devices are not directly exposed to containers");
pub const DOCKER_PROPAGATION: Control = docker("Ensure mount propagation mode is not set to shared");
pub const DOCKER_UTS: Control = docker("Ensure that the host's UTS namespace is not shared");
pub const DOCKER_SECCOMP: Control = docker("Ensure the default seccomp profile is not Disabled");
pub const DOCKER_NO_NEW_PRIVS: Control =
    docker("Ensure that the container is restricted from acquiring additional privileges");
pub const DOCKER_PIDS_LIMIT: Control = docker("Ensure that the PIDs cgroup limit is used");
pub const DOCKER_USER: Control = docker("Ensure that the host's user namespaces are not shared");
pub const DOCKER_SOCKET: Control = docker("Ensure that the Docker socket is not mounted inside any containers");

pub const K8S_PRIVILEGED: Control = kubernetes("Minimize the admission of privileged containers");
pub const K8S_PID: Control =
    kubernetes("Minimize the admission of containers wishing to share the host process ID namespace");
pub const K8S_IPC: Control = kubernetes("Minimize the admission of containers wishing to share the host IPC namespace");
pub const K8S_NET: Control =
    kubernetes("Minimize the admission of containers wishing to share the host network namespace");
pub const K8S_ESCALATION: Control = kubernetes("Minimize the admission of containers with allowPrivilegeEscalation");
pub const K8S_ROOT: Control = kubernetes("Minimize the admission of root containers");
pub const K8S_CAPABILITIES: Control = kubernetes("Minimize the admission of containers with added capabilities");
pub const K8S_HOST_PATH: Control = kubernetes("Minimize the admission of HostPath volumes");

pub const PSS_HOST_NAMESPACES: Control = baseline("Host Namespaces");
pub const PSS_PRIVILEGED: Control = baseline("Privileged Containers");
pub const PSS_CAPABILITIES: Control = baseline("Capabilities");
pub const PSS_HOST_PATH: Control = baseline("HostPath Volumes");
pub const PSS_APPARMOR: Control = baseline("AppArmor");
pub const PSS_SELINUX: Control = baseline("SELinux");
pub const PSS_PROC_MOUNT: Control = baseline("/proc Mount Type");
pub const PSS_SECCOMP: Control = baseline("Seccomp");
pub const PSS_SYSCTLS: Control = baseline("Sysctls");
pub const PSS_ESCALATION: Control = restricted("Privilege Escalation");
pub const PSS_NON_ROOT: Control = restricted("Running as Non-root");
pub const PSS_DROP_ALL: Control = restricted("Capabilities");
pub const PSS_SECCOMP_RESTRICTED: Control = restricted("Seccomp");

pub const NIST_RUNTIME: Control = nist("4.4.3 Insecure container runtime configurations");
pub const NIST_NETWORK: Control = nist("4.4.2 Unbounded network access from containers");
pub const NIST_SHARED_KERNEL: Control = nist("4.5.2 Shared kernel");
pub const NIST_FILES: Control = nist("4.5.5 Host OS file system tampering");
