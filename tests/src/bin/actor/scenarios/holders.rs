//! What keeps a namespace alive without a member: files, mounts, messages.

use std::os::fd::RawFd;

use nstrace_tests::{
    deed::{NsTruth, What},
    kinds::kind,
};

use super::Scenario;
use crate::{
    stage::{self, Gate, How},
    sys, truth,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("holders", "fd_outlives_members", fd_outlives_members),
        Scenario::new("holders", "bind_mount", bind_mount),
        Scenario::new("holders", "bind_mount_of_fd", bind_mount_of_fd),
        Scenario::new("holders", "scm_rights", scm_rights),
        Scenario::new("holders", "two_fds", two_fds),
        Scenario::new("holders", "fd_dropped_by_exit", fd_dropped_by_exit),
        Scenario::new("holders", "kept_then_joined_again", kept_then_joined_again),
    ]
}

/// A child in a new namespace that has ended; the caller holds the namespace by an fd.
fn orphan(name: &str) -> RawFd {
    let (go, ready) = (Gate::new(), Gate::new());
    let child = stage::spawn(How::Clone, kind(name).flag, || {
        ready.send_pid(truth::task().pid);
        go.wait();
    })
    .expect("root may");
    let pid = ready.read_pid();
    let fd = stage::pin(&format!("/proc/{pid}/ns/{name}"), name, true);
    go.open();
    stage::reap(child);
    fd
}

fn fd_outlives_members() {
    for name in ["uts", "net", "mnt", "ipc"] {
        let fd = orphan(name);
        stage::unpin(fd, name, true);
    }
}

struct MountPoint(String);

impl MountPoint {
    fn new() -> Self {
        let path = format!("/run/nstrace-actor-{}", std::process::id());
        std::fs::write(&path, "").expect("/run is writable");
        Self(path)
    }

    fn mount(&self, source: &str, ns_type: &str, ns: NsTruth, first: bool) {
        let task = truth::task();
        let t0 = sys::boot_ns();
        sys::bind_mount(source, &self.0).expect("root may");
        let t1 = sys::boot_ns();
        stage::say_at(t0, t1, What::Pin { ns_type: ns_type.to_owned(), ns, via: "mount".to_owned(), task, first });
    }

    fn umount(self, ns_type: &str, ns: NsTruth) {
        let task = truth::task();
        let t0 = sys::boot_ns();
        sys::umount(&self.0).expect("it is mounted");
        let t1 = sys::boot_ns();
        stage::say_at(
            t0,
            t1,
            What::Unpin { ns_type: ns_type.to_owned(), ns, via: "umount".to_owned(), task, last: true },
        );
        std::fs::remove_file(&self.0).expect("ours");
    }
}

fn bind_mount() {
    let (go, ready) = (Gate::new(), Gate::new());
    let child = stage::spawn(How::Clone, kind("uts").flag, || {
        ready.send_pid(truth::task().pid);
        go.wait();
    })
    .expect("root may");
    let link = format!("/proc/{}/ns/uts", ready.read_pid());
    let ns = truth::ns(&link, true).expect("it lives");
    let point = MountPoint::new();
    point.mount(&link, "uts", ns, true);
    go.open();
    stage::reap(child);
    stage::alive("uts", ns);
    // Nobody is in it any more; entering by the mount works.
    let visitor = stage::spawn(How::Fork, 0, || {
        let fd = sys::open(&point.0).expect("the mount is there");
        stage::setns(fd, kind("uts").flag).expect("root may");
        sys::close(fd);
    })
    .expect("a child");
    stage::reap(visitor);
    point.umount("uts", ns);
}

/// An fd becomes a mount: never without a holder in between.
fn bind_mount_of_fd() {
    let fd = orphan("net");
    let ns = stage::fd_ns(fd);
    let point = MountPoint::new();
    point.mount(&format!("/proc/self/fd/{fd}"), "net", ns, false);
    stage::unpin(fd, "net", false);
    point.umount("net", ns);
}

fn scm_rights() {
    let (near, far) = sys::socketpair();
    let go = Gate::new();
    let receiver = stage::spawn(How::Fork, 0, || {
        sys::close(near);
        // The sender has let go of its own copy by now: the message alone keeps the namespace.
        go.wait();
        let fd = receive_fd(far);
        stage::unpin(fd, "uts", true);
    })
    .expect("a child");
    sys::close(far);
    let fd = orphan("uts");
    send_fd(near, fd);
    stage::unpin(fd, "uts", false);
    go.open();
    stage::reap(receiver);
}

fn send_fd(socket: RawFd, fd: RawFd) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let mut space = [std::mem::MaybeUninit::uninit(); 64];
    // SAFETY: both fds are open for the whole call.
    let (socket, fds) =
        unsafe { (rustix::fd::BorrowedFd::borrow_raw(socket), [rustix::fd::BorrowedFd::borrow_raw(fd)]) };
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "room for one fd");
    rustix::net::sendmsg(socket, &[std::io::IoSlice::new(b"!")], &mut control, SendFlags::empty()).expect("sendmsg");
}

fn receive_fd(socket: RawFd) -> RawFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    use std::os::fd::IntoRawFd;
    let mut space = [std::mem::MaybeUninit::uninit(); 64];
    // SAFETY: the fd is open for the whole call.
    let socket = unsafe { rustix::fd::BorrowedFd::borrow_raw(socket) };
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).expect("recvmsg");
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return fds.next().expect("one fd was sent").into_raw_fd();
        }
    }
    panic!("no fd in the message");
}

/// Two files of one namespace: one pin when the first appears, one unpin when the last goes.
fn two_fds() {
    let first = orphan("ipc");
    let path = format!("/proc/self/fd/{first}");
    let second = stage::pin(&path, "ipc", false);
    stage::unpin(first, "ipc", false);
    stage::alive("ipc", stage::fd_ns(second));
    stage::unpin(second, "ipc", true);
}

fn fd_dropped_by_exit() {
    let child = stage::spawn(How::Fork, 0, || {
        let fd = orphan("uts");
        let ns = stage::fd_ns(fd);
        let task = truth::task();
        stage::say(What::Unpin { ns_type: "uts".to_owned(), ns, via: "exit".to_owned(), task, last: true });
    })
    .expect("a child");
    stage::reap(child);
}

/// Empty but held, then populated again: one life, one end.
fn kept_then_joined_again() {
    let fd = orphan("net");
    for _ in 0..2 {
        let visitor = stage::spawn(How::Fork, 0, || {
            stage::setns(fd, kind("net").flag).expect("root may");
        })
        .expect("a child");
        stage::reap(visitor);
    }
    stage::unpin(fd, "net", true);
}
