//! The system calls under test, made raw: no library stands between the scenario and the kernel.

use std::{ffi::CString, io, os::fd::RawFd, sync::atomic::AtomicU64};

/// An errno, with its name as errno(3) spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    pub fn name(self) -> String {
        let name = match self.0 {
            libc::EPERM => "EPERM",
            libc::ESRCH => "ESRCH",
            libc::EBADF => "EBADF",
            libc::ENOMEM => "ENOMEM",
            libc::EACCES => "EACCES",
            libc::EEXIST => "EEXIST",
            libc::EINVAL => "EINVAL",
            libc::ENOSPC => "ENOSPC",
            libc::EUSERS => "EUSERS",
            libc::ENOSYS => "ENOSYS",
            libc::EAGAIN => "EAGAIN",
            libc::ENOENT => "ENOENT",
            libc::EBUSY => "EBUSY",
            libc::EXDEV => "EXDEV",
            libc::ENODEV => "ENODEV",
            libc::ENOTDIR => "ENOTDIR",
            libc::ENOEXEC => "ENOEXEC",
            libc::EROFS => "EROFS",
            libc::ETXTBSY => "ETXTBSY",
            libc::ELOOP => "ELOOP",
            libc::ECONNREFUSED => "ECONNREFUSED",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::ESTALE => "ESTALE",
            other => return other.to_string(),
        };
        name.to_owned()
    }
}

fn check(ret: libc::c_long) -> Result<libc::c_long, Errno> {
    if ret < 0 { Err(Errno::last()) } else { Ok(ret) }
}

pub fn unshare(flags: u64) -> Result<(), Errno> {
    // SAFETY: takes one integer.
    check(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

pub fn setns(fd: RawFd, nstype: u64) -> Result<(), Errno> {
    // SAFETY: takes two integers.
    check(unsafe { libc::syscall(libc::SYS_setns, fd, nstype) }).map(drop)
}

pub fn pidfd_open(pid: u32) -> Result<RawFd, Errno> {
    // SAFETY: takes two integers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
        .map(|fd| RawFd::try_from(fd).expect("an fd is an int"))
}

/// fork(2); 0 in the child.
pub fn fork() -> Result<u32, Errno> {
    // SAFETY: this process has one thread, so the child may go on as it likes.
    check(unsafe { libc::fork() }.into()).map(pid_of)
}

/// clone(2) without a new stack or shared memory: like fork(2); 0 in the child.
pub fn clone(flags: u64) -> Result<u32, Errno> {
    let flags = flags | libc::SIGCHLD as u64;
    // SAFETY: no CLONE_VM, so a null stack means a copy of the caller's; the other pointers are unused.
    check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }).map(pid_of)
}

/// `struct clone_args` (include/uapi/linux/sched.h), version 2.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3(2), with the wanted pids of the child (innermost namespace first); 0 in the child.
///
/// `flags` may include what clone(2) cannot say (`CLONE_NEWTIME`).
pub fn clone3(flags: u64, set_tid: &[i32]) -> Result<u32, Errno> {
    let args = CloneArgs {
        flags,
        exit_signal: libc::SIGCHLD as u64,
        set_tid: if set_tid.is_empty() { 0 } else { set_tid.as_ptr().addr() as u64 },
        set_tid_size: set_tid.len() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: `args` and `set_tid` outlive the call; no CLONE_VM, so the child gets a copy of the stack.
    check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) }).map(pid_of)
}

fn pid_of(ret: libc::c_long) -> u32 {
    u32::try_from(ret).expect("a pid is not negative")
}

/// exit_group(2) without any clean-up.
pub fn exit(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}

/// Ends the calling thread alone.
pub fn exit_thread() -> ! {
    // SAFETY: SYS_exit ends this thread; nothing of it is used afterwards.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
        libc::_exit(0)
    }
}

/// waitpid(2): the raw wait status.
pub fn wait(pid: u32) -> Result<i32, Errno> {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    check(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }.into())?;
    Ok(status)
}

/// kill(2); false when it may not, or nobody has that pid.
pub fn kill(pid: u32, signal: i32) -> bool {
    // SAFETY: takes two integers.
    unsafe { libc::kill(pid as i32, signal) == 0 }
}

/// Closes a file descriptor number.
pub fn close(fd: RawFd) {
    // SAFETY: the scenario owns the number.
    unsafe { libc::close(fd) };
}

pub fn open(path: &str) -> Result<RawFd, Errno> {
    open_with(path, libc::O_CLOEXEC)
}

/// open(2) for reading, with more flags: `O_PATH`, `O_CLOEXEC`.
pub fn open_with(path: &str, flags: i32) -> Result<RawFd, Errno> {
    let path = CString::new(path).expect("a path without NUL");
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | flags) }.into())
        .map(|fd| RawFd::try_from(fd).expect("an fd is an int"))
}

/// Makes an open directory the root and working directory: fchdir(2), chroot(2).
pub fn chroot_to(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: an integer and a NUL-terminated string.
    unsafe {
        check(libc::fchdir(fd).into())?;
        check(libc::chroot(c".".as_ptr()).into()).map(drop)
    }
}

/// dup(2).
pub fn dup(fd: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: takes one integer.
    check(unsafe { libc::dup(fd) }.into()).map(|fd| RawFd::try_from(fd).expect("an fd is an int"))
}

/// CLOCK_BOOTTIME in nanoseconds.
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Becomes `uid` for good and drops all capabilities with it.
pub fn become_uid(uid: u32) {
    // SAFETY: integers only; a null list with length 0 is allowed.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0, "setgroups");
        assert_eq!(libc::setresgid(uid, uid, uid), 0, "setresgid");
        assert_eq!(libc::setresuid(uid, uid, uid), 0, "setresuid");
        // Keeps /proc/self readable for what follows.
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
}

/// The calling thread alone becomes nobody, without capabilities, and keeps its `/proc/self` readable.
pub fn become_nobody() -> Result<(), Errno> {
    // The raw calls: the library's would make every thread do it.
    // SAFETY: integers only.
    unsafe {
        check(libc::syscall(libc::SYS_setresgid, 65534, 65534, 65534))?;
        check(libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534))?;
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    Ok(())
}

/// The calling process is killed when the thread that made it ends.
pub fn die_with_parent() {
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Waits for signals, for good.
pub fn pause() -> ! {
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Sets the comm of the calling thread to these bytes (at most 15, no NUL).
pub fn set_comm(name: &[u8]) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: `name` is NUL-terminated.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Bind-mounts `source` on `target`.
pub fn bind_mount(source: &str, target: &str) -> Result<(), Errno> {
    mount(source, target, libc::MS_BIND)
}

/// mount(2) with flags that need neither type nor data: `MS_BIND`, `MS_MOVE`, the propagation types.
pub fn mount(source: &str, target: &str, flags: libc::c_ulong) -> Result<(), Errno> {
    let (source, target) = (CString::new(source).expect("no NUL"), CString::new(target).expect("no NUL"));
    // SAFETY: both paths are NUL-terminated; type and data are not used by these flags.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) }.into())
        .map(drop)
}

pub fn umount(target: &str) -> Result<(), Errno> {
    umount_with(target, 0)
}

/// umount2(2) with `MNT_DETACH` or 0.
pub fn umount_with(target: &str, flags: i32) -> Result<(), Errno> {
    let target = CString::new(target).expect("no NUL");
    // SAFETY: `target` is NUL-terminated.
    check(unsafe { libc::umount2(target.as_ptr(), flags) }.into()).map(drop)
}

/// A socket pair that can pass file descriptors.
pub fn socketpair() -> (RawFd, RawFd) {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two.
    let ret = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, fds.as_mut_ptr()) };
    assert_eq!(ret, 0, "socketpair");
    (fds[0], fds[1])
}

/// `io_uring_setup` of a small ring; its fd.
pub fn io_uring() -> Result<RawFd, Errno> {
    let mut params = [0u32; 30];
    // SAFETY: `params` has the size of struct io_uring_params.
    check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) })
        .map(|fd| RawFd::try_from(fd).expect("an fd is an int"))
}

/// `io_uring_register(IORING_REGISTER_FILES)` of one file.
pub fn io_uring_register(ring: RawFd, fd: RawFd) -> Result<(), Errno> {
    const IORING_REGISTER_FILES: u32 = 2;
    // SAFETY: the kernel reads one int from `fd`.
    check(unsafe { libc::syscall(libc::SYS_io_uring_register, ring, IORING_REGISTER_FILES, &raw const fd, 1) })
        .map(drop)
}

/// `io_uring_setup` with a submission-queue thread; the ring's fd.
pub fn io_uring_sqpoll() -> Result<RawFd, Errno> {
    // struct io_uring_params: 120 bytes; flags is its third u32, sq_thread_idle its fifth.
    const IORING_SETUP_SQPOLL: u32 = 2;
    let mut params = [0u32; 30];
    params[2] = IORING_SETUP_SQPOLL;
    params[4] = 1_000;
    // SAFETY: `params` has the size of struct io_uring_params.
    check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) })
        .map(|fd| RawFd::try_from(fd).expect("an fd is an int"))
}

/// A number that this process and all that it makes have in common, whatever becomes of them.
pub fn shared_counter() -> &'static AtomicU64 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, at no address in particular.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<AtomicU64>(), protection, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED, "mmap");
    // SAFETY: a page of zeros that is never unmapped.
    unsafe { AtomicU64::from_ptr(at.cast()) }
}

/// pipe2(2) with `O_CLOEXEC` off: (reader, writer).
pub fn pipe() -> (RawFd, RawFd) {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two.
    let ret = unsafe { libc::pipe2(fds.as_mut_ptr(), 0) };
    assert_eq!(ret, 0, "pipe2");
    (fds[0], fds[1])
}

/// As [`socketpair`], closed by execve(2).
pub fn socketpair_cloexec() -> (RawFd, RawFd) {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two.
    let ret = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) };
    assert_eq!(ret, 0, "socketpair");
    (fds[0], fds[1])
}

/// Writes four bytes, which a pipe takes whole.
pub fn write_number(fd: RawFd, number: u32) {
    let bytes = number.to_le_bytes();
    // SAFETY: the buffer is valid for its length.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}

/// What [`write_number`] wrote; None when every writer is gone.
pub fn read_number(fd: RawFd) -> Option<u32> {
    let mut bytes = [0u8; 4];
    loop {
        // SAFETY: the buffer is valid for its length.
        match unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) } {
            4 => return Some(u32::from_le_bytes(bytes)),
            -1 if Errno::last() == Errno(libc::EINTR) => {}
            _ => return None,
        }
    }
}

/// Reaps a child that has ended, without waiting for one; its pid.
pub fn reap_any() -> Option<u32> {
    // SAFETY: no status is asked for.
    u32::try_from(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }).ok().filter(|&pid| pid != 0)
}

/// Waits for any child to end and reaps it, with its raw wait status; None when there is none.
pub fn wait_any() -> Option<(u32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writing.
        match unsafe { libc::waitpid(-1, &raw mut status, 0) } {
            -1 if Errno::last() == Errno(libc::EINTR) => {}
            pid => return u32::try_from(pid).ok().map(|pid| (pid, status)),
        }
    }
}

fn child_signal() -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    }
}

/// Keeps SIGCHLD pending until [`await_child`] takes it: in this thread, and in all threads, children and programs that come of
/// it. One thread that does not block it is enough for the kernel to throw it away, because by default it is ignored: at once
/// when that thread is the parent (`sig_ignored`), else when that thread is chosen to take it.
pub fn block_child_signal() {
    let set = child_signal();
    // SAFETY: the set is initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for a SIGCHLD that came since [`block_child_signal`] or the last call.
pub fn await_child() {
    let (set, mut signal) = (child_signal(), 0);
    // SAFETY: the set is initialised.
    unsafe { libc::sigwait(&raw const set, &raw mut signal) };
}

/// Of a child that may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    Runs,
    /// It is reaped now; the raw wait status.
    Ended(i32),
    /// Nobody's, or reaped before.
    None,
}

/// Looks after a child without waiting.
pub fn look_after(pid: u32) -> Child {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    match unsafe { libc::waitpid(pid as i32, &raw mut status, libc::WNOHANG) } {
        0 => Child::Runs,
        -1 => Child::None,
        _ => Child::Ended(status),
    }
}

/// Orphans among the descendants of this process become its children.
pub fn become_subreaper() {
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}
