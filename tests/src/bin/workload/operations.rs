//! The operations, each as bare system calls.

use std::ffi::CStr;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

/// Something to be done many times.
pub struct Operation {
    pub name: &'static str,
    /// How many times in one loop.
    pub times: u32,
    pub prepare: fn() -> io::Result<State>,
    pub perform: fn(&mut State) -> io::Result<()>,
}

/// What an operation keeps from one time to the next.
#[derive(Default)]
pub struct State {
    /// Two UTS namespaces to go to and fro between.
    namespaces: [libc::c_int; 2],
    turn: usize,
}

/// In the order of the table.
pub const OPERATIONS: [Operation; 8] = [
    Operation { name: "fork-exit", times: 400, prepare: nothing, perform: fork_exit },
    Operation { name: "fork-exit-container", times: 400, prepare: enter_container, perform: fork_exit },
    Operation { name: "exec", times: 150, prepare: nothing, perform: exec },
    Operation { name: "open", times: 5000, prepare: nothing, perform: open },
    Operation { name: "unshare-uts", times: 1000, prepare: nothing, perform: unshare_uts },
    Operation { name: "unshare-net", times: 40, prepare: nothing, perform: unshare_net },
    Operation { name: "setns", times: 1000, prepare: two_namespaces, perform: setns },
    Operation { name: "clone-all", times: 40, prepare: nothing, perform: clone_all },
];

const ALL: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWTIME;

fn nothing() -> io::Result<State> {
    Ok(State::default())
}

/// As a container engine does it: everything but a user namespace, and the work is done by a child, so that it is in the
/// new pid and time namespaces too.
fn enter_container() -> io::Result<State> {
    check(unshare(ALL & !libc::CLONE_NEWUSER))?;
    // SAFETY: one thread; the child goes on as a copy, the parent only waits and passes the status on.
    let child = check(unsafe { libc::fork() })?;
    if child > 0 {
        std::process::exit(wait(child)?);
    }
    Ok(State::default())
}

fn two_namespaces() -> io::Result<State> {
    let here = |_: usize| {
        // SAFETY: a constant path.
        check(unsafe { libc::open(c"/proc/self/ns/uts".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })
    };
    let first = here(0)?;
    check(unshare(libc::CLONE_NEWUTS))?;
    Ok(State { namespaces: [first, here(1)?], turn: 0 })
}

fn fork_exit(_: &mut State) -> io::Result<()> {
    // SAFETY: one thread; the child ends at once.
    let child = check(unsafe { libc::fork() })?;
    if child == 0 {
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    ended_well(child)
}

fn exec(_: &mut State) -> io::Result<()> {
    const PROGRAM: &CStr = c"/proc/self/exe";
    let arguments = [c"workload".as_ptr(), c"exit".as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    // SAFETY: one thread; the child executes at once; path, arguments and environment are constants and end in null.
    let child = unsafe {
        let child = check(libc::fork())?;
        if child == 0 {
            libc::execve(PROGRAM.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
        child
    };
    ended_well(child)
}

fn open(_: &mut State) -> io::Result<()> {
    // SAFETY: a constant path; the descriptor is our own.
    unsafe {
        let fd = check(libc::open(c"/etc/hostname".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC))?;
        check(libc::close(fd))?;
    }
    Ok(())
}

fn unshare_uts(_: &mut State) -> io::Result<()> {
    check(unshare(libc::CLONE_NEWUTS)).map(drop)
}

fn unshare_net(_: &mut State) -> io::Result<()> {
    check(unshare(libc::CLONE_NEWNET)).map(drop)
}

fn setns(state: &mut State) -> io::Result<()> {
    state.turn ^= 1;
    // SAFETY: takes descriptors only.
    check(unsafe { libc::setns(state.namespaces[state.turn], libc::CLONE_NEWUTS) }).map(drop)
}

fn clone_all(_: &mut State) -> io::Result<()> {
    // The first five of struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal; then stack, its size, tls.
    let arguments = [ALL.cast_unsigned().into(), 0, 0, 0, libc::SIGCHLD.cast_unsigned().into(), 0, 0, 0_u64];
    // SAFETY: no memory is shared, so this is a fork; one thread; the child ends at once.
    let child = unsafe {
        let child = libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments));
        if child == 0 {
            libc::_exit(0);
        }
        child
    };
    ended_well(check(child as libc::c_int)?)
}

/// `rate` times a second for `seconds`: one `unshare(CLONE_NEWUTS)`, evenly spread as far as the machine keeps up. Prints
/// how many were made.
pub fn at_rate(rate: u32, seconds: u32) -> io::Result<()> {
    let start = Instant::now();
    let end = Duration::from_secs(seconds.into());
    let mut made: u64 = 0;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= end {
            break;
        }
        let due = (elapsed.as_secs_f64() * f64::from(rate)) as u64;
        // A late one is not made up for in one burst.
        for _ in 0..(due.saturating_sub(made)).min(64) {
            check(unshare(libc::CLONE_NEWUTS))?;
            made += 1;
        }
        if due <= made {
            std::thread::sleep(Duration::from_secs_f64(1.0 / f64::from(rate)));
        }
    }
    println!("rate {made} {}", start.elapsed().as_nanos());
    Ok(())
}

fn unshare(flags: libc::c_int) -> libc::c_int {
    // SAFETY: takes flags only.
    unsafe { libc::unshare(flags) }
}

fn ended_well(child: libc::pid_t) -> io::Result<()> {
    match wait(child)? {
        0 => Ok(()),
        status => Err(io::Error::other(format!("a child ended with {status}"))),
    }
}

/// Exit status of a child; 128 when a signal ended it.
pub fn wait(child: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    check(unsafe { libc::waitpid(child, &raw mut status, 0) })?;
    Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 })
}

fn check(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}
