//! What the keepers are made of: processes that live until the actor ends, and namespaces that no process is in.

use std::{
    fs::File,
    io::Read,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::OnceLock,
};

use nstrace_tests::{
    deed::NsTruth,
    held::{Held, Line},
    kinds::kind,
};
use rustix::{
    fs::{Mode, OFlags},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};

use crate::{
    stage::{self, Gate},
    sys,
};

/// Read end of a pipe whose write end only the actor itself has: it ends when the actor does.
static LIFE: OnceLock<OwnedFd> = OnceLock::new();
static NAME: OnceLock<String> = OnceLock::new();
static KEEPER: OnceLock<u32> = OnceLock::new();

/// Makes the pipe; the write end is to be closed in every child.
pub fn begin() -> OwnedFd {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    LIFE.set(reader).expect("once");
    writer
}

/// Names the way of holding that this process and its children stand for.
pub fn enter(name: &str) {
    NAME.set(name.to_owned()).expect("one way per process");
    KEEPER.set(std::process::id()).expect("one way per process");
}

/// Lives as long as the actor.
pub fn stay() -> ! {
    let life = LIFE.get().expect("begin was called");
    let mut byte = [0];
    while rustix::io::read(life, &mut byte).is_err() {}
    sys::exit(0)
}

pub fn print(line: &Line) {
    let mut text = serde_json::to_vec(line).expect("a line is plain data");
    text.push(b'\n');
    let written = rustix::io::write(rustix::stdio::stdout(), &text).expect("the harness reads");
    assert_eq!(written, text.len(), "a pipe takes a small write whole");
}

/// Says that `ns` is held, by holders of exactly these kinds.
pub fn held(ns_type: &str, ns: NsTruth, kinds: &[&str]) {
    held_as("", ns_type, ns, kinds);
}

/// As [`held`], of one of several namespaces of this way.
pub fn held_as(what: &str, ns_type: &str, ns: NsTruth, kinds: &[&str]) {
    let name = NAME.get().expect("enter was called");
    let name = if what.is_empty() { name.clone() } else { format!("{name}: {what}") };
    let kinds = kinds.iter().map(|&kind| kind.to_owned()).collect();
    print(&Line::Held(Held { name, ns_type: ns_type.to_owned(), ns, kinds, pid: std::process::id() }));
}

/// Says that this kernel cannot do it, and ends the keeper.
pub fn skip(why: impl std::fmt::Display) -> ! {
    print(&Line::Skipped { name: NAME.get().cloned().unwrap_or_default(), why: why.to_string() });
    sys::exit(SKIPPED)
}

/// Exit code of a keeper that skipped.
pub const SKIPPED: i32 = 77;

/// Runs `body` in a thread that then stays.
pub fn in_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(body()).expect("the keeper waits");
        stay();
    });
    told.recv().expect("the thread works")
}

/// A process that stays.
pub fn resident(flags: u64, body: impl FnOnce()) -> u32 {
    let ready = Gate::new();
    match sys::clone(flags).expect("root may") {
        0 => {
            // Should the keeper end early, so does this.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("a signal");
            body();
            ready.open();
            stay()
        }
        pid => {
            ready.wait();
            pid
        }
    }
}

/// A process in new namespaces, until it is told to go.
pub struct Visitor {
    pub pid: u32,
    go: Gate,
}

impl Visitor {
    /// Starts it; `body` is done when this returns. Its result is a number, of a descriptor mostly.
    pub fn new(flags: u64, body: impl FnOnce() -> i32) -> (Self, i32) {
        let (go, ready) = (Gate::new(), Gate::new());
        match sys::clone(flags).expect("root may") {
            0 => {
                // Should the keeper panic, nobody opens the gate.
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                    .expect("a signal");
                ready.send(&body().to_le_bytes());
                go.wait();
                sys::exit(0)
            }
            pid => {
                let mut number = [0; 4];
                ready.read(&mut number);
                (Self { pid, go }, i32::from_le_bytes(number))
            }
        }
    }

    pub fn idle(names: &[&str]) -> Self {
        Self::new(flags(names), || 0).0
    }

    pub fn link(&self, name: &str) -> String {
        format!("/proc/{}/ns/{name}", self.pid)
    }

    pub fn truth(&self, name: &str) -> NsTruth {
        crate::truth::ns(&self.link(name), true).expect("it lives")
    }

    pub fn open(&self, name: &str) -> OwnedFd {
        open(&self.link(name), OFlags::RDONLY)
    }

    /// A duplicate of a descriptor of its.
    pub fn take(&self, fd: RawFd) -> OwnedFd {
        let pidfd = sys::pidfd_open(self.pid).expect("it lives");
        // SAFETY: takes three integers; what it returns is ours.
        let taken = unsafe {
            let ret = libc::syscall(libc::SYS_pidfd_getfd, pidfd, fd, 0);
            assert!(ret >= 0, "pidfd_getfd: {}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(RawFd::try_from(ret).expect("an fd is an int"))
        };
        sys::close(pidfd);
        taken
    }

    /// Lets it exit and waits for it.
    pub fn end(self) {
        self.go.open();
        stage::reap(self.pid);
        self.go.close();
    }

    /// Lets it exit, waits until it is dead, and leaves it a zombie.
    pub fn leave_dead(self) {
        self.go.open();
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid).expect("a pid")).expect("not 0");
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).expect("it is ours");
    }
}

/// `CLONE_NEW*` of these types.
pub fn flags(names: &[&str]) -> u64 {
    names.iter().map(|name| kind(name).flag).sum()
}

/// A namespace whose only holder is the returned descriptor.
pub fn orphan(name: &str) -> OwnedFd {
    let visitor = Visitor::idle(&[name]);
    let fd = visitor.open(name);
    visitor.end();
    fd
}

pub fn truth_of(fd: &OwnedFd) -> NsTruth {
    stage::fd_ns(fd.as_raw_fd())
}

pub fn own(name: &str) -> NsTruth {
    crate::truth::ns(&format!("/proc/thread-self/ns/{name}"), true).expect("it lives")
}

pub fn open(path: &str, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The path by which this process reaches a descriptor of its.
pub fn path_of(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Keeps it open to the end of this process.
pub fn keep<T>(held: T) {
    std::mem::forget(held);
}

/// Does something in a new namespace of this type and comes back; with it, what the namespace was.
pub fn inside<T>(name: &str, body: impl FnOnce() -> T) -> (T, NsTruth) {
    let home = open(&format!("/proc/thread-self/ns/{name}"), OFlags::RDONLY);
    sys::unshare(kind(name).flag).expect("root may");
    let (done, ns) = (body(), own(name));
    sys::setns(home.as_raw_fd(), kind(name).flag).expect("back home");
    (done, ns)
}

/// Sends one message with these files.
pub fn send(socket: impl AsFd, files: &[&OwnedFd]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)), "room for them");
    let sent = rustix::net::sendmsg(socket, &[std::io::IoSlice::new(b"!")], &mut control, SendFlags::empty());
    assert_eq!(sent.expect("the queue has room"), 1);
}

/// An own mount namespace, from which nothing spreads.
pub fn private_mounts() {
    sys::unshare(kind("mnt").flag).expect("root may");
    let how = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", how).expect("root may");
}

/// Below this, a folder for each keeper. They are empty: what is mounted on them is so elsewhere.
const FOLDER: &str = "/tmp/nstrace-keep";

/// The folder of this process' keeper.
pub fn folder() -> String {
    let folder = format!("{FOLDER}-{}", KEEPER.get().expect("enter was called"));
    std::fs::create_dir_all(&folder).expect("/tmp is writable");
    folder
}

/// Removes what [`folder`] made.
pub fn clean_up(keeper: u32) {
    let _ = std::fs::remove_dir(format!("{FOLDER}-{keeper}"));
}

/// An empty folder on a tmpfs of its own, in the caller's mount namespace.
pub fn scratch() -> String {
    let folder = folder();
    mount("tmpfs", &folder);
    folder
}

pub fn mount(kind: &str, at: &str) {
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(kind, at, kind, flags, None).unwrap_or_else(|error| panic!("mount {kind} on {at}: {error}"));
}

/// Bind-mounts a namespace file on a new file.
pub fn bind(source: &str, at: &str) {
    std::fs::write(at, "").expect("a writable folder");
    sys::bind_mount(source, at).expect("root may");
}

pub fn read_all(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it can be read");
    bytes
}

/// A duplicate of what ends with the actor, for a program's standard input.
pub fn life() -> OwnedFd {
    LIFE.get().expect("begin was called").try_clone().expect("a duplicate")
}
