//! The program that a host task runs, opened for writing: the way to the runtime's binary.

use std::{fs::OpenOptions, os::fd::AsRawFd};

use nstrace_tests::{escape::act::Given, sys};
use rustix::fs::{CWD, Mode, OFlags};

use crate::attempt::{Attempt, Technique, done};

pub const ALL: &[Technique] = &[("executable-write", write), ("executable-write-busy", write_busy)];

/// Held while it runs, opened once it has ended: nobody may write to a program that runs.
fn write(given: &Given) -> Attempt {
    let exe = format!("/proc/{}/exe", given.prey_pid);
    let held = rustix::fs::openat(CWD, exe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let pidfd = sys::pidfd_open(given.prey_pid)?;
    sys::kill(given.prey_pid, libc::SIGKILL);
    let mut ended = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&raw mut ended, 1, -1) };
    OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", held.as_raw_fd()))?;
    done("opened after its end")
}

/// Refused with ETXTBSY as long as it runs.
fn write_busy(given: &Given) -> Attempt {
    OpenOptions::new().write(true).open(format!("/proc/{}/exe", given.host_pid))?;
    done("opened while it runs")
}
