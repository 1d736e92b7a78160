//! Performing operations, and saying what came of them.

use std::{os::fd::RawFd, sync::atomic::Ordering::Relaxed};

use nstrace_tests::{
    kinds::{KINDS, SLOTS, kind, type_of_slot},
    sys,
};

use crate::{
    actor::{Actor, namespace_of, say},
    fuzz, messages,
    op::{Nstype, Op, Whose},
    record::Record,
    spawn,
};

/// Descriptors and mounts that one process collects.
const MOST_FDS: usize = 40;
const MOST_MOUNTS: usize = 12;
const MOST_CHILDREN: usize = 8;

fn pick<T>(list: &[T], index: u8) -> Option<usize> {
    (!list.is_empty()).then(|| usize::from(index) % list.len())
}

/// The process still has its mounts.
fn nothing_lost() -> bool {
    std::fs::read_link("/proc/thread-self").is_ok()
}

impl Actor {
    pub fn perform_all(&mut self, ops: &[Op]) {
        for op in ops {
            self.perform(op);
        }
    }

    fn perform(&mut self, op: &Op) {
        self.family.operations.fetch_add(1, Relaxed);
        match op {
            Op::Unshare { flags, map } => self.unshare(*flags, *map),
            Op::Spawn { how, flags, ops, then } => {
                if self.children.len() < MOST_CHILDREN {
                    spawn::child(self, *how, *flags, ops, *then);
                }
            }
            Op::Kill { child } => {
                if let Some(index) = pick(&self.children, *child) {
                    let child = self.children.swap_remove(index);
                    self.kill(child);
                }
            }
            Op::Open { whose, slot, path_only, close_on_exec } => {
                let flags = if *path_only { libc::O_PATH } else { 0 };
                let flags = flags | if *close_on_exec { libc::O_CLOEXEC } else { 0 };
                if let Some(path) = self.link(*whose, *slot)
                    && self.fds.len() < MOST_FDS
                {
                    self.fds.extend(sys::open_with(&path, flags));
                }
            }
            Op::Dup { fd } => {
                if let Some(index) = pick(&self.fds, *fd)
                    && self.fds.len() < MOST_FDS
                {
                    self.fds.extend(sys::dup(self.fds[index]));
                }
            }
            Op::Close { fd } => {
                if let Some(index) = pick(&self.fds, *fd) {
                    sys::close(self.fds.swap_remove(index));
                }
            }
            Op::Setns { fd, nstype } => self.setns(*fd, *nstype),
            Op::SetnsPidfd { whose, flags } => self.setns_pidfd(*whose, *flags),
            Op::SetnsBad { closed, flags } => {
                let result = sys::setns(if *closed { -1 } else { 1 }, *flags);
                self.called("setns", *flags, result);
            }
            Op::Send { fd, keep } => {
                if let Some(index) = pick(&self.fds, *fd) {
                    messages::send(self, index, *keep);
                }
            }
            Op::Receive => messages::receive(self),
            Op::Register { fd } => {
                if let Some(index) = pick(&self.fds, *fd) {
                    self.register(self.fds[index]);
                }
            }
            Op::Mount { whose, slot } => {
                if let Some(path) = self.link(*whose, *slot) {
                    self.mount(&path);
                }
            }
            Op::MountFd { fd } => {
                if let Some(index) = pick(&self.fds, *fd) {
                    self.mount(&format!("/proc/self/fd/{}", self.fds[index]));
                }
            }
            Op::Move { mount } => self.move_mount(*mount),
            Op::Umount { mount, lazy } => {
                if let Some(index) = pick(&self.mounts, *mount)
                    && sys::umount_with(&self.mounts[index], if *lazy { libc::MNT_DETACH } else { 0 }).is_ok()
                {
                    let _ = std::fs::remove_file(self.mounts.swap_remove(index));
                }
            }
            Op::Thread { ops, linger } => spawn::thread(self, ops, *linger),
            Op::BecomeNobody => {
                // The end of nobody is no signal to root.
                self.kill_all();
                let _ = sys::become_nobody();
            }
            Op::Limit { kind, max } => {
                // Of the initial user namespace it would be everybody's limit.
                if !self.is_initial("user") {
                    let kind = KINDS[usize::from(*kind) % KINDS.len()];
                    let _ = std::fs::write(format!("/proc/sys/user/max_{}_namespaces", kind.name), max.to_string());
                }
            }
            Op::Fuzz { children, millis, seed } => fuzz::run(self, *children, *millis, *seed),
        }
    }

    fn unshare(&mut self, flags: u64, map: bool) {
        let root = sys::open_with("/", libc::O_PATH | libc::O_CLOEXEC);
        let result = sys::unshare(flags);
        if let Ok(root) = root {
            // A kernel that got as far as the new mount table before it failed has put this process into it, and taken the
            // table apart (unshare_fs of a process with one thread, see copy_mnt_ns).
            if result.is_err() && !nothing_lost() && (sys::chroot_to(root).is_err() || !nothing_lost()) {
                say(&Record::Exit { pid: self.pid });
                sys::exit(0);
            }
            sys::close(root);
        }
        self.called("unshare", flags, result);
        if result.is_ok() {
            self.settle_in(flags, map);
        }
    }

    /// What one does first in new namespaces.
    pub fn settle_in(&mut self, flags: u64, map: bool) {
        if flags & kind("user").flag != 0 && map {
            let _ = std::fs::write("/proc/self/setgroups", "deny");
            let _ = std::fs::write("/proc/self/uid_map", "0 0 1");
            let _ = std::fs::write("/proc/self/gid_map", "0 0 1");
        }
        if flags & kind("mnt").flag != 0 {
            // Nothing mounted here may reach the machine's own mounts.
            let _ = sys::mount("none", "/", libc::MS_REC | libc::MS_PRIVATE);
        }
    }

    fn setns(&mut self, fd: u8, nstype: Nstype) {
        let Some(index) = pick(&self.fds, fd) else { return };
        let fd = self.fds[index];
        let right = namespace_of(fd).map_or(0, |(ns_type, _)| kind(&ns_type).flag);
        let nstype = match nstype {
            Nstype::Zero => 0,
            Nstype::Right => right,
            Nstype::Wrong => kind(if right == kind("uts").flag { "ipc" } else { "uts" }).flag,
        };
        let result = sys::setns(fd, nstype);
        self.called("setns", nstype, result);
    }

    fn setns_pidfd(&mut self, whose: Whose, flags: u64) {
        let target = match whose {
            // pidfd_open(2) wants the number of the caller's own pid namespace.
            Whose::Own => Some(std::process::id()),
            Whose::Child(index) => pick(&self.children, index).map(|index| self.children[index].local),
            Whose::Worker(_) => None,
        };
        let Some(target) = target else { return };
        let Ok(fd) = sys::pidfd_open(target) else { return };
        let result = sys::setns(fd, flags);
        self.called("setns", flags, result);
        sys::close(fd);
    }

    fn register(&mut self, fd: RawFd) {
        let Some((ns_type, inum)) = namespace_of(fd) else { return };
        if self.ring.is_none()
            && let Ok(ring) = sys::io_uring()
        {
            if sys::io_uring_register(ring, fd).is_ok() {
                self.ring = Some(ring);
                say(&Record::Registered { pid: self.pid, ns_type, inum });
            } else {
                sys::close(ring);
            }
        }
    }

    /// The path of a link below `/proc/PID/ns`.
    fn link(&self, whose: Whose, slot: u8) -> Option<String> {
        let slot = SLOTS[usize::from(slot) % SLOTS.len()];
        let folder = match whose {
            Whose::Own => "thread-self".to_owned(),
            Whose::Child(index) => self.children[pick(&self.children, index)?].pid.to_string(),
            // Killing the init of its pid namespace would kill members in the middle of what they do and say.
            Whose::Worker(_) if type_of_slot(slot) == "pid" => return None,
            Whose::Worker(index) => {
                let pid = self.family.workers[pick(&self.family.workers, index)?];
                if pid == self.pid {
                    return None;
                }
                pid.to_string()
            }
        };
        debug_assert!(kind(type_of_slot(slot)).flag != 0);
        Some(format!("/proc/{folder}/ns/{slot}"))
    }

    fn new_mount_point(&self) -> Option<String> {
        // Not on the machine's own mounts.
        if self.is_initial("mnt") || self.mounts.len() >= MOST_MOUNTS {
            return None;
        }
        let path = format!("{}/{}-{}", self.family.folder, self.tid, self.family.operations.load(Relaxed));
        std::fs::write(&path, "").ok()?;
        Some(path)
    }

    fn mount(&mut self, source: &str) {
        let Some(point) = self.new_mount_point() else { return };
        match sys::bind_mount(source, &point) {
            Ok(()) => self.mounts.push(point),
            Err(_) => drop(std::fs::remove_file(point)),
        }
    }

    fn move_mount(&mut self, mount: u8) {
        let Some(index) = pick(&self.mounts, mount) else { return };
        let Some(point) = self.new_mount_point() else { return };
        match sys::mount(&self.mounts[index], &point, libc::MS_MOVE) {
            Ok(()) => self.mounts[index] = point,
            Err(_) => drop(std::fs::remove_file(point)),
        }
    }
}
