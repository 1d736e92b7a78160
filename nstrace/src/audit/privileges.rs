//! Capabilities, seccomp, no_new_privs and the security module's label; pure.
//!
//! A capability counts over the host only in the initial user namespace (`ns_capable`, user_namespaces(7)): what a process
//! has in a user namespace of its own is no danger by itself.

use super::{
    facts::{Container, Host, Process},
    namespaces::list,
    verdict::{Judgement, Severity},
};
use crate::{
    inspect::{capability::is_full, seen::Seen},
    view::errno,
};

const fn bits(numbers: &[u8]) -> u64 {
    let mut set = 0;
    let mut at = 0;
    while at < numbers.len() {
        set |= 1 << numbers[at];
        at += 1;
    }
    set
}

/// The list of the baseline policy: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT
/// MKNOD AUDIT_WRITE SETFCAP.
pub const BASELINE: u64 = bits(&[0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 27, 29, 31]);

/// One step from the host: DAC_READ_SEARCH (open_by_handle_at(2)) SYS_MODULE SYS_RAWIO SYS_PTRACE SYS_ADMIN SYS_BOOT
/// (kexec_load(2)) MAC_OVERRIDE MAC_ADMIN PERFMON BPF.
pub const DECISIVE: u64 = bits(&[2, 16, 17, 19, 21, 22, 32, 33, 38, 39]);

/// Of a raw socket: other containers on the same link can be impersonated. Most engines give it by default.
const NET_RAW: u64 = bits(&[13]);

/// `CAP_SYS_ADMIN`.
pub const SYS_ADMIN: u64 = bits(&[21]);

/// `CAP_MKNOD`.
pub const MKNOD: u64 = bits(&[27]);

/// What all processes together have over the host. None: of one it is not known.
pub fn over_host(container: &Container) -> Option<u64> {
    container.processes.iter().try_fold(0, |all, process| Some(all | process.over_host()?))
}

fn unreadable() -> Vec<Judgement> {
    vec![Judgement::unknown(
        "the user namespace of a process cannot be read: what its capabilities count over is not known",
    )]
}

fn who(process: &Process) -> String {
    format!("process {} ({})", process.pid, process.comm)
}

pub fn privileged(container: &Container, host: &Host) -> Vec<Judgement> {
    let full =
        container.processes.iter().find(|p| p.over_host().is_some_and(|set| is_full(set, host.all_capabilities)));
    match (full, over_host(container)) {
        (Some(process), _) => vec![Judgement::finding(
            Severity::Critical,
            format!("{} has every capability over the initial user namespace: it is root of the host", who(process)),
        )],
        (None, None) => unreadable(),
        (None, Some(_)) => vec![Judgement::pass("no process of it has every capability over the host")],
    }
}

pub fn capabilities(container: &Container, host: &Host) -> Vec<Judgement> {
    if container.processes.iter().any(|p| p.over_host().is_some_and(|set| is_full(set, host.all_capabilities))) {
        return vec![Judgement::covered("it has all of them, which is a finding of its own")];
    }
    let beyond = |p: &Process| p.over_host().unwrap_or(0) & !BASELINE;
    let worst = container.processes.iter().filter(|p| beyond(p) != 0).max_by_key(|p| rank(beyond(p)));
    match (worst, over_host(container)) {
        (Some(process), _) => {
            let set = beyond(process);
            let (severity, why) = match rank(set) {
                3 => (Severity::High, "one of them is enough to leave a container"),
                2 => (Severity::Medium, "more than the baseline allows"),
                _ => (Severity::Low, "raw sockets imitate others on the same link"),
            };
            vec![Judgement::finding(severity, format!("{} has {} over the host: {why}", who(process), list(set)))]
        }
        (None, None) => unreadable(),
        (None, Some(0)) => vec![Judgement::pass("it has no capability over the host")],
        (None, Some(set)) => {
            vec![Judgement::pass(format!("over the host it has {}: what the baseline allows", list(set)))]
        }
    }
}

const fn rank(beyond: u64) -> u32 {
    if beyond & DECISIVE != 0 {
        3
    } else if beyond & !NET_RAW != 0 {
        2
    } else if beyond != 0 {
        1
    } else {
        0
    }
}

/// What it could gain: the bounding set, unless no_new_privs bars the way.
pub fn bounding(container: &Container, _: &Host) -> Vec<Judgement> {
    let Some(has) = over_host(container) else { return unreadable() };
    let could = |p: &Process| {
        let open = p.over_host.known() == Some(&true) && p.no_new_privs != Some(true);
        if open { p.capabilities.bounding & !has & !BASELINE & !NET_RAW } else { 0 }
    };
    match container.processes.iter().find(|p| could(p) != 0) {
        Some(process) => vec![Judgement::finding(
            Severity::Low,
            format!(
                "{} has {} in its bounding set without no_new_privs: a set-user-ID file gives them",
                who(process),
                list(could(process))
            ),
        )],
        None => vec![Judgement::pass("nothing beyond the baseline can be gained by executing a file")],
    }
}

/// The restricted policy: drop all, add at most NET_BIND_SERVICE.
pub fn drop_all(container: &Container, host: &Host) -> Vec<Judgement> {
    const NET_BIND_SERVICE: u64 = bits(&[10]);
    match over_host(container) {
        None => unreadable(),
        Some(set) if is_full(set, host.all_capabilities) => {
            vec![Judgement::covered("it has all of them, which is a finding of its own")]
        }
        Some(set) if set & !NET_BIND_SERVICE == 0 => vec![Judgement::pass("it dropped all capabilities over the host")],
        Some(set) => vec![Judgement::finding(
            Severity::Info,
            format!(
                "it keeps {} over the host: the restricted policy wants all dropped",
                list(set & !NET_BIND_SERVICE)
            ),
        )],
    }
}

pub fn seccomp(container: &Container, _: &Host) -> Vec<Judgement> {
    if let Some(process) = container.processes.iter().find(|p| p.seccomp == Some(0)) {
        return vec![Judgement::finding(
            Severity::Medium,
            format!("no filter stands between {} and the system calls of the kernel", who(process)),
        )];
    }
    if container.processes.iter().any(|p| p.seccomp.is_none()) {
        return vec![Judgement::unknown("the kernel does not tell its seccomp mode")];
    }
    let filters = container.processes.iter().filter_map(|p| p.seccomp_filters).min();
    let least = filters.map(|n| format!(", at least {n} filter(s) each")).unwrap_or_default();
    vec![Judgement::pass(format!("all of its processes are filtered{least}"))]
}

pub fn no_new_privs(container: &Container, _: &Host) -> Vec<Judgement> {
    if container.processes.iter().any(|p| p.no_new_privs.is_none()) {
        return vec![Judgement::unknown("the kernel does not tell its no_new_privs")];
    }
    match container.processes.iter().find(|p| p.no_new_privs == Some(false)) {
        None => vec![Judgement::pass("none of its processes can gain privileges by executing a file")],
        Some(process) if container.processes.iter().all(|p| p.over_host.known() == Some(&false)) => {
            vec![Judgement::finding(
                Severity::Info,
                format!("{} may gain privileges by executing a file, in its own user namespace only", who(process)),
            )]
        }
        Some(process) => vec![Judgement::finding(
            Severity::Low,
            format!("{} may gain privileges by executing a set-user-ID file", who(process)),
        )],
    }
}

/// AppArmor's word for no profile, and the mode in which a profile only logs (apparmor(7)).
const NO_PROFILE: &str = "unconfined";
const ONLY_LOGS: &str = " (complain)";

pub fn lsm(container: &Container, host: &Host) -> Vec<Judgement> {
    let mut last = None;
    for process in &container.processes {
        let label = match &process.lsm {
            Seen::Is(label) => label,
            Seen::Absent => {
                return vec![Judgement::finding(Severity::Info, "no security module labels processes on this kernel")];
            }
            Seen::Unreadable(error) => {
                return vec![Judgement::unknown(format!(
                    "the label of {} cannot be read ({})",
                    who(process),
                    errno::name(error.raw_os_error())
                ))];
            }
        };
        let why = if label == NO_PROFILE {
            "no profile confines it"
        } else if label.ends_with(ONLY_LOGS) {
            "its profile logs and forbids nothing"
        } else if host.lsm.known() == Some(label) {
            "process 1 of the host has the same"
        } else {
            last = Some(label);
            continue;
        };
        return vec![Judgement::finding(Severity::Low, format!("the label of {} is {label}: {why}", who(process)))];
    }
    match last {
        Some(label) => vec![Judgement::pass(format!("its processes are labelled {label}"))],
        None => vec![Judgement::unknown("it has no process to read a label of")],
    }
}
