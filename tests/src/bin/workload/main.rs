//! Performs one operation many times and prints what one costs: `OPERATION WALL OWN`, in nanoseconds.
//!
//! WALL is by CLOCK_MONOTONIC; OWN is the processor time of this process and its children. In a guest under QEMU's
//! `-icount shift=0` both clocks count instructions. Several loops are run, the first one is dropped, and the median
//! is printed. Small and statically linked by `cargo xtask bench overhead`, so that fork and exec are as cheap as they get.

mod operations;

use std::io;
use std::process::ExitCode;

use operations::{OPERATIONS, Operation};

/// Loops of each operation; the first one is not counted.
const LOOPS: u32 = 6;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What `exec` executes.
        ["exit"] => ExitCode::SUCCESS,
        ["list"] => {
            for operation in &OPERATIONS {
                println!("{}", operation.name);
            }
            ExitCode::SUCCESS
        }
        ["run", percent, names @ ..] => match percent.parse() {
            Ok(percent) if (1..=10_000).contains(&percent) => run(percent, names),
            _ => usage(&format!("{percent:?} is no number of per cent from 1 to 10000")),
        },
        ["rate", rate, seconds] => match (rate.parse(), seconds.parse()) {
            (Ok(rate), Ok(seconds)) if (1..=1_000_000).contains(&rate) && (1..=3600).contains(&seconds) => {
                report(operations::at_rate(rate, seconds))
            }
            _ => usage("RATE is 1 to 1000000 a second, SECONDS 1 to 3600"),
        },
        _ => usage("what shall be done?"),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!(
        "workload: {problem}\nusage: workload list | workload run PERCENT [OPERATION…] | workload rate RATE SECONDS"
    );
    ExitCode::from(2)
}

fn report(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each operation in a process of its own, because some leave this one in other namespaces.
fn run(percent: u32, names: &[&str]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !OPERATIONS.iter().any(|operation| operation.name == **name)) {
        return usage(&format!("no operation {unknown:?}; see `workload list`"));
    }
    for operation in OPERATIONS.iter().filter(|operation| names.is_empty() || names.contains(&operation.name)) {
        // SAFETY: this process has one thread; the child runs on as a copy of it.
        match unsafe { libc::fork() } {
            0 => std::process::exit(i32::from(
                measure(operation, percent)
                    .inspect_err(|error| {
                        eprintln!("workload: {}: {error}", operation.name);
                    })
                    .is_err(),
            )),
            child if child > 0 => match operations::wait(child) {
                Ok(0) => {}
                Ok(_) => return ExitCode::FAILURE,
                Err(error) => return report(Err(error)),
            },
            _ => return report(Err(io::Error::last_os_error())),
        }
    }
    ExitCode::SUCCESS
}

fn measure(operation: &Operation, percent: u32) -> io::Result<()> {
    let times = (operation.times * percent / 100).max(1);
    let mut state = (operation.prepare)()?;
    let mut costs = Vec::new();
    for round in 0..LOOPS {
        let (wall, own) = (now(libc::CLOCK_MONOTONIC)?, own()?);
        for _ in 0..times {
            (operation.perform)(&mut state)?;
        }
        let cost = (now(libc::CLOCK_MONOTONIC)? - wall, self::own()? - own);
        if round > 0 {
            costs.push((cost.0 / u64::from(times), cost.1 / u64::from(times)));
        }
    }
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let wall = median(costs.iter().map(|cost| cost.0).collect());
    let own = median(costs.iter().map(|cost| cost.1).collect());
    println!("{} {wall} {own}", operation.name);
    Ok(())
}

/// Nanoseconds of a clock.
fn now(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// Processor time of this process and of its children that have been waited for.
fn own() -> io::Result<u64> {
    // SAFETY: all-zero is a valid rusage, which the kernel fills in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let nanoseconds =
        |time: libc::timeval| time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_usec.cast_unsigned() * 1000;
    let children = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    Ok(children + now(libc::CLOCK_PROCESS_CPUTIME_ID)?)
}
