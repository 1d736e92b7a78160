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
    let nstrace = build(profile(args.release))?;
    let error = Command::new(&nstrace).args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", nstrace.display()))
}

/// Cargo's profile for what users ask for with `--release` or without.
pub fn profile(release: bool) -> &'static str {
    if release { "release" } else { "dev" }
}

/// Builds the eBPF object and the nstrace binary that embeds it, in a profile of Cargo.toml.
pub fn build(profile: &str) -> Result<PathBuf> {
    ebpf::build()?;
    let arguments = ["build", "--package", "nstrace", "--bin", "nstrace", "--profile", profile];
    step::timed("build nstrace", || artifacts::binary("nstrace", &arguments, &[]))
}
