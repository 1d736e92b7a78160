//! A mark in the stream: when its line has come, so have all lines of what happened before.

use std::{path::Path, process::Command};

use anyhow::Context;
use nstrace_tests::{
    kinds::kind,
    nsfs,
    program::{self, patience},
    sys,
};

/// Makes a uts namespace in a process of its own and says which.
pub fn mark() -> std::process::ExitCode {
    sys::set_comm(crate::Comms::of_this_run().marker.as_bytes());
    if sys::unshare(kind("uts").flag).is_err() {
        return std::process::ExitCode::FAILURE;
    }
    match nsfs::inum_of_link(Path::new("/proc/self/ns/uts")) {
        Some(inum) => println!("{inum}"),
        None => return std::process::ExitCode::FAILURE,
    }
    std::process::ExitCode::SUCCESS
}

/// Sets a mark: the number of a uts namespace that a line will name.
///
/// # Errors
/// When the marker cannot be run.
pub fn set() -> anyhow::Result<u32> {
    let output = program::run(
        Command::new("/proc/self/exe").arg("mark").env(crate::RUN, std::process::id().to_string()),
        patience(),
    )?;
    anyhow::ensure!(output.status.success(), "the marker failed: {}", output.stderr);
    output.text().parse().context("the marker says a number")
}
