//! The tests in guests: one boot per kernel, in it the suites in every attach mode that they need; several guests side by side.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::Built;
use super::tally::{Report, Tally};
use crate::guest::kernel::Kernel;
use crate::guest::machine::{self, Machine};
use crate::guest::payload::{Output, Payload};
use crate::step;

/// Suites that do not attach, whose subject is the same whatever attaches, or that take long: in the mode that
/// [`Runs::modes_of`] names first. So every mode has them on every other kernel.
const ONCE: [&str; 5] = ["escape_techniques", "live_audit", "live_census", "live_soak", "live_storms"];

/// Suites whose subject (engines, options, names, recordings) is the same on every kernel, too: in one guest, that of the first
/// kernel, which is emulated soonest.
const ONCE_IN_ALL: [&str; 4] = ["bad_input", "live_containers", "live_hostile", "live_recording"];

/// Suites to which the kernels between the first and the last are like one of these. Others learn by `NSTRACE_BETWEEN` that theirs
/// is one of those.
const AT_THE_ENDS: [&str; 1] = ["live_audit"];

/// What to run.
#[derive(Debug)]
pub struct Runs<'a> {
    pub kernels: &'a [Kernel],
    pub modes: &'a [String],
    pub harness: &'a [String],
    pub jobs: usize,
    pub cpus: u32,
    pub timeout_seconds: u64,
}

impl Runs<'_> {
    pub fn run(&self, built: &Built, report: &mut Report) -> Result<()> {
        if built.suites.is_empty() {
            step::note("the tests crate has no integration tests: nothing to run in guests");
            return Ok(());
        }
        // What takes longest comes first, so that all end at about the same time.
        let mut kernels: Vec<Kernel> = self.kernels.iter().rev().copied().collect();
        kernels
            .sort_by_key(|&kernel| Reverse(built.suites.iter().filter(|suite| self.has(kernel, &suite.name)).count()));
        let queue = Mutex::new(kernels.into_iter());
        let rows = thread::scope(|scope| {
            let worker = || -> Result<Vec<(Kernel, Framed)>> {
                let mut done = Vec::new();
                loop {
                    // In a statement of its own: the lock must not be held while the guest runs.
                    let next = queue.lock().map_err(|_poisoned| anyhow!("a guest's thread panicked"))?.next();
                    let Some(kernel) = next else { break };
                    done.push((kernel, self.one(kernel, built)?));
                }
                Ok(done)
            };
            let workers: Vec<_> = (0..self.jobs.min(self.kernels.len())).map(|_| scope.spawn(worker)).collect();
            let joined = workers
                .into_iter()
                .map(|worker| worker.join().map_err(|_panic| anyhow!("a guest's thread panicked"))?);
            joined.collect::<Result<Vec<_>>>()
        })?;
        let mut rows: Vec<_> = rows.into_iter().flatten().collect();
        rows.sort_by_key(|(kernel, _)| self.kernels.iter().position(|wanted| wanted == kernel));
        for (kernel, framed) in rows {
            for (mode, tally, seconds) in framed.by_mode {
                report.add(format!("guest {kernel} {mode}"), tally, seconds);
            }
        }
        Ok(())
    }

    /// Whether this suite runs in the guest of this kernel.
    fn has(&self, kernel: Kernel, suite: &str) -> bool {
        let elsewhere = ONCE_IN_ALL.contains(&suite) && self.kernels.first() != Some(&kernel);
        let at_the_ends = AT_THE_ENDS.contains(&suite) && self.is_between(kernel);
        !elsewhere && !at_the_ends
    }

    /// Neither the first kernel nor the last.
    fn is_between(&self, kernel: Kernel) -> bool {
        ![self.kernels.first(), self.kernels.last()].contains(&Some(&kernel))
    }

    /// The modes, each of them first on every other kernel.
    fn modes_of(&self, kernel: Kernel) -> Vec<String> {
        let mut modes = self.modes.to_vec();
        let turn = Kernel::ALL.iter().rev().position(|known| *known == kernel).unwrap_or_default();
        modes.rotate_left(turn % self.modes.len().max(1));
        modes
    }

    fn one(&self, kernel: Kernel, built: &Built) -> Result<Framed> {
        let modes = self.modes_of(kernel);
        let mut command = vec!["guest-suite".to_owned(), modes.join(",")];
        let suites: Vec<_> = built.suites.iter().filter(|suite| self.has(kernel, &suite.name)).collect();
        command.extend(suites.iter().map(|suite| suite.name.clone()));
        command.push("--".to_owned());
        command.extend(self.harness.iter().cloned());
        let mut payload = Payload::new(&command);
        payload.output = Output::Lines;
        payload.env("NSTRACE_GUEST", "1");
        payload.env("NSTRACE_ONCE", &[&ONCE[..], &ONCE_IN_ALL].concat().join(" "));
        if self.is_between(kernel) {
            payload.env("NSTRACE_BETWEEN", "1");
        }
        payload.program("nstrace", &built.nstrace);
        payload.env("NSTRACE_BIN", "/payload/bin/nstrace");
        if let Some(actor) = &built.actor {
            payload.program("actor", actor);
            payload.env("NSTRACE_ACTOR", "/payload/bin/actor");
        }
        if let Some(soak) = &built.soak {
            payload.program("soak", soak);
            payload.env("NSTRACE_SOAK", "/payload/bin/soak");
        }
        if let Some(escape) = &built.escape {
            payload.program("escape", escape);
            payload.env("NSTRACE_ESCAPE", "/payload/bin/escape");
        }
        payload.forge(kernel);
        for suite in suites {
            payload.program(&suite.name, &suite.path);
        }
        let machine = Machine { cpus: self.cpus, timeout_seconds: self.timeout_seconds, ..Machine::new(kernel) };
        let mut framed = Framed::new(&modes);
        step::timed(format_args!("tests in a guest with kernel {kernel}"), || {
            let status = machine.run_lines(&payload, |line| {
                println!("[{kernel}] {line}");
                framed.line(line);
            })?;
            framed.end(status);
            Ok(())
        })?;
        Ok(framed)
    }
}

/// Reads the frames that `guest-suite` puts around each executable's output.
#[derive(Debug)]
struct Framed {
    by_mode: Vec<(String, Tally, f64)>,
    running: Option<Running>,
}

/// The executable that is running.
#[derive(Debug)]
struct Running {
    /// Its mode's place in `by_mode`.
    place: usize,
    /// Test by test, for the case that the summary never comes.
    so_far: Tally,
    /// What libtest counted at the end.
    summary: Option<Tally>,
    start: Instant,
}

impl Framed {
    fn new(modes: &[String]) -> Self {
        Self { by_mode: modes.iter().map(|mode| (mode.clone(), Tally::default(), 0.0)).collect(), running: None }
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("guest-suite: begin ") {
            let mode = rest.split(' ').next().unwrap_or_default();
            let place = self.by_mode.iter().position(|(known, ..)| known == mode);
            self.running =
                place.map(|place| Running { place, so_far: Tally::default(), summary: None, start: Instant::now() });
        } else if let Some(rest) = line.strip_prefix("guest-suite: end ") {
            self.finish(rest.ends_with(" 0"));
        } else if let Some(running) = &mut self.running {
            running.summary = running.summary.or(Tally::of_line(line));
            running.so_far += Tally::of_test(line).unwrap_or_default();
        }
    }

    fn finish(&mut self, clean: bool) {
        let Some(running) = self.running.take() else { return };
        let mut tally = running.summary.unwrap_or(running.so_far);
        if running.summary.is_none() || !clean && tally.failed == 0 {
            // It crashed, or it ended without a word.
            tally += Tally::FAILURE;
        }
        let (_, total, seconds) = &mut self.by_mode[running.place];
        *total += tally;
        *seconds += running.start.elapsed().as_secs_f64();
    }

    /// The guest ended: whatever was still running has failed, and modes that never ran have too.
    fn end(&mut self, status: u8) {
        self.finish(false);
        for (mode, tally, _) in &mut self.by_mode {
            if *tally == Tally::default() {
                let why = if status == 0 { "no test ran".to_owned() } else { machine::meaning(status) };
                step::note(format_args!("mode {mode}: {why}"));
                *tally += Tally::FAILURE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_THE_ENDS, Framed, Kernel, ONCE, ONCE_IN_ALL, Runs, Tally};

    #[test]
    fn every_suite_has_its_guests() {
        let guests = |kernels: &[Kernel], suite: &str| {
            let runs = Runs { kernels, modes: &[], harness: &[], jobs: 1, cpus: 1, timeout_seconds: 1 };
            kernels.iter().filter(|&&kernel| runs.has(kernel, suite)).count()
        };
        for (suites, many) in [(&ONCE_IN_ALL[..], 1), (&AT_THE_ENDS, 2), (&["live_calls"], Kernel::ALL.len())] {
            for suite in suites {
                assert_eq!(guests(&Kernel::ALL, suite), many, "{suite}");
                assert_eq!(guests(&Kernel::ALL[1..2], suite), 1, "{suite}");
            }
        }
        assert!(AT_THE_ENDS.iter().all(|suite| ONCE.contains(suite)));
    }

    fn fed(lines: &[&str], status: u8) -> Vec<Tally> {
        let mut framed = Framed::new(&["kprobe".to_owned(), "fentry".to_owned()]);
        lines.iter().for_each(|line| framed.line(line));
        framed.end(status);
        framed.by_mode.into_iter().map(|(_, tally, _)| tally).collect()
    }

    #[test]
    fn modes_are_counted_apart() {
        let lines = [
            "guest-suite: begin kprobe life",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured",
            "guest-suite: end kprobe life 0",
            "guest-suite: begin fentry life",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured",
            "guest-suite: end fentry life 101",
        ];
        let expected = [Tally { passed: 3, failed: 0, skipped: 1 }, Tally { passed: 2, failed: 1, skipped: 1 }];
        assert_eq!(fed(&lines, 0), expected);
    }

    #[test]
    fn a_crash_and_a_dead_guest_are_failures() {
        let crashed = ["guest-suite: begin kprobe life", "guest-suite: end kprobe life 139"];
        assert_eq!(fed(&crashed, 0), [Tally::FAILURE, Tally::FAILURE]);
        let dead =
            ["guest-suite: begin kprobe life", "test a ... ok", "test b ... FAILED", "test c ... ok", "test d ..."];
        assert_eq!(fed(&dead, 125)[0], Tally { passed: 2, failed: 2, skipped: 0 });
    }
}
