//! File systems that show or steer the kernel, mounted by the contained task itself.

use std::fs;

use nstrace_tests::{escape::act::Given, sys};
use rustix::mount::{MountFlags, mount};

use crate::attempt::{Attempt, Refused, Technique, done};

pub const ALL: &[Technique] = &[
    ("mount-proc", |_| mounted("proc")),
    ("mount-sysfs", |_| mounted("sysfs")),
    ("mount-cgroup2", |_| mounted("cgroup2")),
    ("mount-cgroup-named", named_hierarchy),
    ("mount-debugfs", |_| mounted("debugfs")),
    ("mount-tracefs", |_| mounted("tracefs")),
    ("mount-securityfs", |_| mounted("securityfs")),
    ("mount-bpf", |_| mounted("bpf")),
];

/// A mount at `/tmp/FSTYPE`, gone when this is dropped.
pub struct Mounted(String);

impl Mounted {
    pub fn new(fstype: &str) -> Result<Self, Refused> {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let at = format!("/tmp/{fstype}");
        fs::create_dir_all(&at)?;
        match mount("none", at.as_str(), fstype, MountFlags::empty(), None) {
            Err(rustix::io::Errno::NODEV) if !known.contains(fstype) => Err(Refused::Skip(format!("no {fstype} here"))),
            Err(errno) => Err(errno.into()),
            Ok(()) => Ok(Self(at)),
        }
    }

    pub fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Detached: the technique may have left a file open in it.
        let _ = sys::umount_with(&self.0, libc::MNT_DETACH);
    }
}

fn mounted(fstype: &str) -> Attempt {
    let mounted = Mounted::new(fstype)?;
    done(mounted.path())
}

fn named_hierarchy(_: &Given) -> Attempt {
    let hierarchy = crate::cgroups::NamedHierarchy::mount()?;
    done(hierarchy.path())
}
