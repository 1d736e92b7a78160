//! A mark in the stream: when its line has come, so have all lines of what happened before.

use std::path::Path;

use anyhow::Context;
use nstrace_tests::{kinds::kind, nsfs, sys};

use crate::{Comms, actor};

/// Sets a mark: the number of a uts namespace that a line will name. A thread makes it and ends with it.
///
/// # Errors
/// When the thread cannot be made or may not make a namespace.
pub fn set() -> anyhow::Result<u32> {
    let comm = Comms::of_this_run().marker;
    let thread = std::thread::Builder::new().spawn(move || {
        sys::set_comm(comm.as_bytes());
        let (_, tid) = actor::numbers();
        let inum = sys::unshare(kind("uts").flag)
            .ok()
            .and_then(|()| nsfs::inum_of_link(Path::new("/proc/thread-self/ns/uts")));
        (tid, inum)
    })?;
    let Ok((tid, inum)) = thread.join() else { anyhow::bail!("the marker panicked") };
    // The library is told before the kernel is done with it.
    let folder = format!("/proc/self/task/{tid}");
    while Path::new(&folder).exists() {
        std::thread::yield_now();
    }
    inum.context("the marker may not make a uts namespace")
}
