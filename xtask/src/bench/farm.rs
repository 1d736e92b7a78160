//! A farm of processes in namespaces of their own, for measuring: made to size, gone when whoever asked for it is gone.
//!
//! A cell is one process in a new namespace of each of the eight types with fourteen children, so that 4,500 processes live
//! in 2,400 namespaces. Every process has [`DESCRIPTORS`] file descriptors, five of them sockets.

use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _, stdin, stdout};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::{io, ptr};

use anyhow::{Context as _, Result, ensure};

/// Processes of a cell.
pub const CELL: usize = 15;
/// New namespaces of a cell.
pub const NAMESPACES: usize = 8;
/// Descriptors of each process.
const DESCRIPTORS: usize = 15;

/// The program of the farm: reads numbers of cells, one a line, grows to each, and answers `ready` when every process of it
/// sleeps with its descriptors open. Ends, with all processes, at the end of its input, or when it is killed.
pub fn run() -> Result<()> {
    // What we inherited beyond stdin, stdout and stderr would be a descriptor of every process.
    // SAFETY: nothing has been opened yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    // Every process reads from `alive`, whose other end only this process has: its end ends them.
    let (alive, life) = pipe()?;
    let (ready, word) = pipe()?;
    let mut ready = File::from(ready);
    let mut cells = 0;
    for line in stdin().lock().lines() {
        let line = line?;
        let wanted: usize = line.trim().parse().with_context(|| format!("not a number of cells: {line}"))?;
        while cells < wanted {
            if clone_into_new_namespaces()? == 0 {
                drop((life, ready));
                cell(&alive, word);
            }
            let mut words = [0; CELL];
            ready.read_exact(&mut words).context("a cell did not come to be")?;
            ensure!(words == [DESCRIPTORS as u8; CELL], "a process has another number of descriptors: {words:?}");
            cells += 1;
        }
        println!("ready");
        stdout().flush()?;
    }
    drop(life);
    // SAFETY: no memory is passed.
    while unsafe { libc::wait(ptr::null_mut()) } > 0 {}
    Ok(())
}

/// The first process of a cell, which makes the others.
fn cell(alive: &OwnedFd, word: OwnedFd) -> ! {
    for _ in 1..CELL {
        // SAFETY: this process has one thread.
        if unsafe { libc::fork() } == 0 {
            break;
        }
    }
    let open = descriptors().map_or(0, |()| count());
    // A farm that is gone wants no word.
    let _ = File::from(word).write_all(&[open]);
    let mut byte = 0_u8;
    // SAFETY: one byte is written to `byte`; the process ends without running what belongs to its parent.
    unsafe {
        libc::read(alive.as_raw_fd(), (&raw mut byte).cast(), 1);
        libc::_exit(0);
    }
}

/// Opens what is missing to [`DESCRIPTORS`]: the end of a pipe that the process waits at is there already.
fn descriptors() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let mut pair = [0; 2];
    // SAFETY: plain descriptors; the array has room for two.
    unsafe {
        for standard in 0..3 {
            check(libc::dup2(null.as_raw_fd(), standard))?;
        }
        for _ in 0..2 {
            check(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()))?;
            check(libc::pipe(pair.as_mut_ptr()))?;
        }
        check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0))?;
        check(libc::eventfd(0, 0))?;
        check(libc::open(c"/".as_ptr(), libc::O_RDONLY))?;
    }
    Ok(())
}

/// Descriptors of this process without the one that it says so through.
fn count() -> u8 {
    // SAFETY: asks about numbers only.
    let open = (0..64).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0).count();
    u8::try_from(open - 1).unwrap_or(0)
}

/// The child returns 0.
fn clone_into_new_namespaces() -> io::Result<libc::c_long> {
    let new = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWTIME;
    // The first five of struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal; then stack, its size, tls.
    let arguments = [new.cast_unsigned().into(), 0, 0, 0, libc::SIGCHLD.cast_unsigned().into(), 0, 0, 0_u64];
    // SAFETY: no memory is shared, so this is a fork; the process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors, which nobody else owns.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

fn check(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}
