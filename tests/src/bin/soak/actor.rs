//! A process that performs operations: what it holds, and how it says what it did.

use std::{os::fd::RawFd, path::Path, sync::atomic::AtomicU64};

use nstrace_tests::{
    nsfs,
    sys::{self, Errno},
};

use crate::record::{Record, Slots, own_slots};

/// A process made by this one that waits to be killed.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    /// As kill(2) of this process knows it.
    pub local: u32,
    /// In the initial pid namespace, as /proc knows it.
    pub pid: u32,
}

/// What the whole family has in common.
#[derive(Clone, Debug)]
pub struct Family {
    /// Where files to mount on may be made.
    pub folder: String,
    pub initial: Slots,
    /// Pids of all workers.
    pub workers: Vec<u32>,
    /// Operations that any of them performed.
    pub operations: &'static AtomicU64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Actor {
    pub family: Family,
    pub pid: u32,
    pub tid: u32,
    /// Of the calling thread, as last read.
    pub slots: Slots,
    pub children: Vec<Child>,
    /// Open nsfs files.
    pub fds: Vec<RawFd>,
    /// Files with a namespace mounted on them, not necessarily in the mount namespace of this moment.
    pub mounts: Vec<String>,
    /// Both ends of the socket for messages to oneself.
    pub socket: Option<(RawFd, RawFd)>,
    pub ring: Option<RawFd>,
    /// Number of the child reaped last.
    pub last_reaped: Option<u32>,
    /// Where the parent learns that this process has done its operations.
    pub ready: Option<RawFd>,
}

/// Says it in one write(2), which a pipe takes whole.
pub fn say(record: &Record) {
    let mut line = serde_json::to_vec(record).expect("a record is plain data");
    line.push(b'\n');
    assert!(line.len() <= 4096, "a record longer than PIPE_BUF may be torn");
    // The coordinator is gone: nothing to be done any more.
    let Ok(written) = rustix::io::write(rustix::stdio::stdout(), &line) else { sys::exit(1) };
    assert_eq!(written, line.len(), "a pipe takes a small write whole");
}

/// The calling thread's process and thread number in the initial pid namespace.
pub fn numbers() -> (u32, u32) {
    let link = std::fs::read_link("/proc/thread-self").expect("procfs is mounted");
    let numbers: Vec<u32> = link.to_string_lossy().split('/').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

impl Actor {
    /// `operations`: see [`Family`].
    pub fn new(folder: String, operations: &'static AtomicU64) -> Self {
        let (pid, tid) = numbers();
        let slots = own_slots();
        Self {
            family: Family { folder, initial: slots, workers: Vec::new(), operations },
            pid,
            tid,
            slots,
            children: Vec::new(),
            fds: Vec::new(),
            mounts: Vec::new(),
            socket: None,
            ring: None,
            last_reaped: None,
            ready: None,
        }
    }

    /// In a child that was just made: it has copies of all files, but neither children, nor messages, nor a ring.
    pub fn reborn(&mut self, ready: RawFd) {
        self.drop_private();
        if let Some(old) = self.ready.replace(ready) {
            sys::close(old);
        }
        (self.pid, self.tid) = numbers();
        self.slots = own_slots();
        self.children.clear();
    }

    /// In a thread that was just made.
    pub fn in_thread(&mut self) {
        (_, self.tid) = numbers();
        self.slots = own_slots();
    }

    fn drop_private(&mut self) {
        if let Some((near, far)) = self.socket.take() {
            sys::close(near);
            sys::close(far);
        }
        if let Some(ring) = self.ring.take() {
            sys::close(ring);
        }
    }

    /// Says how a call came out.
    pub fn called(&mut self, call: &str, flags: u64, result: Result<(), Errno>) {
        self.slots = own_slots();
        say(&Record::Call {
            pid: self.pid,
            tid: self.tid,
            call: call.to_owned(),
            flags,
            errno: result.err().map(Errno::name),
            after: self.slots,
        });
    }

    pub fn is_initial(&self, slot: &str) -> bool {
        let index = crate::record::index(slot);
        self.slots[index] == self.family.initial[index]
    }

    /// Waits for the end of a child, by its number for this process. Others that die meanwhile are reaped too: the init of a
    /// pid namespace does not end before everybody in it has been reaped. True when a signal ended it.
    pub fn reap(&mut self, local: u32) -> bool {
        let mut found = sys::look_after(local);
        while found == sys::Child::Runs {
            found = match sys::wait_any() {
                Some((reaped, status)) if reaped == local => sys::Child::Ended(status),
                Some((reaped, _)) => {
                    self.child_ended(reaped);
                    sys::look_after(local)
                }
                None => sys::Child::None,
            };
        }
        self.last_reaped = Some(local);
        matches!(found, sys::Child::Ended(status) if libc::WIFSIGNALED(status))
    }

    /// Reaps those that have ended by themselves.
    pub fn reap_the_dead(&mut self) {
        while let Some(reaped) = sys::reap_any() {
            self.child_ended(reaped);
        }
    }

    fn child_ended(&mut self, local: u32) {
        if let Some(index) = self.children.iter().position(|child| child.local == local) {
            say(&Record::Exit { pid: self.children.swap_remove(index).pid });
        }
    }

    /// Waits to be killed, and reaps meanwhile, orphans too: a zombie would keep the init of its pid namespace from ending.
    pub fn pause(&mut self) -> ! {
        loop {
            self.reap_the_dead();
            sys::await_child();
        }
    }

    /// Kills the child and waits for it; with it go its descendants. One that became nobody may be out of reach for a
    /// process that has left the initial user namespace: it stays until the coordinator ends it.
    pub fn kill(&mut self, child: Child) {
        if sys::kill(child.local, libc::SIGKILL) {
            self.reap(child.local);
            say(&Record::Exit { pid: child.pid });
        } else {
            self.children.push(child);
        }
    }

    /// As [`Actor::kill`], all of them.
    pub fn kill_all(&mut self) {
        for child in self.children.clone() {
            // The end of one may have been that of others.
            if let Some(index) = self.children.iter().position(|other| other.local == child.local) {
                self.children.swap_remove(index);
                self.kill(child);
            }
        }
    }
}

/// Type and number of the namespace behind a descriptor.
pub fn namespace_of(fd: RawFd) -> Option<(String, u32)> {
    let path = format!("/proc/thread-self/fd/{fd}");
    let link = std::fs::read_link(&path).ok()?;
    let link = link.to_str()?;
    let inum = nsfs::inum_of_link(Path::new(&path))?;
    // A bind mount shows as the path it is mounted on, which has no number in it.
    Some((link.split_once(":[")?.0.to_owned(), inum))
}
