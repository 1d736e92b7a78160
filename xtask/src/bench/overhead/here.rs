//! Measures on the machine that it runs on: the build machine, or a guest.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::tracer::{self, Tracer};
use crate::step;

/// What is needed.
#[derive(Debug)]
pub struct Programs {
    pub nstrace: PathBuf,
    pub workload: PathBuf,
}

/// Runs every operation under every tracer there is, `rounds` times in turn. Each line: tracer, operation, wall, own,
/// with tabs between.
pub fn measure(programs: &Programs, rounds: u32, percent: u32, line: &mut dyn FnMut(String)) -> Result<()> {
    let mut tracers = tracer::all(programs);
    for round in 0..rounds {
        let mut left = Vec::new();
        for tracer in tracers {
            match under(&tracer, programs, percent) {
                Ok(costs) => {
                    for (operation, wall, own) in costs {
                        line(format!("{}\t{operation}\t{wall}\t{own}", tracer.name));
                    }
                    left.push(tracer);
                }
                // Not every machine lets every tracer run; a table without it says so by its absence.
                Err(error) if round == 0 && tracer.is_peer() => {
                    step::note(format_args!("{} is left out: {error:#}", tracer.name));
                }
                Err(error) => return Err(error.context(tracer.name)),
            }
        }
        tracers = left;
    }
    Ok(())
}

/// One run of the workload: operation, wall, own.
fn under(tracer: &Tracer, programs: &Programs, percent: u32) -> Result<Vec<(String, u64, u64)>> {
    let running = tracer.start()?;
    let mut command = match &tracer.wrapper {
        None => Command::new(&programs.workload),
        Some(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).arg(&programs.workload);
            command
        }
    };
    command.args(["run", &percent.to_string()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start it")?;
    running.stop()?;
    ensure!(output.status.success(), "the workload ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the workload's output")?;
    text.lines().map(|line| cost(line).with_context(|| format!("the workload said {line:?}"))).collect()
}

fn cost(line: &str) -> Option<(String, u64, u64)> {
    let mut words = line.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
