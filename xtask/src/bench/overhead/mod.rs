//! `cargo xtask bench overhead`: what being traced costs, beside bpftrace, strace and the audit subsystem.
//!
//! `workload` (of the tests crate) performs one operation many times. Guests run under QEMU's `-icount`, where every clock
//! counts instructions, so their figures repeat; figures of this machine are ratios of runs that take turns.

mod auditctl;
mod here;
mod rates;
mod table;
mod tracer;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::guest::kernel::Kernel;
use crate::guest::machine::{Machine, meaning};
use crate::guest::payload::{Output, Payload};
use crate::{artifacts, guest, run as nstrace, step, workspace};
use table::{Measured, Unit};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kernels of the guests
    #[arg(short, long, value_delimiter = ',', default_value = "6.1,6.12")]
    kernels: Vec<Kernel>,
    /// No guests: this machine only
    #[arg(long)]
    native: bool,
    /// No measurements on this machine: guests only
    #[arg(long, conflicts_with = "native")]
    guests: bool,
    /// Rounds on this machine, all tracers taking turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measure nstrace and the workload as last built
    #[arg(long)]
    no_build: bool,
    /// Measure nothing: the tables of earlier runs, for --write
    #[arg(long, conflicts_with_all = ["native", "guests"])]
    kept: bool,
    /// Put the tables into docs/overhead.md
    #[arg(long)]
    write: bool,
}

/// Prints the tables and which goals are met; 1 when one is missed.
pub fn run(args: &Args) -> Result<u8> {
    if args.kept {
        let tables = kept()?;
        tables.iter().for_each(|table| println!("{table}"));
        return if args.write { table::write(&tables).map(|()| 0) } else { Ok(0) };
    }
    ensure!(rustix::process::geteuid().is_root(), "tracing needs root: run it as root");
    let (nstrace, workload) = if args.no_build {
        let built = |name: &str| workspace::target().join("release").join(name);
        (built("nstrace"), built("workload"))
    } else {
        (nstrace::build("release")?, workload()?)
    };
    let mut met = true;
    if !args.native {
        guest::prepare(&args.kernels)?;
        for &kernel in &args.kernels {
            let lines = step::timed(format_args!("measure in a guest with kernel {kernel}"), || {
                in_guest(kernel, &nstrace, &workload)
            })?;
            met &= tell(&Measured::read(&lines)?, &kernel.to_string(), Unit::Instructions)?;
        }
    }
    if !args.guests {
        let mut lines = Vec::new();
        let programs = here::Programs { nstrace, workload };
        step::timed("measure on this machine", || {
            here::measure(&programs, args.rounds, 100, &mut |line| lines.push(line))
        })?;
        met &= tell(&Measured::read(&lines)?, &super::machine(), Unit::Nanoseconds)?;
        let collector = step::timed("measure the collector on this machine", || rates::section(&programs))?;
        println!("{collector}");
        keep("collector", &collector)?;
    }
    if args.write {
        table::write(&kept()?)?;
    }
    Ok(u8::from(!met))
}

/// Prints a table and its verdict.
fn tell(measured: &Measured, machine: &str, unit: Unit) -> Result<bool> {
    let section = match unit {
        Unit::Instructions => measured.section(&guest_title(machine), unit),
        Unit::Nanoseconds => measured.section(&format!("This machine: {machine}"), unit),
    };
    println!("{section}");
    if unit == Unit::Nanoseconds {
        keep("native", &section)?;
    }
    Ok(measured.judge(machine))
}

/// Tables of earlier runs stay until they are measured anew, so that one kernel can be measured at a time.
fn folder() -> PathBuf {
    workspace::target().join("bench/overhead")
}

fn keep(file: &str, section: &str) -> Result<()> {
    fs::create_dir_all(folder())?;
    fs::write(folder().join(format!("{file}.md")), section).context("cannot keep the table")
}

/// Those of the guests, by kernel, then those of this machine.
fn kept() -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for kernel in Kernel::ALL {
        if let Ok(text) = fs::read_to_string(folder().join(format!("{kernel}.tsv"))) {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            tables.push(Measured::read(&lines)?.section(&guest_title(&kernel.to_string()), Unit::Instructions));
        }
    }
    tables.extend(
        ["native", "collector"].iter().filter_map(|file| fs::read_to_string(folder().join(format!("{file}.md"))).ok()),
    );
    Ok(tables)
}

fn guest_title(kernel: &str) -> String {
    format!("Linux {kernel}, guest instructions")
}

/// What runs inside of a guest; `nstrace` and `workload` are on its `PATH`.
pub fn inside() -> Result<u8> {
    let programs = here::Programs { nstrace: "nstrace".into(), workload: "workload".into() };
    here::measure(&programs, 1, 100, &mut |line| println!("{line}"))?;
    Ok(0)
}

/// Builds `workload`, statically linked: fork and exec of a small program are the hard case for whoever adds to them.
fn workload() -> Result<PathBuf> {
    let arguments = ["rustc", "--release", "--package", "nstrace-tests", "--bin", "workload"];
    let flags = ["--", "-Ctarget-feature=+crt-static", "-Cpanic=abort"];
    step::timed("build the workload", || artifacts::binary("workload", &arguments, &flags))
}

fn in_guest(kernel: Kernel, nstrace: &std::path::Path, workload: &std::path::Path) -> Result<Vec<String>> {
    let mut payload = Payload::new(&["xtask", "bench", "overhead-inside"]);
    payload.program("xtask", &std::env::current_exe()?);
    payload.program("nstrace", nstrace);
    payload.program("workload", workload);
    for (name, file) in auditctl::files()? {
        payload.program(name, &file);
    }
    payload.env("LD_LIBRARY_PATH", "/payload/bin");
    payload.output = Output::Lines;
    let mut lines = Vec::new();
    let machine = Machine { counts_instructions: true, timeout_seconds: 1200, ..Machine::new(kernel) };
    let status = machine.run_lines(&payload, |line| lines.push(line.to_owned()))?;
    fs::create_dir_all(folder())?;
    fs::write(folder().join(format!("{kernel}.tsv")), lines.join("\n"))?;
    ensure!(status == 0, "kernel {kernel}: {}", meaning(status));
    Ok(lines)
}
