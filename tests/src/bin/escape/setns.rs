//! Into a namespace of the host: setns(2) by nsfs file and by pidfd.

use std::fs::File;
use std::os::fd::AsRawFd;

use nstrace_tests::{
    escape::act::Given,
    kinds::{kind, kinds_of},
    sys,
};

use crate::attempt::{Attempt, Done, Technique, target_of};

pub const ALL: &[Technique] = &[
    ("setns-mnt", |given| by_file(given, "mnt")),
    ("setns-uts", |given| by_file(given, "uts")),
    ("setns-ipc", |given| by_file(given, "ipc")),
    ("setns-net", |given| by_file(given, "net")),
    ("setns-cgroup", |given| by_file(given, "cgroup")),
    ("setns-time", |given| by_file(given, "time")),
    ("setns-pidfd", by_pidfd),
    ("setns-pidfd-denied", by_pidfd),
    ("setns-neighbour", neighbour),
];

fn by_file(given: &Given, name: &str) -> Attempt {
    enter(given.host_pid, name)
}

/// A namespace of another container.
fn neighbour(given: &Given) -> Attempt {
    enter(given.neighbour_pid, "net")
}

fn enter(pid: u32, name: &str) -> Attempt {
    let path = format!("/proc/{pid}/ns/{name}");
    let target = target_of(&path);
    let file = File::open(&path)?;
    sys::setns(file.as_raw_fd(), kind(name).flag)?;
    Ok(Done { target, detail: path })
}

/// No nsfs file is opened at all. All at once, as `nsenter --all` does it.
fn by_pidfd(given: &Given) -> Attempt {
    let flags: u64 = ["mnt", "uts", "ipc", "net", "cgroup"].iter().map(|name| kind(name).flag).sum();
    let target = target_of(&format!("/proc/{}/ns/mnt", given.host_pid));
    let pidfd = sys::pidfd_open(given.host_pid)?;
    sys::setns(pidfd, flags)?;
    // Only readable now, if the container could not look into the host's tasks.
    let target = target.or_else(|| target_of("/proc/self/ns/mnt"));
    let names: Vec<&str> = kinds_of(flags).map(|kind| kind.name).collect();
    Ok(Done { target, detail: names.join(",") })
}
