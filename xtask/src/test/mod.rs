//! `cargo xtask test`: everything, natively and in guests of every kernel; ends with one line `N passed, N failed`.

mod guests;
mod native;
mod tally;

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::artifacts::{self, Executable};
use crate::guest::kernel::Kernel;
use crate::{ebpf, guest, step};
use tally::{Report, Tally};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the tests that run on this machine (with --vm: both, the default)
    #[arg(long)]
    native: bool,
    /// Only the tests that run in guests
    #[arg(long)]
    vm: bool,
    /// Guest kernels: 5.10, 6.1, 6.12, 7.x (repeatable; default: all)
    #[arg(short, long = "kernel")]
    kernels: Vec<Kernel>,
    /// Attach modes that guests run the tests in
    #[arg(long, value_delimiter = ',', default_value = "kprobe,fentry", value_parser = ["auto", "kprobe", "fentry", "tracepoint"])]
    attach: Vec<String>,
    /// Guests running side by side (default: one per CPU)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Virtual CPUs of the guests; tests that take one away need two
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Time limit of one guest in seconds
    #[arg(long, default_value_t = 2700)]
    timeout: u64,
    /// Arguments of the test harness, e.g. a name to filter by
    #[arg(last = true)]
    harness: Vec<String>,
}

/// What was built for the tests.
#[derive(Debug)]
struct Built {
    nstrace: PathBuf,
    actor: Option<PathBuf>,
    soak: Option<PathBuf>,
    escape: Option<PathBuf>,
    /// Integration tests of the `tests` crate.
    suites: Vec<Executable>,
}

/// Returns 0 when everything passed, 1 otherwise.
pub fn run(args: &Args) -> Result<u8> {
    let start = Instant::now();
    let (native, vm) = (args.native || !args.vm, args.vm || !args.native);
    let kernels = if args.kernels.is_empty() { Kernel::ALL.to_vec() } else { args.kernels.clone() };
    let built = thread::scope(|scope| {
        // Images download and unpack while rustc runs.
        let images = vm.then(|| scope.spawn(|| guest::prepare(&kernels)));
        let built = build(native);
        if let Some(images) = images {
            images.join().map_err(|_panic| anyhow!("the thread that prepares guests panicked"))??;
        }
        built
    })?;
    let mut report = Report::default();
    if native {
        native::run(&built, &args.harness, &mut report)?;
    }
    if vm {
        let runs = guests::Runs {
            kernels: &kernels,
            modes: &args.attach,
            harness: &args.harness,
            jobs: args.jobs.map_or_else(default_jobs, usize::from),
            cpus: args.smp,
            timeout_seconds: args.timeout,
        };
        runs.run(&built, &mut report)?;
    }
    report.show();
    step::note(format_args!("all in {:.0} s", start.elapsed().as_secs_f64()));
    let total: Tally = report.total();
    println!("{total}");
    Ok(u8::from(total.failed > 0))
}

/// A guest with one virtual CPU keeps one CPU of the host busy.
fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(Kernel::ALL.len())
}

/// Guests need the integration tests only; the native run needs everything, and compiling it here lets guests' images
/// be fetched meanwhile.
fn build(native: bool) -> Result<Built> {
    ebpf::build()?;
    let built = step::timed("build nstrace and the tests", || {
        let mut built = artifacts::build(&["build", "--package", "nstrace", "--package", "nstrace-tests", "--bins"])?;
        let tests: &[&str] = if native { &["--workspace"] } else { &["--package", "nstrace-tests"] };
        built.extend(artifacts::build(&[&["test", "--no-run"], tests].concat())?);
        Ok(built)
    })?;
    let binary = |name: &str| {
        let found = built.iter().find(|built| built.kind == "bin" && built.name == name && !built.is_test);
        found.map(|built| built.path.clone())
    };
    let integration = |built: &&Executable| built.kind == "test" && built.package == "nstrace-tests";
    let mut suites: Vec<_> = built.iter().filter(integration).cloned().collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Built {
        nstrace: binary("nstrace").ok_or_else(|| anyhow!("cargo reported no nstrace binary"))?,
        actor: binary("actor"),
        soak: binary("soak"),
        escape: binary("escape"),
        suites,
    })
}
