//! Attempts that fail, and attempts that fail half-way: namespaces that the kernel made and took back.

use nstrace_tests::kinds::{KINDS, Kind, kind};

use super::Scenario;
use crate::{
    stage::{self, Gate, How},
    sys, truth,
};

/// nobody.
const NOBODY: u32 = 65534;

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for kind in KINDS.into_iter().filter(|k| k.name != "user") {
        all.push(Scenario::new("denied", format!("eperm_{}", kind.name), move || eperm(kind)));
    }
    all.push(Scenario::new("denied", "eperm_many", eperm_many));
    all.push(Scenario::new("denied", "einval", einval));
    all.push(Scenario::new("denied", "einval_user_in_threads", einval_user_in_threads));
    all.push(Scenario::new("denied", "ebadf", ebadf));
    for kind in KINDS {
        all.push(Scenario::new("denied", format!("enospc_{}", kind.name), move || enospc(kind)));
    }
    all.push(Scenario::new("denied", "half_way_unshare", half_way_unshare));
    all.push(Scenario::new("denied", "half_way_user", half_way_user));
    all.push(Scenario::new("denied", "set_tid_taken", set_tid_taken));
    all.push(Scenario::new("denied", "fork_into_dead_pid_ns", fork_into_dead_pid_ns));
    all
}

fn eperm(kind: Kind) {
    let (go, ready) = (Gate::new(), Gate::new());
    let target = kind.name != "time";
    let holder = target.then(|| {
        stage::spawn(How::Clone, kind.flag, || {
            ready.send_pid(truth::task().pid);
            go.wait();
        })
        .expect("root may")
    });
    let visitor = stage::spawn(How::Fork, 0, || {
        // Opened while it still may; a right to open is no right to enter.
        let fd = target.then(|| {
            let pid = ready.read_pid();
            stage::pin(&format!("/proc/{pid}/ns/{}", kind.name), kind.name, true)
        });
        truth::set_uid(NOBODY);
        stage::unshare(kind.flag).expect_err("nobody may not");
        if target {
            stage::spawn(How::Clone, kind.flag, || {}).expect_err("nobody may not");
        }
        stage::spawn(How::Clone3, kind.flag, || {}).expect_err("nobody may not");
        if let Some(fd) = fd {
            stage::setns(fd, kind.flag).expect_err("nobody may not");
            stage::setns(fd, 0).expect_err("nobody may not");
            stage::unpin(fd, kind.name, true);
        }
    })
    .expect("a child");
    stage::reap(visitor);
    if let Some(holder) = holder {
        go.open();
        stage::reap(holder);
    }
}

fn eperm_many() {
    truth::set_uid(NOBODY);
    stage::unshare(kind("uts").flag | kind("ipc").flag | kind("net").flag).expect_err("nobody may not");
}

fn einval() {
    let fs = libc::CLONE_FS as u64;
    stage::spawn(How::Clone, kind("mnt").flag | fs, || {}).expect_err("CLONE_NEWNS and CLONE_FS exclude each other");
    stage::spawn(How::Clone3, kind("user").flag | fs, || {}).expect_err("CLONE_NEWUSER and CLONE_FS too");
    stage::unshare(kind("net").flag | 1).expect_err("a bit that unshare does not know");
    let net = sys::open("/proc/self/ns/net").expect("nsfs");
    stage::setns(net, kind("uts").flag).expect_err("it is a net namespace");
    sys::close(net);
    let user = sys::open("/proc/self/ns/user").expect("nsfs");
    stage::setns(user, kind("user").flag).expect_err("one cannot re-enter one's own user namespace");
    sys::close(user);
    stage::setns(0, kind("net").flag).expect_err("standard input is no namespace");
}

fn einval_user_in_threads() {
    let (ready, go) = (Gate::new(), Gate::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            super::threads::say_thread();
            ready.open();
            go.wait();
            super::threads::say_thread_exit();
        });
        ready.wait();
        stage::unshare(kind("user").flag).expect_err("a process with threads may not");
        go.open();
    });
}

fn ebadf() {
    stage::setns(-1, kind("net").flag).expect_err("no such fd");
    stage::setns(9_999, kind("mnt").flag | kind("pid").flag).expect_err("no such fd");
}

/// Sets `user.max_*_namespaces` of a user namespace that this process makes for itself: nobody else is limited.
fn limit(kind: Kind, max: u32) {
    std::fs::write(format!("/proc/sys/user/max_{}_namespaces", kind.name), max.to_string())
        .expect("the owner of a user namespace sets its limits");
}

fn enospc(kind: Kind) {
    stage::unshare_user();
    limit(kind, 0);
    stage::unshare(kind.flag).expect_err("the limit is 0");
    if kind.name != "time" {
        stage::spawn(How::Clone, kind.flag, || {}).expect_err("the limit is 0");
    }
    stage::spawn(How::Clone3, kind.flag, || {}).expect_err("the limit is 0");
}

/// The kernel makes mnt, uts and ipc, then finds no room for net and frees them all.
fn half_way_unshare() {
    stage::unshare_user();
    limit(kind("net"), 0);
    let flags = ["mnt", "uts", "ipc", "net"].map(|n| kind(n).flag).into_iter().sum();
    stage::unshare(flags).expect_err("the limit of net is 0");
    stage::spawn(How::Clone, flags, || {}).expect_err("the limit of net is 0");
    stage::spawn(How::Clone3, flags, || {}).expect_err("the limit of net is 0");
    // And it still works without net.
    stage::unshare(kind("uts").flag).expect("there is room");
}

/// A user namespace comes first, so it too is made and lost.
fn half_way_user() {
    stage::unshare_user();
    limit(kind("net"), 0);
    let flags = kind("user").flag | kind("uts").flag | kind("net").flag;
    stage::unshare(flags).expect_err("the limit of net is 0");
    stage::spawn(How::Clone, flags, || {}).expect_err("the limit of net is 0");
}

/// The namespaces of the child are complete when the wanted pid turns out to be in use.
fn set_tid_taken() {
    let taken = i32::try_from(std::process::id()).expect("a pid is an int");
    let flags = ["mnt", "uts", "ipc", "net"].map(|n| kind(n).flag).into_iter().sum();
    stage::spawn_with(How::Clone3, flags, &[taken], || {}).expect_err("that pid is ours");
}

/// A pid namespace whose init is gone takes nobody in.
fn fork_into_dead_pid_ns() {
    stage::unshare(kind("pid").flag).expect("root may");
    let init = stage::spawn(How::Fork, 0, || {}).expect("a child");
    stage::reap(init);
    stage::spawn(How::Fork, 0, || {}).expect_err("the init is gone");
    stage::spawn(How::Clone, kind("uts").flag, || {}).expect_err("the init is gone");
}
