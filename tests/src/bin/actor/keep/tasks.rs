//! Held by tasks, and by the namespaces below.

use std::{os::fd::IntoRawFd, thread};

use rustix::fs::OFlags;

use super::{
    Keeper,
    tools::{Visitor, flags, held, held_as, in_thread, keep, life, open, own, read_all, resident, stay, truth_of},
};
use crate::{
    stage::{self, Gate},
    sys, truth,
};

pub const ALL: &[Keeper] = &[
    ("process", process),
    ("process that executed a program", executed),
    ("thread", of_a_thread),
    ("thread of a dead leader", of_a_dead_leader),
    ("zombie", zombie),
    ("zombie leader with a thread elsewhere", zombie_user),
    ("pid_for_children", pid_for_children),
    ("time_for_children", time_for_children),
    ("for_children of a thread", for_children_of_a_thread),
    ("child pid namespace", child_pid),
    ("child user namespace", child_user),
    ("owned namespace", owned),
    ("dead leader of a session", dead_session_leader),
];

fn process() {
    for name in ["mnt", "uts", "ipc", "net", "cgroup", "pid"] {
        let pid = resident(flags(&[name]), || {});
        held_as(name, name, truth::ns(&format!("/proc/{pid}/ns/{name}"), true).expect("it lives"), &["task"]);
    }
}

/// The new program's `mm_struct` holds the user namespace too.
fn executed() {
    let ready = Gate::new();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let pid = match sys::clone(flags(&["user", "uts"])).expect("root may") {
        0 => {
            // `cat` says that it runs by what it passes on, and stays until its input ends.
            use std::os::unix::process::CommandExt;
            rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).expect("ours");
            ready.open();
            let error = std::process::Command::new("cat")
                .stdin(life())
                .stdout(writer)
                .stderr(std::process::Stdio::null())
                .exec();
            panic!("cat: {error}");
        }
        pid => pid,
    };
    drop(writer);
    ready.wait();
    // Nothing is written; the program runs once the kernel shows its name.
    while truth_comm(pid) != "cat" {
        thread::yield_now();
    }
    keep(reader);
    let ns = |name| truth::ns(&format!("/proc/{pid}/ns/{name}"), true).expect("it lives");
    held_as("user", "user", ns("user"), &["task", "owned"]);
    held_as("uts", "uts", ns("uts"), &["task"]);
}

fn truth_comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn of_a_thread() {
    for name in ["uts", "ipc", "net"] {
        let ns = in_thread(move || {
            sys::unshare(flags(&[name])).expect("root may");
            own(name)
        });
        held_as(name, name, ns, &["thread"]);
    }
}

fn of_a_dead_leader() {
    let ready = Gate::new();
    let pid = resident_with_dead_leader(0, &ready, || {
        sys::unshare(flags(&["uts"])).expect("root may");
        let ns = own("uts");
        held("uts", ns, &["thread"]);
    });
    wait_until_dead(pid);
}

/// A process in namespaces of `flags` whose leader exits; a thread that has run `body` stays.
fn resident_with_dead_leader(flags: u64, ready: &Gate, body: impl FnOnce() + Send + 'static) -> u32 {
    match sys::clone(flags).expect("root may") {
        0 => {
            in_thread(body);
            ready.open();
            sys::exit_thread()
        }
        pid => {
            ready.wait();
            pid
        }
    }
}

/// The state `Z` of proc_pid_stat(5).
fn wait_until_dead(pid: u32) {
    loop {
        let stat = read_all(&format!("/proc/{pid}/stat"));
        let after = stat.iter().rposition(|&b| b == b')').expect("a name in parentheses");
        if stat.get(after + 2) == Some(&b'Z') {
            return;
        }
        thread::yield_now();
    }
}

fn zombie() {
    for name in ["user", "pid"] {
        let visitor = Visitor::idle(&[name]);
        let ns = visitor.truth(name);
        visitor.leave_dead();
        held_as(name, name, ns, &["zombie"]);
    }
}

/// The leader is dead, and its threads are all in the user namespace that it was in.
fn zombie_user() {
    let ready = Gate::new();
    let pid = resident_with_dead_leader(flags(&["user", "ipc"]), &ready, || {});
    wait_until_dead(pid);
    // A dead leader's links cannot be read; its thread's can.
    let tid = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it lives")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
        .find(|&tid: &u32| tid != pid)
        .expect("its thread");
    let ns = |name| truth::ns(&format!("/proc/{pid}/task/{tid}/ns/{name}"), true).expect("it lives");
    held_as("user", "user", ns("user"), &["thread", "zombie", "owned"]);
    held_as("ipc", "ipc", ns("ipc"), &["thread"]);
}

/// Its first process is born and dead: before that, the kernel shows no link.
fn pid_for_children() {
    sys::unshare(flags(&["pid"])).expect("root may");
    let child = sys::clone(0).expect("the first process");
    if child == 0 {
        stay();
    }
    let ns = truth::ns("/proc/self/ns/pid_for_children", true).expect("it has a process");
    sys::kill(child, libc::SIGKILL);
    let _ = sys::wait(child);
    held("pid", ns, &["pending"]);
}

fn time_for_children() {
    sys::unshare(flags(&["time"])).expect("root may");
    held("time", own("time_for_children"), &["pending"]);
}

fn for_children_of_a_thread() {
    let ns = in_thread(|| {
        sys::unshare(flags(&["time"])).expect("root may");
        own("time_for_children")
    });
    held("time", ns, &["pending"]);
}

fn child_pid() {
    let (outer, fd) = Visitor::new(flags(&["pid"]), || {
        // By its own link: its number is another in the procfs of the first pid namespace.
        let own = || open("/proc/self/ns/pid", OFlags::RDONLY).into_raw_fd();
        let (inner, fd) = Visitor::new(flags(&["pid"]), own);
        let fd = inner.take(fd);
        inner.end();
        fd.into_raw_fd()
    });
    let ns = outer.truth("pid");
    let inner = outer.take(fd);
    outer.end();
    held_as("parent", "pid", ns, &["child"]);
    held_as("child", "pid", truth_of(&inner), &["fd"]);
    keep(inner);
}

fn child_user() {
    let (outer, fd) = Visitor::new(flags(&["user"]), || {
        write_maps();
        let inner = Visitor::idle(&["user"]);
        let fd = inner.open("user").into_raw_fd();
        inner.end();
        fd
    });
    let ns = outer.truth("user");
    // Opened anew: the descriptor of the outer one carries credentials of its user namespace.
    let inner = open(&format!("/proc/{}/fd/{fd}", outer.pid), OFlags::RDONLY);
    outer.end();
    held_as("parent", "user", ns, &["child"]);
    held_as("child", "user", truth_of(&inner), &["fd"]);
    keep(inner);
}

/// A user namespace without maps cannot have further ones.
pub fn write_maps() {
    std::fs::write("/proc/self/setgroups", "deny").expect("the owner may");
    std::fs::write("/proc/self/uid_map", "0 0 1").expect("a map of oneself");
    std::fs::write("/proc/self/gid_map", "0 0 1").expect("a map of oneself");
}

fn owned() {
    for name in ["mnt", "uts", "ipc", "net", "cgroup", "pid"] {
        let visitor = Visitor::idle(&["user", name]);
        let (user, fd) = (visitor.truth("user"), visitor.open(name));
        visitor.end();
        // The mounts that were copied into it belong to the initial user namespace, those of its own do not.
        held_as(name, "user", user, &["owned"]);
        held_as("the owned one", name, truth_of(&fd), &["fd"]);
        keep(fd);
    }
}

/// A session and process group whose leader is dead: its `struct pid` goes on.
fn dead_session_leader() {
    let (ready, member) = (Gate::new(), Gate::new());
    let pid = resident(flags(&["pid"]), || {
        let leader = sys::clone(0).expect("a child");
        if leader == 0 {
            rustix::process::setsid().expect("it leads nothing yet");
            if sys::clone(0).expect("a child") == 0 {
                member.open();
                stay();
            }
            ready.wait();
            sys::exit(0);
        }
        member.wait();
        ready.open();
        stage::reap(leader);
    });
    held("pid", truth::ns(&format!("/proc/{pid}/ns/pid"), true).expect("it lives"), &["task"]);
}
