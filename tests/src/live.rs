//! One watch, many scenarios: what every live test does.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use anyhow::{Context, bail};

use crate::{
    deed::Deed,
    doctor::Facts,
    expect::Book,
    line::Line,
    matching::judge,
    program::{self, note, patience, settle},
    watch::{Watch, without_loss},
};

/// Live tests of one executable run one after the other: each has a watch of its own.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `nstrace doctor -J` says about this run's attach mode; asked once, for it takes as long as starting a watch.
///
/// # Errors
/// When it fails or prints something else.
pub fn facts() -> anyhow::Result<&'static Facts> {
    static FACTS: OnceLock<Facts> = OnceLock::new();
    if let Some(facts) = FACTS.get() {
        return Ok(facts);
    }
    let facts = ask_doctor()?;
    Ok(FACTS.get_or_init(|| facts))
}

fn ask_doctor() -> anyhow::Result<Facts> {
    let mut command = Command::new(program::nstrace());
    let output = program::run(command.args(["doctor", "-J", "--attach", &program::attach()]), patience())?;
    let code = output.status.code();
    if !matches!(code, Some(0 | 4)) {
        bail!("nstrace doctor -J ended with {}: {}", output.status, output.stderr);
    }
    let facts = Facts::parse(&output.text())?;
    if facts.incomplete() != (code == Some(4)) {
        bail!("nstrace doctor -J ended with {code:?}; 4 means that something stays invisible, 0 that nothing does");
    }
    Ok(facts)
}

/// Performs scenarios or groups of them.
///
/// # Errors
/// When the actor fails or prints something that is no deed.
pub fn perform(names: &[&str]) -> anyhow::Result<Vec<Deed>> {
    let output = program::run(Command::new(program::actor()).arg("run").args(names), patience())?;
    let text = String::from_utf8(output.stdout).context("the actor prints JSON")?;
    let deeds = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a deed: {line}")))
        .collect::<anyhow::Result<Vec<Deed>>>()?;
    if !output.status.success() {
        bail!("the actor failed ({}): {}", output.status, output.stderr);
    }
    Ok(deeds)
}

/// Watches the scenarios and compares; `more` are further arguments of the watch.
///
/// # Panics
/// When nstrace and the kernel do not agree, with everything that differs.
pub fn check(names: &[&str]) {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    if let Err(error) = without_loss(&format!("{names:?}"), || watched(names)) {
        panic!("{names:?}: {error:#}");
    }
}

/// With `NSTRACE_KEEP`, leaves the deeds and the lines in that folder.
fn keep(name: &str, deeds: &[Deed], lines: &[Line]) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("NSTRACE_KEEP") else { return Ok(()) };
    let folder = Path::new(&folder);
    let deeds = deeds.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<&str> = lines.iter().map(|line| line.raw.as_str()).collect();
    fs::write(folder.join(format!("{name}.deeds.jsonl")), deeds.join("\n") + "\n")?;
    fs::write(folder.join(format!("{name}.lines.jsonl")), lines.join("\n") + "\n")?;
    Ok(())
}

fn watched(names: &[&str]) -> anyhow::Result<()> {
    let facts = facts()?;
    let start = Instant::now();
    let watch = Watch::start(&[])?;
    let ready = start.elapsed();
    let deeds = perform(names)?;
    let book = Book::of(&deeds);
    let acted = start.elapsed();
    anyhow::ensure!(!book.expects.is_empty(), "the scenarios expect nothing");
    let deadline = Instant::now() + settle();
    watch.wait_for(deadline, |lines| judge(&book, lines, facts).missing.is_empty());
    let matched = start.elapsed();
    let ended = watch.stop()?;
    ended.check()?;
    keep(&names.join("-"), &deeds, &ended.lines)?;
    let verdict = judge(&book, &ended.lines, facts);
    for why in &book.skipped {
        note(&format!("not performed: {why}"));
    }
    for (why, count) in &verdict.skipped {
        note(&format!("not compared, {count} times {why}"));
    }
    note(&format!(
        "{names:?}: {} of {} lines as expected; ready {ready:.1?}, acted {acted:.1?}, matched {matched:.1?}, stopped {:.1?}",
        verdict.matched,
        book.expects.len(),
        start.elapsed()
    ));
    anyhow::ensure!(book.failed.is_empty(), "scenarios failed: {:?}", book.failed);
    anyhow::ensure!(!program::in_guest() || book.skipped.is_empty(), "a guest has everything, but: {:?}", book.skipped);
    if !verdict.is_good() {
        bail!("nstrace and the kernel do not agree\n{verdict}");
    }
    Ok(())
}
