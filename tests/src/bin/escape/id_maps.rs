//! A user namespace whose map names an id that its writer does not own (user_namespaces(7)).

use std::fs;

use nstrace_tests::{escape::act::Given, kinds::kind, sys};
use rustix::thread::{CapabilitySets, set_capabilities};

use crate::attempt::{Attempt, Refused, Technique, done};

pub const ALL: &[Technique] = &[("uid-map-root", map_root), ("uid-map-own", map_own)];

/// A child in a new user namespace that waits; `act` gets its pid.
fn with_child(act: impl FnOnce(u32) -> Attempt) -> Attempt {
    let (ready, tell) = sys::pipe();
    let child = sys::fork()?;
    if child == 0 {
        let made = sys::unshare(kind("user").flag);
        sys::write_number(tell, u32::from(made.is_ok()));
        sys::pause();
    }
    sys::close(tell);
    let attempt = match sys::read_number(ready) {
        Some(1) => act(child),
        _ => Err(Refused::Skip("no user namespace".to_owned())),
    };
    sys::kill(child, libc::SIGKILL);
    sys::wait(child)?;
    sys::close(ready);
    attempt
}

/// By somebody who is not root but has CAP_SETUID: a careless set-uid-map helper.
fn map_root(_: &Given) -> Attempt {
    with_child(|child| {
        rustix::thread::set_keep_capabilities(true)?;
        // SAFETY: takes integers; this process has one thread.
        crate::attempt::check(unsafe { libc::syscall(libc::SYS_setresuid, 1000, 1000, 1000) })?;
        let mut sets = rustix::thread::capabilities(None)?;
        sets.effective = sets.permitted;
        set_capabilities(None, CapabilitySets { ..sets })?;
        let path = format!("/proc/{child}/uid_map");
        fs::write(&path, "0 0 65536")?;
        done(path)
    })
}

/// One's own id only: what `unshare --map-root-user` does.
fn map_own(_: &Given) -> Attempt {
    with_child(|child| {
        let uid = rustix::process::getuid().as_raw();
        let path = format!("/proc/{child}/uid_map");
        fs::write(&path, format!("0 {uid} 1"))?;
        done(path)
    })
}
