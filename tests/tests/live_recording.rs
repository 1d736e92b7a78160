//! What was recorded replays to what was printed meanwhile, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nstrace_tests::{
    live::{one_at_a_time, perform},
    program::{self, patience},
};

/// Folder of one recording; left behind in `NSTRACE_RECORDINGS` when that is set.
struct Files {
    _folder: Option<tempfile::TempDir>,
    recording: PathBuf,
    lines: PathBuf,
}

impl Files {
    fn new(name: &str) -> anyhow::Result<Self> {
        let (folder, place) = match std::env::var_os("NSTRACE_RECORDINGS") {
            Some(place) => (None, PathBuf::from(place)),
            None => {
                let folder = tempfile::tempdir()?;
                let place = folder.path().to_owned();
                (Some(folder), place)
            }
        };
        let name = format!("{name}-{}", program::attach());
        let files = Self {
            _folder: folder,
            recording: place.join(format!("{name}.nst")),
            lines: place.join(format!("{name}.jsonl")),
        };
        for leftover in ["nst", "nst-wal", "nst-shm", "jsonl"] {
            let leftover = files.recording.with_extension(leftover);
            if leftover.exists() {
                fs::remove_file(leftover)?;
            }
        }
        Ok(files)
    }

    fn lines(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.lines)?)
    }
}

struct Recorder(Child);

impl Recorder {
    /// Starts it and waits for its first line: from then on everything is seen.
    fn start(files: &Files, more: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(program::nstrace())
            .args(["record", "-J", "--attach", &program::attach(), "-o"])
            .arg(&files.recording)
            .args(more)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&files.lines)?)
            .spawn()
            .context("cannot start nstrace")?;
        let mut recorder = Self(child);
        let deadline = Instant::now() + patience();
        while !files.lines()?.contains('\n') {
            if let Some(status) = recorder.0.try_wait()? {
                bail!("nstrace record ended with {status} before its first line");
            }
            ensure!(Instant::now() < deadline, "no line within {:?}", patience());
            std::thread::sleep(Duration::from_millis(20)); // a file tells nobody that it has grown
        }
        Ok(recorder)
    }

    fn end(&mut self, signal: rustix::process::Signal) -> anyhow::Result<std::process::ExitStatus> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal)?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        program::kill(&mut self.0);
    }
}

fn said(verb: &str, more: &[&str], recording: &Path) -> anyhow::Result<program::Output> {
    program::run(Command::new(program::nstrace()).arg(verb).args(more).arg(recording), patience())
}

fn text(output: &program::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn same(files: &Files, replayed: &str) -> anyhow::Result<()> {
    let live = files.lines()?;
    for (n, (then, now)) in live.lines().zip(replayed.lines()).enumerate() {
        ensure!(then == now, "line {n} was\n{then}\nand is\n{now}");
    }
    ensure!(live == replayed, "{} lines were printed, {} are replayed", live.lines().count(), replayed.lines().count());
    Ok(())
}

/// The ring was large enough after all; everything else was as it should be.
#[derive(Debug, thiserror::Error)]
#[error("nothing was lost, so nothing about losses was tested")]
struct NothingLost;

fn round_trip(name: &str, scenarios: &[&str], more: &[&str], losses: bool) -> anyhow::Result<()> {
    let files = Files::new(name)?;
    let mut recorder = Recorder::start(&files, more)?;
    perform(scenarios)?;
    let status = recorder.end(rustix::process::Signal::INT)?;
    ensure!(status.code() == Some(0), "nstrace record ended with {status}");
    let verdict = said("verify", &["-J"], &files.recording)?;
    ensure!(verdict.status.code() == Some(0), "not whole: {}", verdict.stderr);
    let replayed = said("replay", &["-J"], &files.recording)?;
    ensure!(replayed.status.code() == Some(0), "replay ended with {}: {}", replayed.status, replayed.stderr);
    same(&files, &text(&replayed))?;
    let events = files.lines()?.lines().filter(|line| !line.contains("\"event\":\"snapshot\"")).count();
    ensure!(events > 50, "only {events} events were recorded");
    if losses {
        ensure!(files.lines()?.contains("\"event\":\"resynced\""), NothingLost);
    }
    program::note(&format!(
        "{name}: {events} lines replayed as they were, {} bytes",
        files.recording.metadata()?.len()
    ));
    Ok(())
}

#[test]
fn a_replay_is_what_was_printed() {
    let _turn = one_at_a_time();
    if program::live() {
        round_trip("calls", &["calls", "denied", "nested", "threads", "hostile"], &[], false).expect("the same");
    }
}

#[test]
fn a_replay_with_losses_is_what_was_printed() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    // Whether a small ring overflows is a matter of luck; whatever happened must replay.
    let tries = if program::in_guest() { 1 } else { 3 };
    for _ in 0..tries {
        match round_trip("losses", &["storms"], &["--ring-size", "64K"], true) {
            Ok(()) => return,
            Err(error) if error.is::<NothingLost>() => program::note(&format!("losses: {error}")),
            Err(error) => panic!("{error:#}"),
        }
    }
}

/// SIGKILL loses the last second or the last thousand facts at most.
#[test]
fn a_killed_recorder_leaves_a_whole_recording() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let killed = || -> anyhow::Result<()> {
        let files = Files::new("killed")?;
        let mut recorder = Recorder::start(&files, &[])?;
        perform(&["calls"])?;
        let before = files.lines()?;
        // What was printed a second ago is in the file: the time that is waited for is the promise itself.
        std::thread::sleep(Duration::from_millis(1200));
        recorder.end(rustix::process::Signal::KILL)?;
        let verdict = said("verify", &["-J"], &files.recording)?;
        ensure!(verdict.status.code() == Some(0), "not whole: {}", verdict.stderr);
        ensure!(text(&verdict).contains("\"end\": null"), "it says that it was ended: {}", text(&verdict));
        let replayed = said("replay", &["-J"], &files.recording)?;
        ensure!(replayed.status.code() == Some(0), "replay ended with {}: {}", replayed.status, replayed.stderr);
        let replayed = text(&replayed);
        let live = files.lines()?;
        ensure!(replayed.len() >= before.len(), "{} bytes of {} are left", replayed.len(), before.len());
        ensure!(live.starts_with(&replayed) || replayed.starts_with(&live), "other lines than were printed");
        Ok(())
    };
    killed().expect("a whole recording");
}
