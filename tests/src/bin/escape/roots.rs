//! The host's tree as a root, and a mount that spreads to the host.

use std::fs;

use nstrace_tests::{
    escape::act::{Given, SECRET},
    sys,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::attempt::{Attempt, Technique, done, skip};

pub const ALL: &[Technique] =
    &[("chroot-host", chroot), ("pivot-root-host", pivot_root), ("mount-propagates", propagate)];

/// The host's root directory, where a careless runtime mounted it.
const HOST: &str = "/host";

fn read_secret(given: &Given) -> Attempt {
    if fs::read_to_string(&given.secret_path)? == SECRET { done(&given.secret_path) } else { skip("another file") }
}

fn chroot(given: &Given) -> Attempt {
    rustix::process::chroot(HOST)?;
    rustix::process::chdir("/")?;
    read_secret(given)
}

fn pivot_root(given: &Given) -> Attempt {
    rustix::process::chdir(HOST)?;
    rustix::process::pivot_root(".", ".")?;
    sys::umount_with(".", libc::MNT_DETACH)?;
    rustix::process::chdir("/")?;
    read_secret(given)
}

/// `/shared` is in one peer group with the host's folder.
fn propagate(_: &Given) -> Attempt {
    mount("none", "/shared/spread", "tmpfs", MountFlags::empty(), None)?;
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let spreads = table.lines().any(|line| line.contains(" /shared/spread ") && line.contains(" shared:"));
    unmount("/shared/spread", UnmountFlags::empty())?;
    if spreads { done("/shared/spread") } else { skip("/shared is not shared with the host") }
}
