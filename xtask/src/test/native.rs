//! The tests on this machine: `cargo test --workspace`, its output passed through and counted.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Built;
use super::tally::{Report, Tally};
use crate::{step, workspace};

pub fn run(built: &Built, harness: &[String], report: &mut Report) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        step::note("not root: tests that trace the kernel will fail here");
    }
    let start = Instant::now();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--workspace", "--no-fail-fast", "--quiet", "--"]).args(harness);
    cargo.current_dir(workspace::root()).env("NSTRACE_BIN", &built.nstrace);
    if let Some(actor) = &built.actor {
        cargo.env("NSTRACE_ACTOR", actor);
    }
    if let Some(soak) = &built.soak {
        cargo.env("NSTRACE_SOAK", soak);
    }
    if let Some(escape) = &built.escape {
        cargo.env("NSTRACE_ESCAPE", escape);
    }
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("cargo's output is not piped")?).lines() {
        let line = line.context("reading cargo's output")?;
        tally += Tally::of_line(&line).unwrap_or_default();
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == 0 {
        // A test executable that crashed, or one that did not compile.
        tally += Tally::FAILURE;
    }
    report.add("native".to_owned(), tally, start.elapsed().as_secs_f64());
    Ok(())
}
