//! Kernel files that act on the whole host, opened for writing and left as they are.

use std::fs::{self, OpenOptions};

use nstrace_tests::{escape::act::Given, sys};

use crate::{
    attempt::{Attempt, Technique, done, skip, unless_missing},
    cgroups::NamedHierarchy,
    filesystems::Mounted,
    uring,
};

pub const ALL: &[Technique] = &[
    ("sink-core-pattern", |_| open("/proc/sys/kernel/core_pattern")),
    ("sink-core-pattern-alias", |_| by_alias("/proc/sys/kernel/core_pattern")),
    ("sink-core-pattern-uring", |_| by_uring("/proc/sys/kernel/core_pattern")),
    ("sink-core-pattern-denied", |_| open("/proc/sys/kernel/core_pattern")),
    ("sink-core-pattern-runtime", runtime),
    ("sink-modprobe-alias", |_| by_alias("/proc/sys/kernel/modprobe")),
    ("sink-usermodehelper", |_| open("/proc/sys/kernel/usermodehelper/bset")),
    ("sink-poweroff", |_| open("/proc/sys/kernel/poweroff_cmd")),
    ("sink-hotplug", |_| open("/proc/sys/kernel/hotplug")),
    ("sink-uevent-helper", |_| open("/sys/kernel/uevent_helper")),
    ("sink-sysrq-trigger", |_| open("/proc/sysrq-trigger")),
    ("sink-binfmt-register", |_| binfmt()),
    ("sink-release-agent", |_| release_agent()),
    ("sysctl-namespaced", |_| open("/proc/sys/net/ipv4/ip_forward")),
];

fn open(path: &str) -> Attempt {
    unless_missing(path)?;
    OpenOptions::new().write(true).open(path)?;
    done(path)
}

/// Under a name that no rule about names knows.
fn by_alias(path: &str) -> Attempt {
    unless_missing(path)?;
    fs::write("/tmp/alias", "")?;
    sys::bind_mount(path, "/tmp/alias")?;
    let attempt = open("/tmp/alias");
    sys::umount("/tmp/alias")?;
    attempt
}

fn by_uring(path: &str) -> Attempt {
    sys::close(uring::open(path, libc::O_WRONLY)?);
    done(path)
}

/// The runtime was led to it before it started this program; it says here what came of it.
fn runtime(_: &Given) -> Attempt {
    match std::env::var(crate::contain::LED_ASTRAY) {
        Ok(said) if said == "done" => done("opened by the runtime"),
        other => skip(format!("the runtime did not: {other:?}")),
    }
}

fn binfmt() -> Attempt {
    let mounted = Mounted::new("binfmt_misc")?;
    open(&format!("{}/register", mounted.path()))
}

/// Of a named hierarchy: it needs no free controller.
fn release_agent() -> Attempt {
    let hierarchy = NamedHierarchy::mount()?;
    open(&format!("{}/release_agent", hierarchy.path()))
}
