//! What the collector itself needs at a steady rate of events, and how late its lines are.

use std::fmt::Write as _;
use std::fs;
use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::here::Programs;

/// Event lines a second.
const RATES: [u32; 3] = [1_000, 10_000, 50_000];
const SECONDS: u32 = 5;
/// Lines of one unshare(CLONE_NEWUTS): created, joined, left, and destroyed of the one before.
const LINES: u32 = 4;

/// One table.
pub fn section(programs: &Programs) -> Result<String> {
    let mut text = "## The collector at a steady rate, this machine\n\n`nstrace watch -J` into a pipe, while one process makes UTS \
         namespaces at a rate that should give so many event lines a second. Latency is from the hook (`boot_ns`) to when the \
         reader of the pipe has the line.\n\n\
         | lines/s wanted | lines/s | lost | processor of nstrace | memory (RSS at most) | latency p50 | p99 | at most |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for rate in RATES {
        let seen = at(programs, rate)?;
        let _ = writeln!(
            text,
            "| {rate} | {:.0} | {} | {:.1} % | {:.1} MiB | {} | {} | {} |",
            seen.lines as f64 / f64::from(SECONDS),
            seen.lost,
            seen.processor * 100.0,
            seen.memory as f64 / 1024.0,
            milliseconds(seen.latencies.percentile(50.0)),
            milliseconds(seen.latencies.percentile(99.0)),
            milliseconds(seen.latencies.percentile(100.0)),
        );
    }
    Ok(text)
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.2} ms", nanoseconds as f64 / 1e6)
}

#[derive(Debug)]
struct Seen {
    lines: u64,
    lost: u64,
    /// Of one processor.
    processor: f64,
    /// KiB.
    memory: u64,
    latencies: Latencies,
}

/// Nanoseconds.
#[derive(Debug, Default)]
struct Latencies(Vec<u64>);

impl Latencies {
    fn percentile(&self, percent: f64) -> u64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * percent / 100.0).round() as usize).copied().unwrap_or(0)
    }
}

fn at(programs: &Programs, rate: u32) -> Result<Seen> {
    let mut child = Command::new(&programs.nstrace)
        .args(["watch", "-J", "-t", "uts"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start nstrace")?;
    let stdout = child.stdout.take().context("no stdout")?;
    let (attached, start) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || read(BufReader::new(stdout), &attached));
    start.recv_timeout(Duration::from_secs(60)).context("nstrace says nothing")?;
    thread::sleep(Duration::from_millis(500));
    let before = processor(&child)?;
    let workload = Command::new(&programs.workload)
        .args(["rate", &(rate / LINES).to_string(), &SECONDS.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("cannot start the workload")?;
    ensure!(workload.status.success(), "the workload ended with {}", workload.status);
    let processor = (processor(&child)? - before) / f64::from(SECONDS);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let ended = child.wait_with_output()?;
    let summary = String::from_utf8_lossy(&ended.stderr).into_owned();
    let lost = summary.lines().find_map(|line| line.split("lost ").nth(1)?.split(',').next()?.trim().parse().ok());
    let (lines, mut latencies) = reader.join().map_err(|_panic| anyhow::anyhow!("the reader panicked"))??;
    latencies.0.sort_unstable();
    Ok(Seen {
        lines,
        lost: lost.with_context(|| format!("no number of lost events in {summary:?}"))?,
        processor,
        memory: memory.context("no VmHWM")?,
        latencies,
    })
}

/// Lines that are no snapshot, and how late they were.
fn read(mut from: impl std::io::BufRead, attached: &std::sync::mpsc::Sender<()>) -> Result<(u64, Latencies)> {
    let mut line = String::new();
    let (mut lines, mut latencies) = (0, Latencies::default());
    while {
        line.clear();
        from.read_line(&mut line)? > 0
    } {
        if line.starts_with("{\"event\":\"snapshot\"") {
            // The first one counts; nobody listens to the others.
            let _ = attached.send(());
            continue;
        }
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        let stamp = line.split_once("\"boot_ns\":").and_then(|(_, rest)| rest.split([',', '}']).next()?.parse().ok());
        lines += 1;
        latencies.0.push(now.saturating_sub(stamp.with_context(|| format!("a line without boot_ns: {line}"))?));
    }
    Ok((lines, latencies))
}

/// Seconds of processor time of a process, user and system.
fn processor(child: &Child) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let rest = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let ticks: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/PID/stat has no times");
    Ok(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
}
