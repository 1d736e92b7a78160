//! Attacks and honest work with nstrace watching: each attack that is seen in this attach mode yields its finding, with the task
//! and the namespace; a refused one and honest work yield none. What was recorded meanwhile replays to the same bytes.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{bail, ensure};
use nstrace_tests::{
    container::Runtime,
    escape::{
        engines,
        finding::Finding,
        honest,
        judge::Tried,
        stage::Stage,
        table::{ROWS, Row, by_needs},
    },
    line::Line,
    live::{facts, one_at_a_time},
    program::{self, in_guest, note, patience, settle},
    sys::boot_ns,
    watch::{Ended, Watch, without_loss},
};

/// What the whole run may print.
const MOST_BYTES: usize = 1_000_000;

/// What was done while the watch ran.
#[derive(Default)]
struct Done {
    tried: Vec<Tried>,
    /// What, from when, to when.
    honest: Vec<(&'static str, u64, u64)>,
    /// Tasks of the host that executed a file of a container: pid, from when, to when.
    led_astray: Vec<(u32, u64, u64)>,
}

impl Done {
    fn faults(&self, lines: &[Line]) -> anyhow::Result<Vec<String>> {
        let facts = facts()?;
        let findings = Finding::all(lines)?;
        let seen = self.tried.iter().filter(|tried| tried.excuse(facts).is_none());
        let mut faults: Vec<String> = seen.filter_map(|tried| tried.fault(&findings)).collect();
        if facts.unseen("denied-setns-unshare").is_none() {
            faults.extend(self.tried.iter().filter_map(|tried| tried.denial_missing(lines)));
        }
        // Where the mount of a program can be read at all.
        for (pid, began, ended) in self.led_astray.iter().filter(|_| facts.unseen("opens").is_none()) {
            let is_it =
                |f: &&Finding| f.rule == "NST-020" && f.alerts() && f.task.as_ref().is_some_and(|t| t.pid == *pid);
            if !findings.iter().filter(|f| (*began..=*ended).contains(&f.boot_ns)).any(|f| is_it(&f)) {
                faults.push(format!("pid {pid} of the host executed a file of a container: no NST-020"));
            }
        }
        for (name, began, ended) in &self.honest {
            let alleged = findings.iter().filter(|f| f.alerts() && (*began..=*ended).contains(&f.boot_ns));
            faults.extend(alleged.map(|finding| format!("{name} is honest: {}", finding.brief())));
        }
        Ok(faults)
    }

    /// A finding of a task that forged.
    fn forged(&self, line: &Line) -> bool {
        let finding = Finding::of(line).ok().flatten();
        let of = |tried: &Tried| finding.as_ref().is_some_and(|finding| tried.forged(finding));
        self.tried.iter().any(of)
    }
}

/// The suite's own runtime: a container for all techniques that need the same, then the honest work.
fn own_runtime(stage: &mut Stage) -> anyhow::Result<Done> {
    let mut done = Done::default();
    for (needs, rows) in by_needs() {
        let techniques: Vec<&str> = rows.iter().map(|row| row.technique).collect();
        let began = boot_ns();
        let acts = stage.attempt(needs, &techniques)?;
        let ended = boot_ns();
        let tried = rows.into_iter().zip(acts);
        done.tried.extend(tried.map(|(row, act)| Tried { row, act, began, ended, runtime: "own" }));
    }
    let began = boot_ns();
    let mut astray = Command::new(format!("/proc/{}/root/escape", stage.given().neighbour_pid));
    let mut child = astray.arg("list").stdout(Stdio::null()).spawn()?;
    ensure!(child.wait()?.success(), "{astray:?} failed");
    done.led_astray.push((child.id(), began, boot_ns()));
    done.honest = honest::work(stage)?;
    Ok(done)
}

/// A real runtime: one container for all techniques, then its honest work.
fn real_runtime(stage: &mut Stage, runtime: Runtime) -> anyhow::Result<Done> {
    let rows: Vec<&'static Row> = ROWS.iter().filter(|row| row.real_runtimes).collect();
    let techniques: Vec<&str> = rows.iter().map(|row| row.technique).collect();
    let began = boot_ns();
    let acts = engines::attempt(stage, runtime, &techniques)?;
    let ended = boot_ns();
    let tried = rows.into_iter().zip(acts);
    let tried = tried.map(|(row, act)| Tried { row, act, began, ended, runtime: runtime.name() }).collect();
    let began = boot_ns();
    honest::engine(runtime)?;
    Ok(Done { tried, honest: vec![(runtime.name(), began, boot_ns())], ..Done::default() })
}

fn settled(watch: Watch, done: &Done) -> anyhow::Result<Ended> {
    watch.wait_for(Instant::now() + settle(), |lines| done.faults(lines).is_ok_and(|faults| faults.is_empty()));
    let ended = watch.stop_after(|line| done.forged(line))?;
    keep(&ended.lines)?;
    let mut excuses: BTreeMap<String, usize> = BTreeMap::new();
    done.tried
        .iter()
        .filter_map(|tried| tried.excuse(facts().ok()?))
        .for_each(|why| *excuses.entry(why).or_default() += 1);
    excuses.iter().for_each(|(why, count)| note(&format!("{count} findings not asked for: {why}")));
    ended.check()?;
    let faults = done.faults(&ended.lines)?;
    let printed: usize = ended.lines.iter().map(|line| line.raw.len() + 1).sum();
    let findings = ended.lines.iter().filter(|line| line.event == "finding").count();
    note(&format!(
        "{} attempts, {} pieces of honest work: {} lines, {findings} findings, {printed} bytes, {} faults",
        done.tried.len(),
        done.honest.len(),
        ended.lines.len(),
        faults.len()
    ));
    if !faults.is_empty() {
        bail!("{} faults:\n{}", faults.len(), faults.join("\n"));
    }
    // Elsewhere others are at work on the same machine.
    ensure!(!in_guest() || printed < MOST_BYTES, "{printed} bytes were printed, more than {MOST_BYTES}");
    Ok(ended)
}

/// With `NSTRACE_KEEP`, leaves the lines in that folder.
fn keep(lines: &[Line]) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("NSTRACE_KEEP") else { return Ok(()) };
    let text: String = lines.iter().flat_map(|line| [line.raw.as_str(), "\n"]).collect();
    let name = format!("escapes-{}.jsonl", std::thread::current().name().unwrap_or("test"));
    Ok(std::fs::write(std::path::Path::new(&folder).join(name), text)?)
}

#[test]
fn own_containers_and_honest_work() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let watched = || -> anyhow::Result<()> {
        let mut stage = Stage::new()?;
        let recording = tempfile::tempdir()?;
        let recording = recording.path().join("escapes.nst");
        let watch = Watch::record(&recording)?;
        let done = own_runtime(&mut stage)?;
        let ended = settled(watch, &done)?;
        let replayed =
            program::run(Command::new(program::nstrace()).args(["replay", "-J"]).arg(&recording), patience())?;
        ensure!(replayed.status.code() == Some(0), "replay ended with {}: {}", replayed.status, replayed.stderr);
        let replayed = String::from_utf8(replayed.stdout)?;
        for (number, (then, now)) in ended.lines.iter().zip(replayed.lines()).enumerate() {
            ensure!(then.raw == now, "line {number} was\n{}\nand is\n{now}", then.raw);
        }
        let lines = replayed.lines().count();
        ensure!(lines == ended.lines.len(), "{} lines were printed, {lines} are replayed", ended.lines.len());
        Ok(())
    };
    if let Err(error) = without_loss("own containers", watched) {
        panic!("{error:#}");
    }
}

fn check(runtime: Runtime) {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    // What a runtime does to the kernel is the same in every attach mode; the suite's own containers try each.
    if program::again() {
        note(&format!("{runtime:?} was tested in another attach mode"));
        return;
    }
    // Nor does the kernel make a difference to what engines ask of their runtime.
    if program::between() && runtime != Runtime::Runc {
        note(&format!("{runtime:?} is tested on an older kernel and a newer one"));
        return;
    }
    if !runtime.is_here() {
        return;
    }
    let watched = || -> anyhow::Result<()> {
        let mut stage = Stage::new()?;
        let watch = Watch::start(&[])?;
        let done = real_runtime(&mut stage, runtime)?;
        settled(watch, &done).map(drop)
    };
    if let Err(error) = without_loss(runtime.name(), watched) {
        panic!("{runtime:?}: {error:#}");
    }
}

#[test]
fn runc() {
    check(Runtime::Runc);
}

#[test]
fn crun() {
    check(Runtime::Crun);
}

#[test]
fn podman() {
    check(Runtime::Podman);
}

#[test]
fn docker() {
    check(Runtime::Docker);
}

/// A user's own containers are no attack; what its techniques may do is little, so none is tried.
#[test]
fn rootless_podman_is_honest() {
    let _turn = one_at_a_time();
    if !program::live() || !Runtime::Rootless.is_here() {
        return;
    }
    let watched = || -> anyhow::Result<()> {
        let watch = Watch::start(&[])?;
        let began = boot_ns();
        honest::engine(Runtime::Rootless)?;
        let done = Done { honest: vec![("rootless podman", began, boot_ns())], ..Done::default() };
        settled(watch, &done).map(drop)
    };
    if let Err(error) = without_loss("rootless podman", watched) {
        panic!("{error:#}");
    }
}
