//! `cargo xtask bench`: nstrace's criterion benchmarks.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Arguments of criterion, e.g. a name to filter by
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Returns cargo's exit status.
pub fn run(args: &Args) -> Result<u8> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `--benches` would also start the libraries' test harnesses, which do not know criterion's arguments.
    cargo.args(["bench", "--package", "nstrace", "--bench", "*", "--"]).args(&args.arguments);
    let status = cargo.current_dir(workspace::root()).status().context("cannot start cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
