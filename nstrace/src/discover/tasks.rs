//! Every thread of every process with its ten namespace slots: the snapshot for kernels without a task iterator.

use std::{
    collections::HashMap,
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd},
};

use nstrace_common::task::{PF_EXITING, PF_KTHREAD};
use rustix::fd::OwnedFd;

use crate::{
    event::{Comm, Pids, SlotSet, TaskInfo, TaskKey},
    ns::{NsName, Slot},
};

use super::{
    Missed, Placement, Proc, ReadError, clock,
    read::{numeric_names, open_dir, read_file, read_link},
    task_files::{Stat, Status, parse_ns_link},
};

/// Links below `/proc/PID/task/TID`, in the order of [`Slot::ALL`].
const NS_LINKS: [&CStr; nstrace_common::slots::SLOTS] = [
    c"ns/mnt",
    c"ns/pid",
    c"ns/net",
    c"ns/ipc",
    c"ns/uts",
    c"ns/user",
    c"ns/cgroup",
    c"ns/time",
    c"ns/pid_for_children",
    c"ns/time_for_children",
];

/// Process that starts all other kernel threads (kernel/kthread.c).
const KTHREADD: u32 = 2;

/// Distinct `cgroup` files remembered during a scan, so that tasks of one cgroup share one path.
const PLACEMENTS: usize = 16_384;

/// One thread as it was at `boot_ns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedTask {
    /// CLOCK_BOOTTIME right before the thread was visited: whatever happens to it later has a later stamp.
    pub boot_ns: u64,
    /// `key.start_boottime` is known to a clock tick only; `cgroup` is 0. `pids` (and `tgid`, `key.tid`) start at the
    /// pid namespace of the reader, which has to be the initial one to see every task.
    pub task: TaskInfo,
    /// Without 64-bit ids. Slots that were refused are None.
    pub slots: SlotSet,
    pub placement: Placement,
}

/// Result of [`Proc::tasks`].
#[derive(Clone, Debug, Default)]
pub struct TaskScan {
    /// In ascending order of process, the threads of one process together.
    pub tasks: Vec<ScannedTask>,
    /// Threads that are dying (`PF_EXITING`) or dead and not waited for: their exit has been an event or is about to be
    /// one, so they are left out.
    pub exiting: u64,
    pub missed: Missed,
}

impl Proc {
    /// Every thread of every process except the reader's own ones. About twenty system calls per thread.
    ///
    /// Threads that end meanwhile are skipped; an error is only returned when the root itself cannot be read.
    pub fn tasks(&self) -> Result<TaskScan, ReadError> {
        let root = self.open()?;
        let own = self.own_tgid(&root);
        let mut scan = TaskScan::default();
        let mut reader = TaskReader::default();
        for tgid in numeric_names(&root)?.into_iter().filter(|&tgid| Some(tgid) != own) {
            let threads = open_dir(&root, &format!("{tgid}/task")).and_then(|dir| Ok((numeric_names(&dir)?, dir)));
            let (tids, dir) = match threads {
                Ok(threads) => threads,
                Err(error) => {
                    scan.missed.note(error, format_args!("{}/{tgid}/task", self.root.display()));
                    continue;
                }
            };
            for tid in tids {
                match reader.read(&dir, tid) {
                    Ok(Some((task, denied))) => {
                        if denied {
                            let path = format_args!("{}/{tgid}/task/{tid}/ns", self.root.display());
                            scan.missed.note(ReadError::Denied, path);
                        }
                        scan.tasks.push(task);
                    }
                    Ok(None) => scan.exiting += 1,
                    Err(error) => {
                        scan.missed.note(error, format_args!("{}/{tgid}/task/{tid}", self.root.display()));
                    }
                }
            }
        }
        Ok(scan)
    }

    /// Where the thread `key` stands in the cgroup hierarchies now. [`ReadError::Gone`] when it ended, or its number
    /// belongs to another thread.
    pub fn placement(&self, key: TaskKey) -> Result<Placement, ReadError> {
        // proc(5): /proc/TID of a thread is not listed but can be opened.
        let dir = open_dir(self.open()?, &key.tid.to_string())?;
        let mut text = Vec::new();
        read_file(&dir, c"stat", &mut text)?;
        let stat = Stat::parse(&text).ok_or(ReadError::Malformed("stat"))?;
        if !key.same_task(TaskKey { tid: key.tid, start_boottime: stat.start_boottime }) {
            return Err(ReadError::Gone);
        }
        read_file(&dir, c"cgroup", &mut text)?;
        Ok(Placement::parse(&text))
    }

    /// The initial namespaces of this boot: those of kthreadd, which the kernel starts in them and which never leaves; or
    /// of process 1 when process 2 is no kernel thread (the reader is in a pid namespace: then they are only the ones the
    /// container began with).
    pub fn initial_slots(&self) -> Result<SlotSet, ReadError> {
        let root = self.open()?;
        let holder = if is_kernel_thread(&root, KTHREADD) { KTHREADD } else { 1 };
        let (slots, denied) = read_slots(open_dir(&root, &holder.to_string())?.as_fd());
        if denied { Err(ReadError::Denied) } else { Ok(slots) }
    }
}

fn is_kernel_thread(root: &OwnedFd, tgid: u32) -> bool {
    let mut text = Vec::new();
    open_dir(root, &tgid.to_string())
        .and_then(|dir| read_file(&dir, c"stat", &mut text))
        .is_ok_and(|()| Stat::parse(&text).is_some_and(|stat| stat.flags & PF_KTHREAD != 0))
}

/// Buffers that live for one scan.
#[derive(Debug, Default)]
struct TaskReader {
    text: Vec<u8>,
    placements: HashMap<Vec<u8>, Placement>,
}

impl TaskReader {
    /// None: it is exiting. The flag: a namespace link was refused. All reads go through one directory descriptor, which
    /// stands for one `struct pid`, so a reused number cannot mix two threads.
    fn read(&mut self, tasks: &OwnedFd, tid: u32) -> Result<Option<(ScannedTask, bool)>, ReadError> {
        let boot_ns = clock::boot_ns();
        let dir = open_dir(tasks, &tid.to_string())?;
        read_file(&dir, c"stat", &mut self.text)?;
        let stat = Stat::parse(&self.text).ok_or(ReadError::Malformed("stat"))?;
        if stat.flags & PF_EXITING != 0 || matches!(stat.state, b'Z' | b'X' | b'x') {
            return Ok(None);
        }
        let (flags, start_boottime) = (stat.flags, stat.start_boottime);
        // `stat` escapes backslash and newline; `comm` does not.
        let comm = (!stat.comm.contains(&b'\\')).then(|| Comm::new(stat.comm));
        let (slots, denied) = read_slots(dir.as_fd());
        read_file(&dir, c"status", &mut self.text)?;
        let status = Status::parse(&self.text)?;
        let placement = self.placement(&dir)?;
        let comm = match comm {
            Some(comm) => comm,
            None => {
                read_file(&dir, c"comm", &mut self.text)?;
                Comm::new(self.text.strip_suffix(b"\n").unwrap_or(&self.text))
            }
        };
        let task = TaskInfo {
            key: TaskKey { tid, start_boottime },
            tgid: status.tgid,
            uid: status.uid,
            euid: status.euid,
            cap_effective: status.cap_effective,
            cgroup: 0,
            flags,
            pids: Pids::new(if status.pids.is_empty() { std::slice::from_ref(&tid) } else { &status.pids }),
            comm,
        };
        Ok(Some((ScannedTask { boot_ns, task, slots, placement }, denied)))
    }

    fn placement(&mut self, dir: &OwnedFd) -> Result<Placement, ReadError> {
        match read_file(dir, c"cgroup", &mut self.text) {
            Ok(()) => {}
            // A kernel without cgroups has no such file; a task that ended fails everywhere else too.
            Err(ReadError::Gone) => return Ok(Placement::default()),
            Err(error) => return Err(error),
        }
        if let Some(known) = self.placements.get(&self.text) {
            return Ok(known.clone());
        }
        let placement = Placement::parse(&self.text);
        if self.placements.len() < PLACEMENTS {
            self.placements.insert(self.text.clone(), placement.clone());
        }
        Ok(placement)
    }
}

/// The ten slots of the task behind the directory `dir` by readlink, and whether one of them was refused.
///
/// A link that is absent or empty is no loss: a kernel without that type, a thread without nsproxy, or
/// `pid_for_children` before its first child.
fn read_slots(dir: BorrowedFd<'_>) -> (SlotSet, bool) {
    let mut slots = SlotSet::default();
    let mut denied = false;
    let mut buffer = [0; libc::PATH_MAX as usize];
    for (slot, name) in Slot::ALL.into_iter().zip(NS_LINKS) {
        match read_link(dir, name, &mut buffer) {
            Ok(link) => {
                let named = parse_ns_link(link).filter(|(ns_type, _)| *ns_type == slot.ns_type());
                slots.set(slot, named.map(|(ns_type, inum)| NsName { ns_type, inum, id: None }));
            }
            Err(ReadError::Denied) => denied = true,
            Err(_) => {}
        }
    }
    // proc_ns_readlink says EACCES of a task that is gone as well.
    let gone = denied && rustix::fs::statat(dir, c"stat", rustix::fs::AtFlags::empty()).is_err();
    (slots, denied && !gone)
}
