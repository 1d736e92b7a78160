//! One `/proc/PID` directory, held open: it stands for one `struct pid`, so a number that is used again cannot mix two tasks.

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use crate::{
    discover::{Proc, parse_ns_link},
    event::SlotSet,
    ns::{NsName, Slot},
};

/// Most bytes read of one file.
const MAX_FILE: usize = 16 << 20;

/// Of a process or thread.
#[derive(Debug)]
pub struct TaskDir {
    fd: OwnedFd,
}

impl TaskDir {
    /// `pid` may be a thread id: proc(5) opens those too, it only does not list them.
    pub fn open(proc: &Proc, pid: u32) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(CWD, proc.root().join(pid.to_string()), flags, Mode::empty())? })
    }

    /// Of the reader.
    pub fn open_self(proc: &Proc) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(CWD, proc.root().join("self"), flags, Mode::empty())? })
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>, Errno> {
        read_at(&self.fd, name)
    }

    /// Target of a symbolic link; never follows it.
    pub fn link(&self, name: &str) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// What a slot says. `Ok(None)`: the link is absent (no such type in this kernel) or empty (`pid_for_children` without
    /// a child yet).
    pub fn slot(&self, slot: Slot) -> Result<Option<NsName>, Errno> {
        match self.link(&format!("ns/{}", slot.proc_name())) {
            Ok(link) => Ok(parse_ns_link(&link)
                .filter(|(ns_type, _)| *ns_type == slot.ns_type())
                .map(|(ns_type, inum)| NsName { ns_type, inum, id: None })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// All ten, and whether one of them was refused.
    pub fn slots(&self) -> (SlotSet, bool) {
        let mut slots = SlotSet::default();
        let mut denied = false;
        for slot in Slot::ALL {
            match self.slot(slot) {
                Ok(ns) => slots.set(slot, ns),
                // proc_ns_readlink says EACCES of a task that is gone as well: a zombie has no namespaces to refuse.
                Err(Errno::ACCESS | Errno::PERM) => denied = true,
                Err(_) => {}
            }
        }
        (slots, denied)
    }
}

impl AsFd for TaskDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Content of `name` below `dir`; never waits on a FIFO, never becomes a controlling terminal.
pub fn read_at(dir: impl AsFd, name: impl rustix::path::Arg) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    read_all(&rustix::fs::openat(dir, name, flags, Mode::empty())?, MAX_FILE)
}

/// Reads to the end, at most `most` bytes.
pub fn read_all(file: &OwnedFd, most: usize) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match rustix::io::read(file, &mut chunk) {
            Ok(0) => return Ok(text),
            Ok(n) => text.extend_from_slice(&chunk[..n]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if text.len() > most {
            return Err(Errno::FBIG);
        }
    }
}
