//! `cargo xtask vm --kernel 6.1 -- <command>`: one command, or a shell, in a guest that has the freshly built nstrace.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::guest::kernel::Kernel;
use crate::guest::machine::Machine;
use crate::guest::payload::Payload;
use crate::{artifacts, guest, run, step, workspace};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// 5.10, 6.1, 6.12 or 7.x (newest)
    #[arg(short, long, default_value = "6.1")]
    kernel: Kernel,
    /// Virtual CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(512..))]
    memory: u32,
    /// Time limit in seconds (exit code 124); none for an interactive shell unless given
    #[arg(long)]
    timeout: Option<u64>,
    /// systemd as PID 1 instead of a bare init
    #[arg(long)]
    systemd: bool,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Takes what the command leaves in $OUT
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another executable for the guest's PATH (repeatable)
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Environment of the command, NAME=VALUE (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = assignment)]
    environment: Vec<(String, String)>,
    /// Do not build nstrace and the actor; the command gets them as last built, if at all
    #[arg(long)]
    no_build: bool,
    /// QEMU's accelerator
    #[arg(long, default_value = "tcg", value_parser = ["tcg", "kvm"])]
    accel: String,
    /// The command; one word with spaces in it is given to a shell. None: an interactive shell (Ctrl-A x leaves)
    #[arg(last = true)]
    command: Vec<String>,
}

/// Returns the command's exit status; 124: time limit, 125: the guest died.
pub fn run(args: &Args) -> Result<u8> {
    guest::prepare(&[args.kernel])?;
    let command: Vec<&str> = match &args.command[..] {
        [line] if line.contains(char::is_whitespace) => vec!["bash", "-c", line],
        words => words.iter().map(String::as_str).collect(),
    };
    let mut payload = Payload::new(&command);
    for (name, path) in programs(args.no_build)? {
        payload.program(&name, &path);
    }
    for path in &args.with {
        let name = path.file_name().with_context(|| format!("--with {}: not a file", path.display()))?;
        payload.program(&name.to_string_lossy(), path);
    }
    payload.env("NSTRACE_GUEST", "1");
    payload.forge(args.kernel);
    for (name, value) in &args.environment {
        payload.env(name, value);
    }
    let machine = Machine {
        cpus: args.smp,
        memory: args.memory,
        timeout_seconds: args.timeout.unwrap_or(if command.is_empty() { u64::MAX } else { 600 }),
        systemd: args.systemd,
        append: args.append.clone(),
        accelerator: args.accel.clone(),
        out: args.out.clone(),
        ..Machine::new(args.kernel)
    };
    step::note(format_args!("guest with kernel {}", args.kernel));
    machine.run(&payload)
}

/// nstrace and the tests' programs, by their names in the guest.
pub fn programs(no_build: bool) -> Result<Vec<(String, PathBuf)>> {
    if no_build {
        let built = |name: &str| workspace::target().join("debug").join(name);
        let names = ["nstrace", "actor", "escape", "soak"].map(|name| (name.to_owned(), built(name)));
        return Ok(names.into_iter().filter(|(_, path)| path.exists()).collect());
    }
    let mut programs = vec![("nstrace".to_owned(), run::build("dev")?)];
    let tests = artifacts::build(&["build", "--package", "nstrace-tests"])?;
    programs.extend(tests.into_iter().filter(|built| built.kind == "bin").map(|built| (built.name, built.path)));
    Ok(programs)
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
