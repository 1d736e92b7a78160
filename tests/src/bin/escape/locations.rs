//! Files of the host without a mount of them: through a host task's root and working directory, a leaked descriptor.

use std::{fs, os::fd::BorrowedFd};

use nstrace_tests::escape::act::{Given, LEAKED_FD, SECRET, SECRET_FILE};
use rustix::fs::{Mode, OFlags};

use crate::attempt::{Attempt, Technique, done, skip};

pub const ALL: &[Technique] = &[
    ("root-link", root_link),
    ("cwd-link", cwd_link),
    ("leaked-fd", leaked_fd),
    ("leaked-fd-fchdir", leaked_fd_fchdir),
    ("leaked-cwd", leaked_cwd),
];

/// Reads the secret at `path`: nothing else proves that the host was reached.
fn read(path: &str) -> Attempt {
    if fs::read_to_string(path)? == SECRET { done(path) } else { skip(format!("{path} is another file")) }
}

fn root_link(given: &Given) -> Attempt {
    read(&format!("/proc/{}/root{}", given.host_pid, given.secret_path))
}

/// The victim's working directory is the folder of the secret.
fn cwd_link(given: &Given) -> Attempt {
    read(&format!("/proc/{}/cwd/{SECRET_FILE}", given.host_pid))
}

fn leaked() -> BorrowedFd<'static> {
    // SAFETY: the runtime left it open, else the calls on it fail with EBADF; nobody closes it.
    unsafe { BorrowedFd::borrow_raw(LEAKED_FD) }
}

fn leaked_fd(_: &Given) -> Attempt {
    let file = rustix::fs::openat(leaked(), SECRET_FILE, OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = [0; SECRET.len()];
    rustix::io::read(&file, &mut bytes)?;
    if bytes == SECRET.as_bytes() { done("openat") } else { skip("another file") }
}

/// Out of the root by fchdir(2), then anywhere.
fn leaked_fd_fchdir(given: &Given) -> Attempt {
    rustix::process::fchdir(leaked())?;
    let up = "../".repeat(given.secret_path.matches('/').count());
    read(&format!("{up}{}", given.secret_path.trim_start_matches('/')))
}

/// The runtime itself started this with a working directory outside.
fn leaked_cwd(_: &Given) -> Attempt {
    read(SECRET_FILE)
}
