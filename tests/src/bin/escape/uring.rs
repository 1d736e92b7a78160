//! `IORING_OP_OPENAT` (io_uring_enter(2)): an open that no system call of the task shows.

use std::{
    ffi::CString,
    io,
    os::fd::RawFd,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::attempt::{Refused, check};

/// `struct io_sqring_offsets` and `struct io_cqring_offsets` have the same size (include/uapi/linux/io_uring.h).
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, resv1, then a 64-bit address.
    sq: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1, then a 64-bit address.
    cq: [u32; 10],
}

/// `struct io_uring_sqe`, as openat uses it.
#[repr(C)]
#[derive(Default)]
struct Submission {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    open_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

const OPENAT: u8 = 18;
/// `IOSQE_ASYNC`: by a worker thread.
const BY_WORKER: u8 = 1 << 4;
const RING_SQ: libc::off_t = 0;
const RING_CQ: libc::off_t = 0x800_0000;
const RING_SQES: libc::off_t = 0x1000_0000;

/// Opens `path` with `flags`; the descriptor.
pub fn open(path: &str, flags: i32) -> Result<RawFd, Refused> {
    let path = CString::new(path).map_err(io::Error::other)?;
    let mut params = Params::default();
    // SAFETY: `params` has the size and layout of struct io_uring_params.
    let ring = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, &raw mut params) })? as RawFd;
    let map = |length: usize, offset: libc::off_t| -> Result<*mut u8, Refused> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the ring, nothing of this process is replaced.
        let at = unsafe { libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, ring, offset) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error().into()) } else { Ok(at.cast()) }
    };
    // One page holds rings of four entries.
    let (sq, cq, sqes) = (map(4096, RING_SQ)?, map(4096, RING_CQ)?, map(4096, RING_SQES)?);
    let word = |ring: *mut u8, offset: u32| -> *mut u32 { ring.wrapping_add(offset as usize).cast() };
    let submission = Submission {
        opcode: OPENAT,
        flags: BY_WORKER,
        fd: libc::AT_FDCWD,
        addr: path.as_ptr().addr() as u64,
        open_flags: (flags | libc::O_CLOEXEC).cast_unsigned(),
        ..Submission::default()
    };
    // SAFETY: the mappings are a page each and hold the rings at the offsets that the kernel gave; nobody else uses them.
    let result = unsafe {
        sqes.cast::<Submission>().write(submission);
        word(sq, params.sq[6]).write(0);
        AtomicU32::from_ptr(word(sq, params.sq[1])).store(1, Ordering::Release);
        const GETEVENTS: u32 = 1;
        check(libc::syscall(libc::SYS_io_uring_enter, ring, 1, 1, GETEVENTS, ptr::null::<u8>(), 0))?;
        AtomicU32::from_ptr(word(cq, params.cq[1])).load(Ordering::Acquire);
        // struct io_uring_cqe: user_data, then res.
        word(cq, params.cq[5]).wrapping_add(2).cast::<i32>().read()
    };
    nstrace_tests::sys::close(ring);
    if result < 0 { Err(nstrace_tests::sys::Errno(-result).into()) } else { Ok(result) }
}
