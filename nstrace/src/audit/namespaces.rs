//! Which namespaces a container shares with the host and with others; pure.

use super::{
    facts::{Container, Host},
    verdict::{Judgement, Severity},
};
use crate::{
    inspect::{capability::names, seen::Seen},
    ns::NsType,
    view::errno,
};

/// `why`: what the sharing is good for.
fn shared(container: &Container, ns_type: NsType, severity: Severity, why: &str) -> Vec<Judgement> {
    let Some(cell) = container.cell(ns_type) else {
        return vec![Judgement::unknown(format!("its {ns_type} namespace was not looked at"))];
    };
    let judgement = match (&cell.ns, cell.host, cell.stray) {
        (Seen::Unreadable(error), ..) => Judgement::unknown(format!(
            "its {ns_type} namespace cannot be read ({})",
            errno::name(error.raw_os_error())
        )),
        (Seen::Absent, ..) => Judgement::pass(format!("this kernel has no {ns_type} namespaces")),
        (Seen::Is(ns), Some(true), _) => {
            Judgement::finding(severity, format!("{} is the initial {ns_type} namespace: {why}", ns.0))
        }
        (Seen::Is(ns), Some(false), Some(pid)) => Judgement::finding(
            severity,
            format!("{} is its own, but its process {pid} is in the initial {ns_type} namespace: {why}", ns.0),
        ),
        (Seen::Is(ns), Some(false), None) => Judgement::pass(format!("{} is not the host's", ns.0)),
        (Seen::Is(ns), None, _) => Judgement::unknown(format!("whether {} is the host's is not known", ns.0)),
    };
    vec![judgement]
}

pub fn mnt(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(container, NsType::Mnt, Severity::Critical, "it sees and changes the mounts of the host")
}

pub fn pid(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(
        container,
        NsType::Pid,
        Severity::High,
        "it sees every process, may signal those of its users, and reaches their files by /proc/PID/root",
    )
}

pub fn net(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(
        container,
        NsType::Net,
        Severity::Medium,
        "it reaches what listens on the host's loopback and abstract sockets, and may take its ports",
    )
}

pub fn ipc(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(container, NsType::Ipc, Severity::Medium, "it reaches the shared memory and message queues of the host")
}

pub fn uts(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(container, NsType::Uts, Severity::Low, "with CAP_SYS_ADMIN it renames the host")
}

pub fn cgroup(container: &Container, _: &Host) -> Vec<Judgement> {
    shared(
        container,
        NsType::Cgroup,
        Severity::Low,
        "it sees the cgroup paths of the host, and may mount hierarchies of it",
    )
}

pub fn user(container: &Container, _: &Host) -> Vec<Judgement> {
    let to_gain = container.host_root().is_some() || container.may_gain();
    let severity = if to_gain { Severity::Low } else { Severity::Info };
    let why = if to_gain {
        "capabilities and uid 0 in it are those of the host"
    } else {
        "its users are those of the host, but none of its processes is root or can become it"
    };
    shared(container, NsType::User, severity, why)
}

/// Namespaces shared with other containers.
pub fn neighbours(container: &Container, _: &Host) -> Vec<Judgement> {
    let mut found = Vec::new();
    for cell in container.namespaces.iter().filter(|cell| cell.host == Some(false)) {
        let strangers: Vec<&str> =
            cell.shared_with.iter().filter(|other| !other.same_pod).map(|other| other.container.as_str()).collect();
        let Some(first) = strangers.first() else { continue };
        let more = if strangers.len() > 1 { format!(" and {} more", strangers.len() - 1) } else { String::new() };
        let severity = match cell.r#type {
            NsType::Mnt | NsType::Pid => Severity::Medium,
            // A user's rootless containers all live in one user namespace.
            NsType::User | NsType::Time => Severity::Info,
            _ => Severity::Low,
        };
        found
            .push(Judgement::finding(severity, format!("its {} namespace is also that of {first}{more}", cell.r#type)));
    }
    let unseen = container.namespaces.iter().any(|cell| matches!(cell.ns, Seen::Unreadable(_)));
    match (found.is_empty(), unseen) {
        (true, true) => vec![Judgement::unknown("not all of its namespaces can be read")],
        (true, false) => vec![Judgement::pass("it shares no namespace with a container of another pod")],
        _ => found,
    }
}

/// Root inside is root of the host.
pub fn root(container: &Container, _: &Host) -> Vec<Judgement> {
    let map = match &container.uid_map {
        Seen::Unreadable(error) => {
            return vec![Judgement::unknown(format!(
                "its uid_map cannot be read ({})",
                errno::name(error.raw_os_error())
            ))];
        }
        Seen::Absent => return vec![Judgement::unknown("it has no uid_map any more: its init is gone")],
        Seen::Is(map) => map,
    };
    let judgement = match (container.host_root(), map.outside(0)) {
        (Some(process), _) => Judgement::finding(
            Severity::Low,
            format!("process {} ({}) runs as uid 0 of the host", process.pid, process.comm),
        ),
        (None, Some(0)) => {
            Judgement::pass("no process of it runs as uid 0 of the host, which its user namespace has a number for")
        }
        (None, Some(outside)) => Judgement::pass(format!("its uid 0 is uid {outside} of the host")),
        (None, None) => Judgement::pass("its user namespace has no uid 0"),
    };
    vec![judgement]
}

/// Names of a set for a sentence.
pub(super) fn list(capabilities: u64) -> String {
    names(capabilities).join(" ")
}
