//! `cargo xtask`: everything a developer or CI does with this repository, from a bare Debian machine on.
//!
//! Each subcommand is one file. Steps are announced on stderr with their duration ([`step`]); stdout belongs to the
//! programs that are run.

mod apt;
mod artifacts;
mod bench;
mod dist;
mod ebpf;
mod guest;
mod run;
mod soak;
mod step;
mod test;
mod vm;
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
    /// Build the eBPF object and nstrace; prints the binary's path
    Build(dist::BuildArgs),
    /// Build the release binary in one self-contained file, target/dist/nstrace
    Dist,
    /// Run all tests, on this machine and in guests of every kernel
    Test(test::Args),
    /// Run nstrace's benchmarks
    Bench(bench::Args),
    /// Random namespace operations against nstrace watch, on this machine or in guests, for as long as asked
    Soak(soak::Args),
    /// Run a command in a guest with a Debian kernel that has the freshly built nstrace on its PATH
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Ebpf => ebpf::build().map(|_| 0),
        Command::Run(args) => run::run(&args),
        Command::Build(args) => dist::build(&args),
        Command::Dist => dist::dist(),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
