//! `cargo xtask bench census`: how long lsns(8) and `nstrace ls` take on one and the same farm.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::farm::{CELL, NAMESPACES};
use crate::{run as nstrace, step, workspace};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs of each program at each size
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Put the table into README.md as well
    #[arg(long)]
    readme: bool,
}

/// Sizes of the farm in cells; the first shows what a run costs at all.
const SIZES: [usize; 6] = [0, 67, 134, 267, 300, 534];
/// The size that the goals are about: 4,500 processes in 2,400 namespaces.
const GOAL: usize = 300;
/// What is measured, by the names in the table.
const PROGRAMS: [&str; 3] = ["lsns", "nstrace ls --members", "nstrace ls"];
/// Goals: times faster than lsns, and cost beyond a run on the bare machine.
const MEMBERS_RATIO: f64 = 30.0;
const MEMBERS_BEYOND: Duration = Duration::from_millis(25);
const ALL_RATIO: f64 = 20.0;
/// Linear: a process more costs at most this many times as much at the largest size as at the smallest.
const LINEAR: f64 = 1.5;
/// The table stands between these lines of README.md.
const MARKS: [&str; 2] = ["<!-- made by `cargo xtask bench census --readme` -->", "<!-- end -->"];

/// Prints the table and whether the goals are met; 1 when one is missed.
pub fn run(args: &Args) -> Result<u8> {
    ensure!(rustix::process::geteuid().is_root(), "the farm needs namespaces of all types: run it as root");
    ensure!(step::on_path("lsns"), "lsns is missing: install util-linux");
    let nstrace = nstrace::build("release")?;
    let mut farm = Farm::start()?;
    let mut rows = Vec::new();
    for cells in SIZES {
        rows.push(step::timed(format_args!("measure at {} processes", cells * CELL), || {
            farm.grow(cells)?;
            same_namespaces(&nstrace, cells)?;
            measure(&nstrace, cells, args.runs)
        })?);
    }
    farm.end()?;
    let table = table(&rows, args.runs);
    print!("{table}");
    fs::create_dir_all(workspace::target().join("bench"))?;
    fs::write(workspace::target().join("bench/census.md"), &table)?;
    if args.readme {
        into_readme(&table)?;
    }
    Ok(u8::from(!judge(&rows)))
}

/// The farm's own process.
struct Farm {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Farm {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "farm"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the farm")?;
        let orders = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, orders, answers })
    }

    /// Returns when all processes are there.
    fn grow(&mut self, cells: usize) -> Result<()> {
        writeln!(self.orders, "{cells}").context("the farm is gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer == "ready\n", "the farm did not grow to {cells} cells");
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        drop(self.orders);
        let status = self.child.wait()?;
        ensure!(status.success(), "the farm ended with {status}");
        Ok(())
    }
}

/// Durations of one program at one size, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn min(&self) -> f64 {
        milliseconds(self.0[0])
    }

    fn median(&self) -> f64 {
        milliseconds(self.0[self.0.len() / 2])
    }

    fn max(&self) -> f64 {
        milliseconds(self.0[self.0.len() - 1])
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One size.
struct Row {
    cells: usize,
    /// As [`PROGRAMS`].
    times: [Times; 3],
}

impl Row {
    /// How many times faster than lsns, by medians.
    fn ratio(&self, program: usize) -> f64 {
        self.times[0].median() / self.times[program].median()
    }
}

fn commands(nstrace: &Path) -> [Command; 3] {
    let command = |program: &OsStr, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let nstrace = nstrace.as_os_str();
    [command(OsStr::new("lsns"), &[]), command(nstrace, &["ls", "--members"]), command(nstrace, &["ls"])]
}

/// All programs in turn, so that what else the machine does falls on each of them.
fn measure(nstrace: &Path, cells: usize, runs: u16) -> Result<Row> {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..runs {
        for (program, times) in commands(nstrace).iter_mut().zip(&mut times) {
            let start = Instant::now();
            let status = program.stdout(Stdio::null()).status()?;
            times.push(start.elapsed());
            // 4: what could not be seen is said, on kernels where something cannot.
            ensure!(matches!(status.code(), Some(0 | 4)), "{program:?} ended with {status}");
        }
    }
    let times = times.map(|mut times| {
        times.sort_unstable();
        Times(times)
    });
    Ok(Row { cells, times })
}

/// What is measured has to be right as well: each program lists the namespaces of all cells.
fn same_namespaces(nstrace: &Path, cells: usize) -> Result<()> {
    let mut listed = Vec::new();
    for program in &mut commands(nstrace) {
        program.args(["-n", "-oNS"]);
        let output = program.output()?;
        let mut inums: Vec<u64> =
            String::from_utf8(output.stdout)?.lines().filter_map(|line| line.trim().parse().ok()).collect();
        inums.sort_unstable();
        ensure!(inums.len() >= cells * NAMESPACES, "{program:?} lists {} namespaces only", inums.len());
        listed.push(inums);
    }
    // Namespaces of short-lived processes of others may come and go; the farm's stay.
    let lost = listed[0].iter().filter(|inum| listed[1].binary_search(inum).is_err()).count();
    if lost > 0 {
        bail!("nstrace ls --members does not list {lost} namespaces that lsns lists");
    }
    Ok(())
}

fn table(rows: &[Row], runs: u16) -> String {
    let mut text = format!(
        "`cargo xtask bench census` on {}: median (least to most) of {runs} runs in turn, milliseconds, process start and end \
         included.\n\n| processes | namespaces | {} |\n|---:|---:|---:|---:|---:|\n",
        machine(),
        PROGRAMS.map(|name| format!("`{name}`")).join(" | ")
    );
    for row in rows {
        let _ = write!(text, "| +{} | +{} ", row.cells * CELL, row.cells * NAMESPACES);
        for (program, times) in row.times.iter().enumerate() {
            let _ = write!(text, "| {:.1} ({:.1} to {:.1})", times.median(), times.min(), times.max());
            if program > 0 {
                let _ = write!(text, " = {:.1}x ", row.ratio(program));
            } else {
                text.push(' ');
            }
        }
        text.push_str("|\n");
    }
    text
}

/// Kernel, processors and lsns.
fn machine() -> String {
    let lsns = step::probe(Command::new("lsns").arg("--version")).unwrap_or_default();
    format!("{}, {}", super::machine(), lsns.trim())
}

/// Says which goals are met.
fn judge(rows: &[Row]) -> bool {
    let (Some(bare), Some(first), Some(last)) = (rows.first(), rows.get(1), rows.last()) else { return false };
    let Some(goal) = rows.iter().find(|row| row.cells == GOAL) else { return false };
    let mut met = true;
    let mut say = |name: &str, value: f64, limit: f64, good: bool| {
        met &= good;
        println!("{}: {name}: {value:.1} (goal {limit:.1})", if good { "met" } else { "MISSED" });
    };
    let members = goal.ratio(1);
    say("ls --members, times faster than lsns", members, MEMBERS_RATIO, members >= MEMBERS_RATIO);
    let beyond = goal.times[1].median() - bare.times[1].median();
    let limit = milliseconds(MEMBERS_BEYOND);
    say("ls --members beyond a run on the bare machine, ms", beyond, limit, beyond <= limit);
    let all = goal.ratio(2);
    say("ls, times faster than lsns", all, ALL_RATIO, all >= ALL_RATIO);
    for (program, name) in PROGRAMS.iter().enumerate().skip(1) {
        let each = |row: &Row| (row.times[program].median() - bare.times[program].median()) / row.cells as f64;
        let growth = each(last) / each(first);
        say(&format!("{name}, cost of a process at the most to that at the fewest"), growth, LINEAR, growth <= LINEAR);
    }
    met
}

fn into_readme(table: &str) -> Result<()> {
    let path = workspace::root().join("README.md");
    let text = fs::read_to_string(&path)?;
    let parts = text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.with_context(|| format!("{} has no lines {MARKS:?}", path.display()))?;
    fs::write(&path, format!("{before}{}\n{table}{}{after}", MARKS[0], MARKS[1]))?;
    step::note(format_args!("{} has the new table", path.display()));
    Ok(())
}
