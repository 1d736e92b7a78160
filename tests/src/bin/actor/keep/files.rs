//! Held by open files on nsfs, wherever a descriptor can be.

use std::os::fd::AsRawFd;

use rustix::{
    fs::OFlags,
    net::{AddressFamily, SocketType},
};

use super::{
    Keeper,
    tools::{
        bind, flags, held, held_as, in_thread, inside, keep, open, orphan, path_of, private_mounts, resident, scratch,
        truth_of,
    },
};
use crate::sys;

pub const ALL: &[Keeper] = &[
    ("fd", fd),
    ("O_PATH fd", by_path),
    ("fd opened through a mount that is gone", through_a_mount),
    ("fd with a high number", high_number),
    ("fds in a large table", large_table),
    ("fds in two processes", two_processes),
    ("fd in a private table of a thread", private_table),
    ("fd of a process with a dead leader", dead_leader),
    ("fd with an owner", with_owner),
];

fn fd() {
    for name in ["mnt", "uts", "ipc", "net", "cgroup", "user", "pid", "time"] {
        let fd = if name == "time" {
            let visitor = super::tools::Visitor::new(0, || {
                sys::unshare(flags(&["time"])).expect("root may");
                0
            });
            let fd = open(&format!("/proc/{}/ns/time_for_children", visitor.0.pid), OFlags::RDONLY);
            visitor.0.end();
            fd
        } else {
            orphan(name)
        };
        held_as(name, name, truth_of(&fd), &["fd"]);
        keep(fd);
    }
}

fn by_path() {
    for name in ["uts", "net"] {
        let fd = orphan(name);
        let path = open(&path_of(&fd), OFlags::PATH);
        held_as(name, name, truth_of(&fd), &["fd"]);
        keep(path);
    }
}

/// Its link reads as `/`.
fn through_a_mount() {
    private_mounts();
    let point = format!("{}/ns", scratch());
    let made = orphan("uts");
    bind(&path_of(&made), &point);
    drop(made);
    let fd = open(&point, OFlags::RDONLY);
    rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH).expect("it is mounted");
    held("uts", truth_of(&fd), &["fd"]);
    keep(fd);
}

fn high_number() {
    let fd = orphan("ipc");
    // SAFETY: takes three integers; the number is used by nobody.
    let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) };
    assert!(high >= 900, "below the soft limit of 1024");
    held("ipc", truth_of(&fd), &["fd"]);
}

/// More than one visit of an iterator can tell of, and beyond the numbers that it looks at.
fn large_table() {
    let limit = rustix::process::Rlimit { current: Some(8192), maximum: Some(8192) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("root may");
    let (sockets, net) = inside("net", || {
        let socket = || rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).expect("a socket");
        (0..700).map(|_| socket()).collect::<Vec<_>>()
    });
    held_as("sockets", "net", net, &["socket"]);
    keep(sockets);
    let fd = orphan("uts");
    // SAFETY: takes three integers; the number is used by nobody.
    let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 6000) };
    assert!(high >= 6000, "below the limit");
    held_as("a high number", "uts", truth_of(&fd), &["fd"]);
}

fn two_processes() {
    let fd = orphan("cgroup");
    resident(0, || {});
    held("cgroup", truth_of(&fd), &["fd"]);
    keep(fd);
}

fn private_table() {
    let ns = in_thread(|| {
        // CLONE_FILES
        sys::unshare(libc::CLONE_FILES as u64).expect("anybody may");
        let fd = orphan("uts");
        let ns = truth_of(&fd);
        keep(fd);
        ns
    });
    held("uts", ns, &["fd"]);
}

fn dead_leader() {
    let ready = crate::stage::Gate::new();
    if sys::fork().expect("fork") == 0 {
        in_thread(|| {
            let fd = orphan("net");
            held("net", truth_of(&fd), &["fd"]);
            keep(fd);
        });
        ready.open();
        sys::exit_thread();
    }
    ready.wait();
}

/// `F_SETOWN` keeps the `struct pid` of a process, and with it its pid namespace.
fn with_owner() {
    let visitor = super::tools::Visitor::idle(&["pid"]);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let pid = i32::try_from(visitor.pid).expect("a pid");
    // SAFETY: takes three integers.
    assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETOWN, pid) }, 0, "anybody may");
    let ns = visitor.truth("pid");
    visitor.end();
    held("pid", ns, &["other"]);
    keep((reader, writer));
}
