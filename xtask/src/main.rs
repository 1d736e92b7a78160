//! `cargo xtask`: everything a developer or CI does with this repository, from a bare Debian machine on.
//!
//! Each subcommand is one file. Steps are announced on stderr with their duration ([`step`]); stdout belongs to the
//! programs that are run.

mod apt;
mod artifacts;
mod ebpf;
mod run;
mod step;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// nstrace's machine room
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the eBPF object to target/ebpf/nstrace.o (installs the toolchain if it is missing)
    Ebpf,
    /// Build everything and run nstrace with the arguments after `--`
    Run(run::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Ebpf => ebpf::build().map(|_| 0),
        Command::Run(args) => run::run(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
