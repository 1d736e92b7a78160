//! `cargo xtask run -- <arguments>`: eBPF object, nstrace, go.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{artifacts, ebpf, step};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Optimised build
    #[arg(long)]
    release: bool,
    /// What nstrace is given, e.g. `watch`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Replaces this process by nstrace, so exit code, signals and terminal are nstrace's own; returns on errors only.
pub fn run(args: &Args) -> Result<u8> {
    let nstrace = build(args.release)?;
    let error = Command::new(&nstrace).args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", nstrace.display()))
}

/// Builds the eBPF object and the nstrace binary that embeds it.
pub fn build(release: bool) -> Result<PathBuf> {
    ebpf::build()?;
    let mut arguments = vec!["build", "--package", "nstrace", "--bin", "nstrace"];
    if release {
        arguments.push("--release");
    }
    let built = step::timed("build nstrace", || artifacts::build(&arguments))?;
    let found = built.into_iter().find(|built| built.kind == "bin" && built.name == "nstrace");
    found.map(|nstrace| nstrace.path).context("cargo reported no nstrace binary")
}
