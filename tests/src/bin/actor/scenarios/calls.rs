//! Every namespace type by every call that can make or enter it.

use nstrace_tests::kinds::{KINDS, Kind, kind};

use super::Scenario;
use crate::{
    stage::{self, Gate, How},
    sys, truth,
};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for kind in KINDS {
        let name = kind.name;
        all.push(Scenario::new("calls", format!("unshare_{name}"), move || unshare(kind)));
        if name != "time" {
            // In clone(2) the bit of CLONE_NEWTIME belongs to the exit signal.
            all.push(Scenario::new("calls", format!("clone_{name}"), move || spawn(How::Clone, kind)));
        }
        all.push(Scenario::new("calls", format!("clone3_{name}"), move || spawn(How::Clone3, kind)));
        all.push(Scenario::new("calls", format!("setns_fd_{name}"), move || setns_fd(kind)));
        all.push(Scenario::new("calls", format!("setns_pidfd_{name}"), move || setns_pidfd(kind)));
    }
    all.push(Scenario::new("calls", "unshare_many", unshare_many));
    all.push(Scenario::new("calls", "clone_many", clone_many));
    all.push(Scenario::new("calls", "setns_pidfd_many", setns_pidfd_many));
    all.push(Scenario::new("calls", "setns_any_type", setns_any_type));
    all.push(Scenario::new("calls", "setns_and_back", setns_and_back));
    all.push(Scenario::new("calls", "setns_where_it_is", setns_where_it_is));
    all.push(Scenario::new("calls", "fork_inherits", fork_inherits));
    all
}

fn unshare(kind: Kind) {
    if stage::unshare(kind.flag).is_ok() && matches!(kind.name, "pid" | "time") {
        // Only a child becomes a member of these two.
        let child = stage::spawn(How::Fork, 0, || {}).expect("a child");
        stage::reap(child);
    }
}

fn spawn(how: How, kind: Kind) {
    if let Ok(child) = stage::spawn(how, kind.flag, || {}) {
        stage::reap(child);
    }
}

/// A process that lives in a namespace of its own until told to go.
struct Holder {
    /// Its pid in the initial pid namespace.
    pid: u32,
    child: u32,
    go: Gate,
}

impl Holder {
    fn new(kind: Kind) -> Self {
        let (go, ready) = (Gate::new(), Gate::new());
        let live = || {
            ready.send_pid(truth::task().pid);
            go.wait();
        };
        let child = if kind.name == "time" {
            // clone3 takes CLONE_NEWTIME only since 5.10.180 or so; unshare and fork always do.
            stage::spawn(How::Fork, 0, || {
                stage::unshare(kind.flag).expect("root may");
                let child = stage::spawn(How::Fork, 0, live).expect("a child");
                stage::reap(child);
            })
        } else {
            stage::spawn(How::Clone, kind.flag, live)
        };
        let child = child.expect("root may");
        let pid = ready.read_pid();
        Self { pid, child, go }
    }

    fn release(self) {
        self.go.open();
        stage::reap(self.child);
    }
}

fn enter_child_if_needed(kind: Kind) {
    if kind.name == "pid" {
        let child = stage::spawn(How::Fork, 0, || {}).expect("a child");
        stage::reap(child);
    }
}

fn setns_fd(kind: Kind) {
    let holder = Holder::new(kind);
    let pid = holder.pid;
    let visitor = stage::spawn(How::Fork, 0, || {
        let fd = stage::pin(&format!("/proc/{pid}/ns/{}", kind.name), kind.name, true);
        stage::setns(fd, kind.flag).expect("root may");
        stage::unpin(fd, kind.name, true);
        enter_child_if_needed(kind);
    })
    .expect("a child");
    stage::reap(visitor);
    holder.release();
}

fn setns_pidfd(kind: Kind) {
    let holder = Holder::new(kind);
    let pid = holder.pid;
    let visitor = stage::spawn(How::Fork, 0, || {
        let fd = sys::pidfd_open(pid).expect("the holder lives");
        stage::setns(fd, kind.flag).expect("root may");
        sys::close(fd);
        enter_child_if_needed(kind);
    })
    .expect("a child");
    stage::reap(visitor);
    holder.release();
}

const MANY: [&str; 5] = ["mnt", "uts", "ipc", "net", "cgroup"];

fn many() -> u64 {
    MANY.into_iter().map(|name| kind(name).flag).sum()
}

fn unshare_many() {
    stage::unshare(many() | kind("user").flag | kind("pid").flag).expect("root may");
    let child = stage::spawn(How::Fork, 0, || {}).expect("a child");
    stage::reap(child);
}

fn clone_many() {
    let flags = many() | kind("user").flag | kind("pid").flag;
    let child = stage::spawn(How::Clone3, flags, || {}).expect("root may");
    stage::reap(child);
}

fn setns_pidfd_many() {
    let (go, ready) = (Gate::new(), Gate::new());
    let holder = stage::spawn(How::Clone, many(), || {
        ready.send_pid(truth::task().pid);
        go.wait();
    })
    .expect("root may");
    let pid = ready.read_pid();
    let visitor = stage::spawn(How::Fork, 0, || {
        let fd = sys::pidfd_open(pid).expect("the holder lives");
        stage::setns(fd, many()).expect("root may");
        sys::close(fd);
    })
    .expect("a child");
    stage::reap(visitor);
    go.open();
    stage::reap(holder);
}

/// `nstype` 0: the kernel takes whatever the fd is.
fn setns_any_type() {
    let kind = kind("ipc");
    let holder = Holder::new(kind);
    let pid = holder.pid;
    let visitor = stage::spawn(How::Fork, 0, || {
        let fd = stage::pin(&format!("/proc/{pid}/ns/ipc"), "ipc", true);
        stage::setns(fd, 0).expect("root may");
        stage::unpin(fd, "ipc", true);
    })
    .expect("a child");
    stage::reap(visitor);
    holder.release();
}

fn setns_and_back() {
    let home = sys::open("/proc/self/ns/net").expect("nsfs");
    stage::unshare(kind("net").flag).expect("root may");
    let away = sys::open("/proc/self/ns/net").expect("nsfs");
    stage::setns(home, kind("net").flag).expect("root may");
    stage::setns(away, kind("net").flag).expect("root may");
    stage::setns(home, 0).expect("root may");
    sys::close(home);
    stage::unpin(away, "net", true);
}

/// Entering the namespace one is in changes the nsproxy and no membership.
fn setns_where_it_is() {
    stage::unshare(kind("uts").flag).expect("root may");
    let here = sys::open("/proc/self/ns/uts").expect("nsfs");
    stage::setns(here, kind("uts").flag).expect("root may");
    sys::close(here);
}

/// A plain fork joins what its creator is in, and only that counts which is not initial.
fn fork_inherits() {
    stage::unshare(kind("uts").flag | kind("ipc").flag).expect("root may");
    let child = stage::spawn(How::Fork, 0, || {
        let grandchild = stage::spawn(How::Clone3, 0, || {}).expect("a child");
        stage::reap(grandchild);
    })
    .expect("a child");
    stage::reap(child);
    // One more namespace on top of the inherited ones.
    let child = stage::spawn(How::Clone, kind("net").flag, || {}).expect("root may");
    stage::reap(child);
}
