//! Code for the kernel: a module, a BPF program, another kernel.

use std::{ffi::CString, fs::File, os::fd::AsRawFd};

use nstrace_tests::escape::act::Given;

use crate::attempt::{Attempt, Technique, check, done, skip};

pub const ALL: &[Technique] = &[("module-load", module), ("bpf-load", bpf), ("kexec-denied", kexec)];

/// One that nobody needs, and gone again.
fn module(given: &Given) -> Attempt {
    let Some(module) = &given.module else { return skip("no module to play with") };
    let file = File::open(format!("/shared/{module}.ko"))?;
    // SAFETY: the parameters are a NUL-terminated string.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })?;
    let name = CString::new(module.as_str()).unwrap_or_default();
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })?;
    done(module)
}

/// `r0 = 0; exit`, of a kind that sees what the kernel does for others; attached to nothing.
fn bpf(_: &Given) -> Attempt {
    const PROG_LOAD: u32 = 5;
    const TRACEPOINT: u32 = 5;
    const PROGRAM: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    /// The head of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Attr {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
    }
    let attr = Attr {
        prog_type: TRACEPOINT,
        insn_cnt: 2,
        insns: PROGRAM.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // Before 5.11 the memory of programs counts as locked; who may not raise the limit finds out by the call.
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `unlimited` outlives the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    // SAFETY: `attr` and what it points to outlive the call.
    let fd = check(unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attr, size_of::<Attr>()) })?;
    nstrace_tests::sys::close(fd as i32);
    done("a tracepoint program")
}

/// Without CAP_SYS_BOOT, and no segment: nothing would be loaded if it were allowed.
fn kexec(_: &Given) -> Attempt {
    // SAFETY: no segments, so no memory is read.
    check(unsafe { libc::syscall(libc::SYS_kexec_load, 0, 0, std::ptr::null::<u8>(), 0) })?;
    done("kexec_load")
}
