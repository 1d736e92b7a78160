//! The host's tree as a root, and mounts that spread to the host.

use std::fs;

use nstrace_tests::{
    escape::act::{Given, SECRET},
    sys,
};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};

use crate::attempt::{Attempt, Refused, Technique, check, done, skip};

pub const ALL: &[Technique] = &[
    ("chroot-host", chroot),
    ("pivot-root-host", pivot_root),
    ("mount-propagates", propagate),
    ("bind-propagates", propagate_bind),
    ("share-mount", share),
    ("share-mount-setattr", share_by_attribute),
];

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
    spread(|to| mount("none", to, "tmpfs", MountFlags::empty(), None))
}

fn propagate_bind(_: &Given) -> Attempt {
    spread(|to| mount_bind("/tmp", to))
}

fn spread(mount_on: fn(&'static str) -> rustix::io::Result<()>) -> Attempt {
    const SPREAD: &str = "/shared/spread";
    mount_on(SPREAD)?;
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let line = format!(" {SPREAD} ");
    let spreads = table.lines().any(|mounted| mounted.contains(&line) && mounted.contains(" shared:"));
    unmount(SPREAD, UnmountFlags::empty())?;
    if spreads { done(SPREAD) } else { skip("/shared is not shared with the host") }
}

fn share(_: &Given) -> Attempt {
    mount_change("/tmp", MountPropagationFlags::SHARED).or_else(|errno| match errno {
        // No mount of its own yet.
        rustix::io::Errno::INVAL => {
            mount_bind("/tmp", "/tmp")?;
            mount_change("/tmp", MountPropagationFlags::SHARED)
        }
        other => Err(other),
    })?;
    done("/tmp")
}

/// By mount_setattr(2) (5.12), as mount(8) does it.
fn share_by_attribute(_: &Given) -> Attempt {
    /// `struct mount_attr` (linux/mount.h).
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_ns: u64,
    }
    mount_bind("/tmp", "/tmp")?;
    let attributes = Attributes { set: 0, clear: 0, propagation: libc::MS_SHARED, user_ns: 0 };
    // SAFETY: the path is NUL-terminated, the structure as large as it says.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/tmp".as_ptr(),
            0,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    match check(ret) {
        Err(Refused::Errno(errno)) if errno.0 == libc::ENOSYS => skip("no mount_setattr here"),
        Err(refused) => Err(refused),
        Ok(_) => done("/tmp"),
    }
}
