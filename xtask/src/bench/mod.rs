//! `cargo xtask bench`: nstrace's criterion benchmarks, the census beside lsns(8), and what being traced costs.

mod census;
mod farm;
mod overhead;

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Arguments of criterion, e.g. a name to filter by
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Criterion benchmarks of the pipeline (also when nothing is named)
    Pipeline {
        /// Arguments of criterion, e.g. a name to filter by
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// `nstrace ls` beside lsns(8) on a farm of thousands of namespaces; as root
    Census(census::Args),
    /// The farm alone: reads numbers of cells (15 processes in 8 namespaces each), one a line, and ends with its input
    Farm,
    /// What nstrace adds to fork, exec, open and the namespace calls, beside bpftrace, strace and audit; as root
    Overhead(overhead::Args),
    /// The measurements of `overhead` on this machine, with nstrace and workload of the PATH: what it runs in guests
    OverheadInside,
}

/// Returns the exit status.
pub fn run(args: &Args) -> Result<u8> {
    match &args.what {
        None => criterion(&args.arguments),
        Some(What::Pipeline { arguments }) => criterion(arguments),
        Some(What::Census(args)) => census::run(args),
        Some(What::Farm) => farm::run().map(|()| 0),
        Some(What::Overhead(args)) => overhead::run(args),
        Some(What::OverheadInside) => overhead::inside(),
    }
}

fn criterion(arguments: &[String]) -> Result<u8> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `--benches` would also start the libraries' test harnesses, which do not know criterion's arguments.
    cargo.args(["bench", "--package", "nstrace", "--bench", "*", "--"]).args(arguments);
    let status = cargo.current_dir(workspace::root()).status().context("cannot start cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Kernel and processors.
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    format!("{count} x {}, Linux {}", model.unwrap_or("?"), kernel.trim())
}
