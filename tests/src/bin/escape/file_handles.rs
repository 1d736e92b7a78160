//! A file of the host by its handle (open_by_handle_at(2)): "shocker".

use nstrace_tests::escape::act::{Given, SECRET};
use rustix::fs::{CWD, Mode, OFlags};

use crate::attempt::{Attempt, Technique, check, done, skip};

pub const ALL: &[Technique] = &[("file-handle", open), ("file-handle-denied", open)];

/// Any directory of the same file system is enough of a way in; `/shared` is one.
fn open(given: &Given) -> Attempt {
    let (handle_type, bytes) = &given.handle;
    if bytes.is_empty() {
        return skip("the stage's file system has no handles");
    }
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    let mut handle = [&length.to_ne_bytes()[..], &handle_type.to_ne_bytes()[..], bytes].concat();
    let way_in = rustix::fs::openat(CWD, "/shared", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let way_in = std::os::fd::AsRawFd::as_raw_fd(&way_in);
    // SAFETY: `handle` is a struct file_handle with the length it says.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_by_handle_at, way_in, handle.as_mut_ptr(), libc::O_RDONLY) })?;
    let mut read = [0u8; SECRET.len()];
    // SAFETY: the buffer is valid for its length; the kernel just gave the descriptor.
    check(unsafe { libc::read(fd as i32, read.as_mut_ptr().cast(), read.len()) } as libc::c_long)?;
    if read == SECRET.as_bytes() { done("read by handle") } else { skip("another file") }
}
