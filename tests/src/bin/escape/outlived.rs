//! Namespaces that outlive their tasks, and those that hide tasks from the rest of the container.

use std::fs;

use nstrace_tests::{escape::act::Given, kinds::kind, sys};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use crate::attempt::{Attempt, Done, Technique, done, target_of};

pub const ALL: &[Technique] = &[("hide-tasks", hide), ("keep-namespace", keep)];

/// A pid namespace for children: nobody outside sees them under the numbers that they know themselves by.
fn hide(_: &Given) -> Attempt {
    sys::unshare(kind("pid").flag)?;
    let child = sys::fork()?;
    if child == 0 {
        sys::exit(0);
    }
    sys::wait(child)?;
    done("a pid namespace")
}

/// A network namespace that its last task leaves to a mount.
fn keep(_: &Given) -> Attempt {
    const KEPT: &str = "/tmp/kept";
    const OWN: &str = "/proc/thread-self/ns/net";
    fs::write(KEPT, "")?;
    sys::unshare(kind("net").flag)?;
    let target = target_of(OWN);
    mount_bind(OWN, KEPT)?;
    sys::unshare(kind("net").flag)?;
    unmount(KEPT, UnmountFlags::empty())?;
    Ok(Done { target, detail: KEPT.to_owned() })
}
