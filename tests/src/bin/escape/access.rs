//! Hands on a task of the host: ptrace(2), `/proc/PID/mem`, process_vm_readv(2), pidfd_getfd(2).

use std::{fs::OpenOptions, os::unix::fs::FileExt};

use nstrace_tests::{
    escape::act::{Given, SECRET},
    sys,
};

use crate::attempt::{Attempt, Technique, check, done, skip};

pub const ALL: &[Technique] = &[
    ("ptrace-seize", seize),
    ("proc-environ", environment),
    ("proc-root-mkdir", make_folder),
    ("proc-mem", memory),
    ("process-vm-readv", read_memory),
    ("pidfd-getfd", take_descriptor),
    ("ptrace-denied", seize),
];

/// The tracer's end detaches it.
fn seize(given: &Given) -> Attempt {
    // SAFETY: PTRACE_SEIZE takes no memory of this process.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, given.host_pid as libc::pid_t, 0, 0) })?;
    done("PTRACE_SEIZE")
}

fn compare(bytes: &[u8]) -> Attempt {
    if bytes == SECRET.as_bytes() { done("read") } else { skip("other bytes are there") }
}

fn environment(given: &Given) -> Attempt {
    let bytes = std::fs::read(format!("/proc/{}/environ", given.host_pid))?;
    done(format!("{} bytes", bytes.len()))
}

/// Changes the host without a file that is opened there.
fn make_folder(given: &Given) -> Attempt {
    let folder = format!("/proc/{}/cwd/made", given.host_pid);
    std::fs::create_dir(&folder)?;
    std::fs::remove_dir(&folder)?;
    done(folder)
}

fn memory(given: &Given) -> Attempt {
    let file = OpenOptions::new().read(true).write(true).open(format!("/proc/{}/mem", given.host_pid))?;
    let mut bytes = [0; SECRET.len()];
    file.read_exact_at(&mut bytes, given.address)?;
    compare(&bytes)
}

fn read_memory(given: &Given) -> Attempt {
    let mut bytes = [0u8; SECRET.len()];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: given.address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the local buffer is valid for its length; the remote one is the kernel's to check.
    let read =
        unsafe { libc::process_vm_readv(given.host_pid as libc::pid_t, &raw const local, 1, &raw const remote, 1, 0) };
    check(read as libc::c_long)?;
    compare(&bytes)
}

fn take_descriptor(given: &Given) -> Attempt {
    let pidfd = sys::pidfd_open(given.host_pid)?;
    // SAFETY: takes integers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, given.fd, 0) })?;
    done(format!("fd {} of {} is {fd}", given.fd, given.host_pid))
}
