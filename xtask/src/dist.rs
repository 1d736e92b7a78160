//! `cargo xtask dist`: the release binary in one file, with the eBPF object and the C library inside.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{artifacts, ebpf, run, step, workspace};

#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// Optimised build
    #[arg(long)]
    release: bool,
}

/// `cargo xtask build`: the eBPF object and the nstrace that embeds it; its path goes to stdout.
pub fn build(args: &BuildArgs) -> Result<u8> {
    println!("{}", run::build(run::profile(args.release))?.display());
    Ok(0)
}

/// Builds `target/dist/nstrace`, prints its path.
pub fn dist() -> Result<u8> {
    ebpf::build()?;
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // The static C library lets one file run on any distribution. Naming the target keeps the flag away from build
    // scripts and procedural macros.
    let flag = format!("target.{triple}.rustflags=['-Ctarget-feature=+crt-static']");
    let arguments =
        ["build", "--package", "nstrace", "--bin", "nstrace", "--release", "--target", &triple, "--config", &flag];
    let built = step::timed("build nstrace (release, static)", || artifacts::build(&arguments))?;
    let nstrace = built.into_iter().find(|built| built.kind == "bin").context("cargo reported no nstrace binary")?;
    let place: PathBuf = workspace::target().join("dist/nstrace");
    fs::create_dir_all(place.parent().unwrap_or(&place))?;
    fs::copy(&nstrace.path, &place).with_context(|| format!("cannot write {}", place.display()))?;
    println!("{}", place.display());
    Ok(0)
}
