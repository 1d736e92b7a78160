//! What processes of a container have open outside of it.

use std::collections::HashSet;

use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags},
    io::Errno,
};

use crate::{
    audit::facts::{Outside, OutsideKind},
    discover::{Holder, Proc},
    event::PinHolder,
    inspect::{
        processes::{Process, ProcessTable},
        seen::Seen,
        task::NsRef,
        task_dir::{TaskDir, read_at},
    },
};

/// Most descriptors looked at of one process; a container with more is not known.
const MOST: usize = 16_384;

/// Of a container's processes. `namespaces`: all open ones, None when they could not be listed; `host_mounts`: ids of the mounts of the initial mount namespace, None when the container
/// lives there itself.
pub fn outside(
    proc: &Proc,
    table: &ProcessTable,
    processes: &[&Process],
    namespaces: Option<&[Holder]>,
    host_mounts: Option<&HashSet<i32>>,
) -> Seen<Vec<Outside>> {
    let Some(namespaces) = namespaces else { return Seen::Unreadable(Errno::IO) };
    let mut found = Vec::new();
    for process in processes {
        let pid = process.status.pid;
        let new = |what| Outside { pid, comm: process.status.name.clone(), what };
        for held in namespaces {
            if let PinHolder::Fd { tgid, fd } = held.holder
                && tgid == pid
            {
                let what = OutsideKind::Namespace { fd, ns: NsRef(held.ns), initial: table.is_initial(held.ns) };
                found.push(new(what));
            }
        }
        match directories(proc, pid, host_mounts) {
            Ok(directories) => found.extend(directories.into_iter().map(new)),
            // It ended.
            Err(Errno::NOENT | Errno::SRCH) => {}
            Err(errno) => return Seen::Unreadable(errno),
        }
    }
    Seen::Is(found)
}

/// An error also where only the descriptors of namespaces would have been of interest: those were not seen either.
fn directories(proc: &Proc, pid: u32, host_mounts: Option<&HashSet<i32>>) -> Result<Vec<OutsideKind>, Errno> {
    let dir = TaskDir::open(proc, pid)?;
    let fds = rustix::fs::openat(&dir, "fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut found = Vec::new();
    let Some(host_mounts) = host_mounts else { return Ok(found) };
    let there = OFlags::PATH | OFlags::CLOEXEC;
    // A file held by path has an fdinfo of its own, which names the mount.
    let cwd = rustix::fs::openat(&dir, "cwd", there, Mode::empty())?;
    if mount_of(&cwd).is_some_and(|mount| host_mounts.contains(&mount)) {
        found.push(OutsideKind::Cwd { path: text(&dir.link("cwd")?) });
    }
    let mut seen = 0;
    for entry in Dir::read_from(&fds)? {
        let entry = entry?;
        let Some(fd) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else { continue };
        seen += 1;
        if seen > MOST {
            return Err(Errno::FBIG);
        }
        let Ok(link) = rustix::fs::readlinkat(&fds, entry.file_name(), Vec::new()) else { continue };
        if !link.as_bytes().starts_with(b"/") || !is_directory(&fds, entry.file_name()) {
            continue;
        }
        let info = dir.read(&format!("fdinfo/{fd}")).unwrap_or_default();
        if mount_id(&info).is_some_and(|mount| host_mounts.contains(&mount)) {
            found.push(OutsideKind::Directory { fd, path: text(link.as_bytes()) });
        }
    }
    Ok(found)
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Without asking a server that may not answer.
fn is_directory(fds: &OwnedFd, name: &std::ffi::CStr) -> bool {
    let stat = rustix::fs::statx(fds, name, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory)
}

/// By our own descriptor of it, in the real `/proc`.
fn mount_of(file: impl AsFd) -> Option<i32> {
    let info = read_at(CWD, format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd())).ok()?;
    mount_id(&info)
}

/// `mnt_id` of `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).
fn mount_id(info: &[u8]) -> Option<i32> {
    let line = info.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_ids() {
        assert_eq!(mount_id(b"pos:\t0\nflags:\t02\nmnt_id:\t25\nino:\t7\n"), Some(25));
        assert_eq!(mount_id(b"pos:\t0\n"), None);
        assert_eq!(mount_id(b"mnt_id:\tx\n"), None);
    }
}
