//! The cgroups of the suite's own containers.

use std::{fs, path::Path};

/// Of their names; the pid of the runtime follows.
pub const PREFIX: &str = "nstrace-escape-";

/// Where the unified hierarchy is mounted.
pub fn unified() -> &'static str {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/unified" }
}

/// Removes those that nobody is in any more.
pub fn remove_empty() {
    let Ok(entries) = fs::read_dir(unified()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
