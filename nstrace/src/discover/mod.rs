//! What is there already, and what only user space can tell: tasks, nsfs holders, cgroup paths, clocks, liveness.
//!
//! The root of `/proc` is a parameter ([`Proc::at`]), so all of this runs against a made-up tree too. Nothing here stats or
//! opens a `/proc/PID/ns` link unless its documentation says so: following one makes an nsfs inode and evicts it again,
//! which tracers see as a holder that comes and goes (`path_from_stashed`, `nsfs_evict`); readlink(2) does not.

mod bounded;
pub mod cgroup;
pub mod clock;
mod holders;
mod listed_mounts;
pub mod liveness;
mod mountinfo;
pub mod oci;
mod raw;
mod read;
pub mod rooted;
pub mod snapshot;
mod system_call;
mod task_files;
mod tasks;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

use rustix::{
    fd::OwnedFd,
    fs::{CWD, Mode, OFlags},
};

pub use holders::{Holder, HolderScan, MountPlace};
pub use listed_mounts::listed_mounts;
pub use read::{Missed, ReadError};
pub use task_files::Placement;
pub(crate) use task_files::parse_ns_link;
pub use tasks::{ScannedTask, TaskScan};

/// A mounted proc(5), or a tree that looks like one.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    /// `/proc`.
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// The tree below `root`; nothing is read yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Id of this boot, a UUID (`/proc/sys/kernel/random/boot_id`, random(4)).
    pub fn boot_id(&self) -> Result<String, ReadError> {
        let mut text = Vec::new();
        read::read_file(self.open()?, c"sys/kernel/random/boot_id", &mut text)?;
        let id = std::str::from_utf8(&text).unwrap_or_default().trim();
        let is_uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if is_uuid { Ok(id.to_owned()) } else { Err(ReadError::Malformed("boot_id")) }
    }

    /// The process that reads, as this tree numbers it: the target of `self`.
    fn own_tgid(&self, root: &OwnedFd) -> Option<u32> {
        let mut buffer = [0; libc::PATH_MAX as usize];
        let link = read::read_link(rustix::fd::AsFd::as_fd(root), c"self", &mut buffer).ok()?;
        std::str::from_utf8(link).ok()?.parse().ok()
    }

    fn open(&self) -> Result<OwnedFd, ReadError> {
        Ok(rustix::fs::openat(CWD, &self.root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }
}
