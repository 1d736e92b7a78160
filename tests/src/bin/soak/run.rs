//! The rounds of one run, and what it says in the end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context;
use fastrand::Rng;
use nstrace_tests::program::{self, patience, settle};
use rustix::process::Signal;

use crate::{
    Options,
    abilities::Abilities,
    census::Census,
    compare,
    crew::Crew,
    difference::{Late, Tolerated},
    divergence::Divergence,
    expected::Expected,
    generate, marker,
    op::Op,
    shrink,
    stream::Stream,
    walk::Walk,
};

/// Pause between two looks at a kernel that is not done yet: the first one, and what it doubles up to.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// One look may take longer than the kernel and others on this machine need to get done.
const FEWEST_LOOKS: u32 = 5;

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// The workers' operations.
    acting: Duration,
    /// Waiting for the last line of a round.
    lines: Duration,
    /// `/proc` and the census, the comparisons, and the pauses between them.
    comparing: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Run<'a> {
    options: &'a Options,
    abilities: Abilities,
    /// How long the kernel may take to get done before a difference counts.
    settle: Duration,
    spent: Spent,
    stream: Stream,
    crew: Crew,
    expected: Expected,
    rounds: u64,
    lossy_rounds: u64,
    censuses: u64,
    /// What lived before the watch.
    before: Census,
    /// Comparisons, the repeated ones too.
    looks: u64,
    tolerated: Tolerated,
    tolerated_before: Tolerated,
}

/// Runs as the options say and prints the figures; false after a divergence.
///
/// # Errors
/// When nstrace or the workers themselves fail.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let start = Instant::now();
    let abilities = Abilities::ask(options)?;
    let mut run = Run::start(options, abilities, settle() * 2)?;
    if !run.abilities.pins {
        program::note("not compared: who is pinned (doctor: pins are not seen in this mode)");
    }
    if !run.abilities.ends {
        program::note("not compared: ends of namespaces (doctor: they are not seen in this mode)");
    }
    if run.abilities.early_ends {
        program::note("not compared: what only a socket or the like holds (doctor: told as ended in this mode)");
    }
    let divergence = match &options.script {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let script: Vec<Op> =
                serde_json::from_slice(&text).with_context(|| format!("{} is no script", path.display()))?;
            run.script(&script)?
        }
        None => run.random()?,
    };
    let Some(divergence) = divergence else {
        let figures = run.finish(start)?;
        println!("soak: ok: {figures}");
        return Ok(true);
    };
    divergence.show(options.seed, &run.stream.lives().0.last, &run.expected)?;
    let figures = run.figures(start);
    drop(run);
    if options.script.is_none() && options.shrink > 0 {
        shrink::shrink(options, abilities, &divergence);
    }
    println!("soak: FAILED: seed {}, {figures}", options.seed);
    Ok(false)
}

impl<'a> Run<'a> {
    /// Starts the watch.
    ///
    /// # Errors
    /// When that fails.
    pub fn start(options: &'a Options, abilities: Abilities, settle: Duration) -> anyhow::Result<Self> {
        let attach = options.attach.as_deref().unwrap_or("auto");
        let more: Vec<String> =
            options.ring_size.iter().flat_map(|size| ["--ring-size".to_owned(), size.to_string()]).collect();
        let before = Census::now()?;
        let stream = Stream::start(attach, &more, options.forget.clone())?;
        stream.lives().0.sees_pins = abilities.pins;
        Ok(Self {
            options,
            abilities,
            settle,
            spent: Spent::default(),
            stream,
            crew: Crew::new()?,
            expected: Expected::default(),
            before,
            rounds: 0,
            lossy_rounds: 0,
            censuses: 0,
            looks: 0,
            tolerated: Tolerated::default(),
            tolerated_before: Tolerated::default(),
        })
    }

    fn random(&mut self) -> anyhow::Result<Option<Divergence>> {
        let mut rng = Rng::with_seed(self.options.seed);
        let end = self.options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        while self.expected.operations < self.options.ops && end.is_none_or(|end| Instant::now() < end) {
            self.crew.fill(self.options.workers, self.options.share, &mut self.expected)?;
            let size = self.options.round;
            let divergence = self.round(|| (0..size).map(|_| generate::operation(&mut rng)).collect())?;
            if divergence.is_some() {
                return Ok(divergence);
            }
        }
        self.last_round()
    }

    /// One worker performs a script, as in random runs in rounds.
    ///
    /// # Errors
    /// When nstrace or the worker fails.
    pub fn script(&mut self, script: &[Op]) -> anyhow::Result<Option<Divergence>> {
        self.crew.fill(1, usize::MAX, &mut self.expected)?;
        for ops in script.chunks(self.options.round) {
            let divergence = self.round(|| ops.to_vec())?;
            if divergence.is_some() {
                return Ok(divergence);
            }
        }
        self.last_round()
    }

    /// Nobody is left.
    fn last_round(&mut self) -> anyhow::Result<Option<Divergence>> {
        let scripts: Vec<Vec<Op>> = self.crew.scripts().iter().map(|script| script.to_vec()).collect();
        self.crew.dismiss_all(&mut self.expected)?;
        let mut divergence = self.round(Vec::new)?;
        if let Some(divergence) = &mut divergence {
            divergence.scripts = scripts;
        }
        Ok(divergence)
    }

    fn round(&mut self, ops: impl FnMut() -> Vec<Op>) -> anyhow::Result<Option<Divergence>> {
        self.rounds += 1;
        let suspend = self.options.suspend.is_some_and(|every| self.rounds.is_multiple_of(every));
        if suspend {
            self.stream.signal(Signal::STOP);
        }
        let start = Instant::now();
        let performed = self.crew.round(ops, &mut self.expected);
        self.spent.acting += start.elapsed();
        if suspend {
            self.stream.signal(Signal::CONT);
        }
        performed?;
        anyhow::ensure!(self.expected.trouble.is_empty(), "the actors failed: {:?}", self.expected.trouble);
        let differences = self.settle()?;
        if self.stream.lives().0.lossy {
            self.lossy_rounds += 1;
        }
        let tolerated = std::mem::take(&mut self.tolerated);
        self.tolerated_before.overtaken += tolerated.overtaken;
        if differences.is_empty() {
            self.expected.next_round();
            self.stream.lives().0.next_round();
            return Ok(None);
        }
        let scripts = self.crew.scripts().iter().map(|script| script.to_vec()).collect();
        Ok(Some(Divergence { round: self.rounds, differences: differences.into_iter().collect(), scripts }))
    }

    /// Waits for all lines so far; then compares until there is no difference, or none that goes away.
    fn settle(&mut self) -> anyhow::Result<BTreeSet<String>> {
        let start = Instant::now();
        let deadline = start + self.settle;
        if !self.mark()? {
            return Ok(BTreeSet::from(["the line of the mark did not come".to_owned()]));
        }
        self.spent.lines += start.elapsed();
        let start = Instant::now();
        let differences = self.compare(deadline);
        self.spent.comparing += start.elapsed();
        differences
    }

    fn compare(&mut self, deadline: Instant) -> anyhow::Result<BTreeSet<String>> {
        let with_census = self.rounds.is_multiple_of(self.options.census) || self.crew.scripts().is_empty();
        let mut differences: Option<BTreeSet<String>> = None;
        let mut pause = FIRST_PAUSE;
        for looks in 1_u32.. {
            let now = self.look(with_census)?;
            let illegal = std::mem::take(&mut self.stream.lives().0.illegal);
            if !illegal.is_empty() {
                return Ok(illegal.into_iter().collect());
            }
            let still: BTreeSet<String> = match differences {
                // An id or a number in the text that changes is a new difference, so it counts only when it stays.
                Some(before) => before.intersection(&now).cloned().collect(),
                None => now,
            };
            let enough = looks >= FEWEST_LOOKS && Instant::now() >= deadline;
            differences = Some(still);
            if enough || differences.as_ref().is_some_and(BTreeSet::is_empty) {
                break;
            }
            self.crew.catch_up(pause, &mut self.expected)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.censuses += u64::from(with_census);
        Ok(differences.unwrap_or_default())
    }

    /// All lines of what happened so far have come. A mark may be among what is lost: then another one, after the repair.
    fn mark(&self) -> anyhow::Result<bool> {
        const MARKS: u32 = 8;
        for _ in 0..MARKS {
            let mark = marker::set()?;
            self.stream.wait_for(patience(), |lives| lives.knows_mark(mark) || lives.unrepaired);
            let repaired = self.stream.wait_for(patience(), |lives| !lives.unrepaired);
            if repaired && self.stream.lives().0.knows_mark(mark) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look(&mut self, with_census: bool) -> anyhow::Result<BTreeSet<String>> {
        self.looks += 1;
        let walk = Walk::now(self.abilities.pins);
        let census = with_census.then(Census::now).transpose()?;
        let mut differences = self.expected.unsaid_ends(&walk);
        let hidden = self.expected.hidden_holders();
        let guard = self.stream.lives();
        let lives = &guard.0;
        if guard.1 {
            differences.insert("nstrace watch has ended".to_owned());
        }
        if lives.unrepaired {
            differences.insert("records were lost and no resynced line came".to_owned());
        }
        if !lives.lossy {
            let late = self.abilities.late.then_some(Late { orphans: &lives.orphans });
            let (found, tolerated) = self.expected.differences(&lives.said, late);
            differences.extend(found);
            self.tolerated = tolerated;
        }
        if self.abilities.ends {
            differences.extend(compare::with_walk(lives, &walk, self.abilities.pins.then_some(&hidden)));
            if let Some(census) = census {
                let early_ends = self.abilities.early_ends.then_some(&walk);
                differences.extend(compare::with_census(
                    lives,
                    &census,
                    self.abilities.lists,
                    &self.before,
                    early_ends,
                ));
            }
        }
        Ok(differences)
    }

    fn finish(self, start: Instant) -> anyhow::Result<String> {
        let figures = self.figures(start);
        self.stream.end()?;
        Ok(figures)
    }

    fn figures(&self, start: Instant) -> String {
        let guard = self.stream.lives();
        let lives = &guard.0;
        format!(
            "{} operations ({} by workers, the rest by their children), {} processes, {} namespaces made, {} lines, {} rounds ({} with losses, {} with a census, {} looks), \
             {} killed in the middle, {} records overtaken by what followed, {} lost in {} losses {:?}, {} resynced ({} ends told too early), {:.0} s (acting {:.0}, awaiting lines {:.0}, comparing {:.0})",
            self.expected.operations,
            self.expected.own_operations,
            self.expected.processes_made,
            lives.created,
            lives.lines,
            self.rounds,
            self.lossy_rounds,
            self.censuses,
            self.looks,
            self.expected.killed,
            self.tolerated_before.overtaken,
            lives.lost,
            lives.losses,
            lives.lost_by_hook,
            lives.resyncs,
            lives.returned,
            start.elapsed().as_secs_f64(),
            self.spent.acting.as_secs_f64(),
            self.spent.lines.as_secs_f64(),
            self.spent.comparing.as_secs_f64()
        )
    }
}
