//! Long random runs: workers perform seeded random namespace operations and log what the kernel answered; whenever all
//! stand still, what `nstrace watch -J` said is compared with the logs, /proc and the census.
//!
//! ```text
//! generate ─► op ─► worker, perform ─► record ─► expected ─┐
//!                                                          ├─► difference, compare ─► divergence ─► shrink
//! nstrace watch -J ─► stream ─► lives ─────────────────────┤
//! /proc ─► walk, nstrace ls -J ─► census ──────────────────┘
//! ```

mod abilities;
mod actor;
mod census;
mod compare;
mod crew;
mod difference;
mod divergence;
mod expected;
mod fuzz;
mod generate;
mod lives;
mod marker;
mod messages;
mod op;
mod perform;
mod record;
mod run;
mod shrink;
mod spawn;
mod stream;
mod walk;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use nstrace_tests::{program, sys};

/// Tells the processes of this run from those of others.
const RUN: &str = "NSTRACE_SOAK_RUN";

/// Names of processes (comm), which sort the lines about them.
#[derive(Clone, Debug)]
pub struct Comms {
    /// All whose lines are compared one by one.
    pub actor: String,
    pub fuzz: String,
    pub marker: String,
}

impl Comms {
    /// The coordinator's pid makes them unique; its descendants are told by their environment.
    pub fn of_this_run() -> Self {
        let run = std::env::var(RUN).unwrap_or_else(|_| std::process::id().to_string());
        Self { actor: format!("soak-{run}"), fuzz: format!("fuzz-{run}"), marker: format!("mark-{run}") }
    }
}

/// Random namespace operations against nstrace watch
#[derive(Debug, Parser)]
#[command(name = "soak", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How nstrace attaches [default: NSTRACE_ATTACH, or auto]
    #[arg(long)]
    attach: Option<String>,
    /// Operations altogether, those of the children of workers too
    #[arg(long, default_value_t = 10_000)]
    ops: u64,
    /// Begin no round after this many seconds, however many operations are left
    #[arg(long)]
    seconds: Option<u64>,
    /// The same seed makes the same operations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes working side by side
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Operations of one worker between two comparisons
    #[arg(long, default_value_t = 50)]
    round: usize,
    /// Operations of one worker before it is replaced
    #[arg(long, default_value_t = 150)]
    share: usize,
    /// Compare with the census in every Nth round
    #[arg(long, default_value_t = 5)]
    census: u64,
    /// Ring buffer of the watch in bytes: small ones make it lose records
    #[arg(long)]
    ring_size: Option<u64>,
    /// Stop the reader (SIGSTOP) during every Nth round
    #[arg(long)]
    suspend: Option<u64>,
    /// Treat lines of this event and type about actors as if they had not come, say left:ipc: a divergence that has to be found
    #[arg(long, value_name = "EVENT:TYPE")]
    forget: Option<lives::Forget>,
    /// Perform this script, a JSON list of operations, instead of random ones
    #[arg(long, conflicts_with = "ops")]
    script: Option<PathBuf>,
    /// How long to try to shorten the script of a divergence, in seconds
    #[arg(long, default_value_t = 120)]
    shrink: u64,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// A worker; started by the coordinator
    #[command(hide = true)]
    Work { folder: String },
}

fn main() -> ExitCode {
    if let Some(after) = spawn::AfterExec::told() {
        after.go_on();
    }
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Work { folder }) => {
            sys::set_comm(Comms::of_this_run().actor.as_bytes());
            worker::work(folder)
        }
        None => coordinate(cli.options),
    }
}

fn coordinate(mut options: Options) -> ExitCode {
    options.attach.get_or_insert_with(program::attach);
    match run::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            println!("soak: FAILED");
            ExitCode::FAILURE
        }
    }
}
