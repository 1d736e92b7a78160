//! Limits of the cgroup of a task: the tightest on the way up (cgroups(7), the kernel's cgroup-v2.rst).

use std::path::Path;

use rustix::fs::CWD;
use serde::Serialize;

use super::task_dir::read_at;

/// One limit that is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// File of the limit: `memory.max`.
    pub name: &'static str,
    /// As the kernel writes it.
    pub value: String,
    /// The cgroup that sets it: the task's own or one above.
    pub at: String,
}

/// A cgroup and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CgroupView {
    /// The path that says most, from the root of its hierarchy; hostile.
    pub path: String,
    pub limits: Vec<Limit>,
    /// `memory.current` and the like of the task's own cgroup.
    pub usage: Vec<Limit>,
}

/// (version 1 controller, file, value that means no limit)
const LIMITS: &[(Option<&str>, &str)] = &[
    (None, "memory.max"),
    (None, "memory.high"),
    (None, "memory.swap.max"),
    (None, "pids.max"),
    (None, "cpu.max"),
    (None, "cpu.weight"),
    (None, "io.max"),
    (None, "cpuset.cpus"),
    (Some("memory"), "memory.limit_in_bytes"),
    (Some("pids"), "pids.max"),
    (Some("cpu"), "cpu.cfs_quota_us"),
    (Some("cpu"), "cpu.shares"),
    (Some("cpuset"), "cpuset.cpus"),
];

const USAGE: &[(Option<&str>, &str)] = &[
    (None, "memory.current"),
    (None, "pids.current"),
    (Some("memory"), "memory.usage_in_bytes"),
    (Some("pids"), "pids.current"),
];

/// `text`: content of `/proc/PID/cgroup`; `v2` where cgroup2 is mounted, `v1` below which the controllers are.
pub fn view(text: &[u8], best: &str, v2: Option<&Path>, v1: &Path) -> CgroupView {
    let mut view = CgroupView { path: best.to_owned(), ..CgroupView::default() };
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let unified = hierarchy == "0" && controllers.is_empty();
        // `..`: outside of the reader's cgroup namespace, not below the mount.
        if path.split('/').any(|name| name == "..") {
            continue;
        }
        let mine = |of: Option<&str>| match of {
            None => unified,
            Some(controller) => controllers.split(',').any(|name| name == controller),
        };
        for &(controller, file) in LIMITS.iter().filter(|(of, _)| mine(*of)) {
            let root = match controller {
                None => v2.map(Path::to_owned),
                Some(_) => Some(v1.join(controllers)),
            };
            view.limits.extend(root.and_then(|root| tightest(&root, path, file)));
        }
        for &(controller, file) in USAGE.iter().filter(|(of, _)| mine(*of)) {
            let root = match controller {
                None => v2.map(Path::to_owned),
                Some(_) => Some(v1.join(controllers)),
            };
            let value = root.and_then(|root| value_of(&root, path, file));
            view.usage.extend(value.map(|value| Limit { name: file, value, at: path.to_owned() }));
        }
    }
    view
}

/// The limit that counts: the smallest number on the way up, or the nearest setting where it is no number.
fn tightest(root: &Path, path: &str, file: &'static str) -> Option<Limit> {
    let mut best: Option<(u64, Limit)> = None;
    let mut at = path.trim_end_matches('/');
    loop {
        if let Some(value) = value_of(root, at, file)
            && !is_unlimited(file, &value)
        {
            let rank = rank(&value);
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                let shown = if at.is_empty() { "/" } else { at };
                best = Some((rank, Limit { name: file, value, at: shown.to_owned() }));
            }
            // A weight is relative to its siblings: only the task's own cgroup says something.
            if matches!(file, "cpu.weight" | "cpu.shares" | "cpuset.cpus") {
                break;
            }
        }
        match at.rfind('/') {
            Some(slash) => at = &at[..slash],
            None => break,
        }
    }
    best.map(|(_, limit)| limit)
}

fn value_of(root: &Path, path: &str, file: &str) -> Option<String> {
    let text = read_at(CWD, root.join(path.trim_start_matches('/')).join(file).to_str()?).ok()?;
    let value = String::from_utf8_lossy(&text).trim().replace('\n', "; ");
    (!value.is_empty()).then_some(value)
}

fn is_unlimited(file: &str, value: &str) -> bool {
    match file {
        "cpu.weight" => value == "100",
        "cpu.shares" => value == "1024",
        // PAGE_COUNTER_MAX in bytes, whatever the size of a page.
        "memory.limit_in_bytes" => value.parse::<u64>().is_ok_and(|bytes| bytes >= i64::MAX as u64 - (1 << 20)),
        _ => value == "max" || value.starts_with("max ") || value == "-1",
    }
}

/// For comparison within one file only. `cpu.max` is quota and period: a share of a CPU.
fn rank(value: &str) -> u64 {
    let mut words = value.split_ascii_whitespace().map(str::parse::<u64>);
    match (words.next(), words.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if period > 0 => quota.saturating_mul(1_000_000) / period,
        (Some(Ok(number)), _) => number,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_on_the_way_up_counts() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        write("a/memory.max", "1000\n");
        write("a/b/memory.max", "5000\n");
        write("a/b/pids.max", "max\n");
        write("a/b/cpu.max", "50000 100000\n");
        write("a/cpu.max", "max 100000\n");
        write("a/b/memory.current", "77\n");
        let view = view(b"0::/a/b\n", "/a/b", Some(dir.path()), Path::new("/nonexistent"));
        let shown: Vec<_> = view.limits.iter().map(|l| (l.name, l.value.as_str(), l.at.as_str())).collect();
        assert_eq!(shown, [("memory.max", "1000", "/a"), ("cpu.max", "50000 100000", "/a/b")]);
        assert_eq!(view.usage.len(), 1);
        let outside = super::view(b"0::/../x\n", "/../x", Some(dir.path()), Path::new("/nonexistent"));
        assert!(outside.limits.is_empty(), "outside of the reader's cgroup namespace");
    }
}
