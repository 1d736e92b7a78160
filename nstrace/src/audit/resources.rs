//! Limits of a container's cgroup; pure.

use super::{
    facts::{Container, Host},
    verdict::{Judgement, Severity},
};
use crate::{inspect::seen::Seen, view::errno};

/// Names of version 1 controllers, and of the same in version 2.
pub const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// `files`: any of them sets the limit. `usage`: what shows that the controller counts there.
fn limit(
    container: &Container,
    controller: &str,
    what: &str,
    files: &[&str],
    usage: &[&str],
    severity: Severity,
) -> Vec<Judgement> {
    let cgroup = match &container.cgroup {
        Seen::Is(cgroup) => cgroup,
        Seen::Absent => return vec![Judgement::unknown("it is in no cgroup that can be found")],
        Seen::Unreadable(error) => {
            return vec![Judgement::unknown(format!(
                "its cgroup cannot be read ({})",
                errno::name(error.raw_os_error())
            ))];
        }
    };
    if let Some(limit) = cgroup.limits.iter().find(|limit| files.contains(&limit.name)) {
        return vec![Judgement::pass(format!("{} of {} is {}", limit.name, limit.at, limit.value))];
    }
    let in_root = container.unlimited.contains(controller);
    // Without a counter the files are not there: the controller is off, or the hierarchy is mounted elsewhere.
    if !in_root && !cgroup.usage.iter().any(|usage_of| usage.contains(&usage_of.name)) {
        return vec![Judgement::unknown(format!(
            "whether its {what} is limited cannot be read: no such controller is seen in {}",
            cgroup.path
        ))];
    }
    let at = if in_root {
        format!("it is in the root cgroup of {controller}")
    } else {
        format!("neither {} nor a cgroup above has a limit", cgroup.path)
    };
    vec![Judgement::finding(severity, format!("its {what} is not limited: {at}"))]
}

const MEMORY: [&str; 2] = ["memory.current", "memory.usage_in_bytes"];
const ANY: [&str; 3] = ["memory.current", "memory.usage_in_bytes", "pids.current"];

pub fn memory(container: &Container, _: &Host) -> Vec<Judgement> {
    limit(
        container,
        "memory",
        "memory",
        &["memory.max", "memory.high", "memory.limit_in_bytes"],
        &MEMORY,
        Severity::Low,
    )
}

pub fn pids(container: &Container, _: &Host) -> Vec<Judgement> {
    limit(container, "pids", "number of processes", &["pids.max"], &["pids.current"], Severity::Low)
}

pub fn cpu(container: &Container, _: &Host) -> Vec<Judgement> {
    let files = ["cpu.max", "cpu.weight", "cpu.cfs_quota_us", "cpu.shares", "cpuset.cpus"];
    limit(container, "cpu", "share of the CPUs", &files, &ANY, Severity::Info)
}
