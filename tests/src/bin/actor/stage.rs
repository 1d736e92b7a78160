//! Doing things and saying so: each function here makes one call and prints one deed.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{FromRawFd, IntoRawFd, RawFd},
    sync::OnceLock,
};

use nstrace_tests::{
    deed::{Deed, NsTruth, What},
    kinds::ALL_FLAGS,
};

use crate::{
    sys::{self, Errno},
    truth,
};

/// Which call makes a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Fork,
    Clone,
    Clone3,
}

static SCENARIO: OnceLock<String> = OnceLock::new();

/// Names the scenario that this process and its children perform.
pub fn enter(scenario: &str) {
    SCENARIO.set(scenario.to_owned()).expect("one scenario per process");
}

/// Prints one deed with a single write(2): children and parent share the pipe, and a pipe takes up to `PIPE_BUF` at once.
pub fn say_at(before_ns: u64, after_ns: u64, what: What) {
    let scenario = SCENARIO.get().cloned().unwrap_or_default();
    let deed = Deed { scenario, before_ns, after_ns, what };
    let mut line = serde_json::to_vec(&deed).expect("a deed is plain data");
    line.push(b'\n');
    assert!(line.len() <= 4096, "a deed longer than PIPE_BUF may be torn");
    let written = rustix::io::write(rustix::stdio::stdout(), &line).expect("the harness reads");
    assert_eq!(written, line.len(), "a pipe takes a small write whole");
}

pub fn say(what: What) {
    let now = sys::boot_ns();
    say_at(now, now, what);
}

pub fn skip(why: impl Into<String>) {
    say(What::Skip { why: why.into() });
}

fn call(name: &str, flags: u64, act: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let before = truth::task();
    let t0 = sys::boot_ns();
    let result = act();
    let t1 = sys::boot_ns();
    let after = truth::task();
    let errno = result.err().map(Errno::name);
    say_at(t0, t1, What::Call { call: name.to_owned(), flags, errno, before, after });
    result
}

pub fn unshare(flags: u64) -> Result<(), Errno> {
    call("unshare", flags, || sys::unshare(flags))
}

pub fn setns(fd: RawFd, nstype: u64) -> Result<(), Errno> {
    call("setns", nstype, || sys::setns(fd, nstype))
}

/// Makes a child that runs `body` and exits; the child says that it was born, the parent only if it was not.
/// Returns the child's pid as the caller's pid namespace knows it.
pub fn spawn(how: How, flags: u64, body: impl FnOnce()) -> Result<u32, Errno> {
    spawn_with(how, flags, &[], body)
}

pub fn spawn_with(how: How, flags: u64, set_tid: &[i32], body: impl FnOnce()) -> Result<u32, Errno> {
    let creator = truth::task();
    let (name, made) = {
        let t0 = sys::boot_ns();
        let (name, result) = match how {
            How::Fork => ("fork", sys::fork()),
            How::Clone => ("clone", sys::clone(flags)),
            How::Clone3 => ("clone3", sys::clone3(flags, set_tid)),
        };
        (name, result.map(|pid| (pid, t0)).map_err(|e| (e, t0)))
    };
    let t1 = sys::boot_ns();
    let call = if flags & ALL_FLAGS == 0 { "fork" } else { name }.to_owned();
    match made {
        Ok((0, t0)) => {
            let child = Some(truth::task());
            say_at(t0, t1, What::Clone { call, flags, errno: None, creator, child });
            body();
            exit();
        }
        Ok((pid, _)) => Ok(pid),
        Err((errno, t0)) => {
            let flags_asked = flags & ALL_FLAGS;
            say_at(t0, t1, What::Clone { call, flags: flags_asked, errno: Some(errno.name()), creator, child: None });
            Err(errno)
        }
    }
}

/// Says that this process ends, and ends it.
pub fn exit() -> ! {
    let task = truth::task();
    say(What::Exit { task, process: true, early: false });
    sys::exit(0)
}

/// Makes a user namespace with root mapped to itself: without a map neither uid nor gid 0 has a name in there and may
/// not own a further one.
pub fn unshare_user() {
    unshare(nstrace_tests::kinds::kind("user").flag).expect("root may");
    std::fs::write("/proc/self/setgroups", "deny").expect("the owner may");
    std::fs::write("/proc/self/uid_map", "0 0 1").expect("a map of oneself");
    std::fs::write("/proc/self/gid_map", "0 0 1").expect("a map of oneself");
}

/// Waits for a child that is expected to end well.
pub fn reap(pid: u32) {
    let status = sys::wait(pid).expect("the child is ours");
    assert_eq!(status, 0, "child {pid} ended badly (a panic in it is on stderr)");
}

/// Says that this task will be killed, tells the killer so by the gate, then waits for it.
pub fn await_death(said: &Gate) -> ! {
    let task = truth::task();
    say(What::Exit { task, process: true, early: true });
    said.open();
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Opens an nsfs file and keeps it. `first`: the scenario knows that nobody holds this namespace by a file yet.
pub fn pin(path: &str, ns_type: &str, first: bool) -> RawFd {
    let ns = truth::ns(path, true).expect("the namespace is there");
    let task = truth::task();
    let t0 = sys::boot_ns();
    let fd = sys::open(path).expect("an nsfs link opens");
    let t1 = sys::boot_ns();
    say_at(t0, t1, What::Pin { ns_type: ns_type.to_owned(), ns, via: "open".to_owned(), task, first });
    fd
}

/// Closes what [`pin`] opened.
pub fn unpin(fd: RawFd, ns_type: &str, last: bool) {
    let ns = fd_ns(fd);
    let task = truth::task();
    let t0 = sys::boot_ns();
    sys::close(fd);
    let t1 = sys::boot_ns();
    say_at(t0, t1, What::Unpin { ns_type: ns_type.to_owned(), ns, via: "close".to_owned(), task, last });
}

/// The namespace behind an nsfs fd.
pub fn fd_ns(fd: RawFd) -> NsTruth {
    // SAFETY: the scenario has `fd` open.
    let file = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
    // Not by readlink: of a bind mount that gives the path of the mount.
    let inode = rustix::fs::fstat(file).expect("an open file").st_ino;
    NsTruth { inum: u32::try_from(inode).expect("nsfs numbers have 32 bits"), id: nstrace_tests::nsfs::id_of_fd(fd) }
}

pub fn alive(ns_type: &str, ns: NsTruth) {
    say(What::Alive { ns_type: ns_type.to_owned(), ns });
}

/// One-byte signal from one process to another.
#[derive(Debug)]
pub struct Gate {
    reader: RawFd,
    writer: RawFd,
}

impl Gate {
    pub fn new() -> Self {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        Self { reader: reader.into_raw_fd(), writer: writer.into_raw_fd() }
    }

    /// Gives both ends up.
    pub fn close(self) {
        sys::close(self.reader);
        sys::close(self.writer);
    }

    /// Waits for one byte; an error when all who could send it have ended.
    pub fn close_writer_and_wait(&self) -> std::io::Result<()> {
        sys::close(self.writer);
        // SAFETY: the fd is open for as long as the process lives; ManuallyDrop leaves it so.
        let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(self.reader) });
        let result = file.read_exact(&mut [0]);
        sys::close(self.reader);
        result
    }

    /// Lets one waiter through.
    pub fn open(&self) {
        self.send(b"!");
    }

    pub fn wait(&self) {
        let mut byte = [0];
        self.read(&mut byte);
    }

    pub fn send(&self, bytes: &[u8]) {
        // SAFETY: the fd is open for as long as the process lives; ManuallyDrop leaves it so.
        let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(self.writer) });
        file.write_all(bytes).expect("the pipe is open");
    }

    pub fn read(&self, bytes: &mut [u8]) {
        // SAFETY: as in `send`.
        let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(self.reader) });
        file.read_exact(bytes).expect("the other side lives");
    }

    pub fn send_pid(&self, pid: u32) {
        self.send(&pid.to_le_bytes());
    }

    pub fn read_pid(&self) -> u32 {
        let mut bytes = [0; 4];
        self.read(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Says how a scenario ended; printed by the process that waited for its performer.
pub fn end(scenario: &str, status: i32) {
    let now = sys::boot_ns();
    let what = What::End { ok: status == 0, detail: format!("wait status {status:#x}") };
    let deed = Deed { scenario: scenario.to_owned(), before_ns: now, after_ns: now, what };
    let mut line = serde_json::to_vec(&deed).expect("a deed is plain data");
    line.push(b'\n');
    rustix::io::write(rustix::stdio::stdout(), &line).expect("the harness reads");
}
