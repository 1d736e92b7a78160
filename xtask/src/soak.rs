//! `cargo xtask soak`: the tests crate's `soak` program with the freshly built nstrace, natively or in guests.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::guest::kernel::Kernel;
use crate::guest::machine::Machine;
use crate::guest::payload::Payload;
use crate::{artifacts, guest, run as nstrace, step, workspace};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guest kernels: 5.10, 6.1, 6.12, 7.x (repeatable; default: this machine's own)
    #[arg(short, long = "kernel")]
    kernels: Vec<Kernel>,
    /// Attach modes, one run each
    #[arg(long, value_delimiter = ',', default_value = "auto", value_parser = ["auto", "kprobe", "fentry", "tracepoint"])]
    attach: Vec<String>,
    /// Operations of one run
    #[arg(long, default_value_t = 100_000)]
    ops: u64,
    /// The same seed makes the same operations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Virtual CPUs of the guests: with two, tasks race that one processor runs one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Time limit of one guest in seconds
    #[arg(long, default_value_t = 86_400)]
    timeout: u64,
    /// More arguments of soak, e.g. --seconds 360, --ring-size 65536, --suspend 10
    #[arg(last = true)]
    more: Vec<String>,
}

/// Optimised: in a guest every instruction is emulated.
const PROFILE: &str = "soak";

/// Returns 0 when nstrace and the kernel agreed in every run, 1 otherwise.
pub fn run(args: &Args) -> Result<u8> {
    if !args.kernels.is_empty() {
        guest::prepare(&args.kernels)?;
    }
    let nstrace = nstrace::build(PROFILE)?;
    let soak = soak()?;
    let mut worst = 0;
    for attach in &args.attach {
        let mut words: Vec<String> =
            ["--attach", attach, "--ops", &args.ops.to_string(), "--seed", &args.seed.to_string()]
                .map(str::to_owned)
                .into();
        words.extend(args.more.iter().cloned());
        if args.kernels.is_empty() {
            let mut command = Command::new(&soak);
            command.args(&words).env("NSTRACE_BIN", &nstrace);
            step::note(format_args!("soak on this machine, attach mode {attach}"));
            let status = command.status().context("cannot start soak")?;
            worst = worst.max(u8::from(!status.success()));
        }
        for &kernel in &args.kernels {
            // What explains a divergence comes out of the guest.
            let keep = ["sh", "-c", "NSTRACE_KEEP=$OUT exec soak \"$@\"", "soak"].map(str::to_owned);
            let mut payload = Payload::new(&[&keep[..], &words].concat());
            payload.program("nstrace", &nstrace);
            payload.program("soak", &soak);
            payload.env("NSTRACE_GUEST", "1");
            payload.env("NSTRACE_BIN", "/payload/bin/nstrace");
            let out = workspace::target().join(format!("soak/{kernel}-{attach}-{}", args.seed));
            let machine =
                Machine { cpus: args.smp, timeout_seconds: args.timeout, out: Some(out), ..Machine::new(kernel) };
            step::note(format_args!("soak in a guest with kernel {kernel}, attach mode {attach}"));
            worst = worst.max(u8::from(machine.run(&payload)? != 0));
        }
    }
    Ok(worst)
}

/// Builds `soak`. Its processes execute themselves again and again: without a dynamic linker that takes a guest half the time.
fn soak() -> Result<PathBuf> {
    let arguments = ["rustc", "--package", "nstrace-tests", "--bin", "soak", "--profile", PROFILE];
    let flags = ["--", "-C", "target-feature=+crt-static", "-C", "relocation-model=static"];
    step::timed("build soak", || artifacts::binary("soak", &arguments, &flags))
}
