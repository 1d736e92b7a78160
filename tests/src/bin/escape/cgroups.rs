//! Out of the container's cgroup, and hierarchies of version 1.

use std::{fs, path::Path};

use nstrace_tests::{escape::act::Given, sys};
use rustix::mount::{MountFlags, mount};

use crate::attempt::{Attempt, Refused, Technique, done, skip};

pub const ALL: &[Technique] = &[("cgroup-procs", leave)];

/// A named hierarchy (cgroups(7), "Cgroups v1 named hierarchies"), gone when this is dropped.
pub struct NamedHierarchy(String);

impl NamedHierarchy {
    pub fn mount() -> Result<Self, Refused> {
        let at = "/tmp/named".to_owned();
        fs::create_dir_all(&at)?;
        if !fs::read_to_string("/proc/filesystems").unwrap_or_default().contains("\tcgroup\n") {
            return Err(Refused::Skip("no cgroup version 1 here".to_owned()));
        }
        mount("cgroup", at.as_str(), "cgroup", MountFlags::empty(), c"none,name=nstrace-escape")?;
        Ok(Self(at))
    }

    pub fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for NamedHierarchy {
    fn drop(&mut self) {
        let _ = sys::umount_with(&self.0, libc::MNT_DETACH);
    }
}

/// To the root cgroup of the host, and back.
fn leave(_: &Given) -> Attempt {
    let root = "/host-cgroup";
    if !Path::new(root).join("cgroup.procs").exists() {
        return skip("the host's cgroups are not mounted here");
    }
    let own = fs::read_to_string("/proc/self/cgroup")?;
    fs::write(format!("{root}/cgroup.procs"), "0")?;
    let moved = fs::read_to_string("/proc/self/cgroup")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    fs::write(format!("{root}{path}/cgroup.procs"), "0")?;
    if moved == own { skip("still in the same cgroup") } else { done(format!("from {path}")) }
}
