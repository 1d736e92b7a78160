//! A running `nstrace watch -J`: started, known to be ready, read, stopped and accounted for.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ExitStatus},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    line::Line,
    program::{self, patience},
};

/// What the reading thread has got so far.
#[derive(Debug, Default)]
struct Received {
    lines: Vec<Line>,
    /// Output that is no event line.
    faults: Vec<String>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    shared: Arc<Shared>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

/// A watch that was stopped.
#[derive(Debug)]
pub struct Ended {
    pub lines: Vec<Line>,
    pub stderr: String,
    pub status: ExitStatus,
    /// Events lost, from the summary on stderr.
    pub lost: Option<u64>,
}

impl Watch {
    /// Starts the watch and waits for its first line: from then on everything is seen.
    ///
    /// # Errors
    /// When it ends, or says nothing, instead.
    pub fn start(more: &[&str]) -> anyhow::Result<Self> {
        Self::read(program::watch(&program::attach(), more)?)
    }

    /// As [`Watch::start`], and what is printed is recorded in `file`.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub fn record(file: &std::path::Path) -> anyhow::Result<Self> {
        Self::read(program::stream("record", &program::attach(), &[std::ffi::OsStr::new("-o"), file.as_os_str()])?)
    }

    fn read(
        (child, stdout, stderr): (Child, std::process::ChildStdout, mpsc::Receiver<Vec<u8>>),
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::spawn(move || receive(BufReader::new(stdout), &writer));
        let mut watch = Self { child, shared, stderr };
        let deadline = Instant::now() + patience();
        if watch.wait_for(deadline, |lines| !lines.is_empty()) {
            return Ok(watch);
        }
        let ended = watch.shared.lock().ended;
        program::kill(&mut watch.child);
        let said = watch.stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if ended {
            bail!("nstrace watch ended before its first line: {said}");
        }
        bail!("nstrace watch printed no line within {:?}: {said}", patience());
    }

    /// Waits until `enough` holds for all lines so far; false when the deadline or the end of the watch comes first.
    /// Asked again when there are new lines, but not for each line of a burst.
    pub fn wait_for(&self, deadline: Instant, mut enough: impl FnMut(&[Line]) -> bool) -> bool {
        const BURST: Duration = Duration::from_millis(100);
        let mut received = self.shared.lock();
        let mut looked_at = None;
        let mut next_look = Instant::now();
        loop {
            let now = Instant::now();
            let last = received.ended || now >= deadline;
            let news = looked_at != Some(received.lines.len());
            if news && (last || now >= next_look) {
                looked_at = Some(received.lines.len());
                if enough(&received.lines) {
                    return true;
                }
                next_look = Instant::now() + BURST;
                continue;
            }
            if last {
                return false;
            }
            let until = if news { next_look.min(deadline) } else { deadline };
            let wait = until.saturating_duration_since(now);
            received = self.shared.more.wait_timeout(received, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Number of lines so far.
    pub fn count(&self) -> usize {
        self.shared.lock().lines.len()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lock().lines.clone()
    }

    /// Sends it a signal, to stop it and to have it continue.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).context("the watch is gone already")
    }

    /// Ctrl-C, then reads to the end.
    ///
    /// # Errors
    /// When it does not end, or printed something that is no event line, or alleges that somebody wrote to kernel memory.
    pub fn stop(self) -> anyhow::Result<Ended> {
        self.stop_after(|_| false)
    }

    /// As [`Watch::stop`], after somebody did: `forged` are the findings of that.
    ///
    /// # Errors
    /// As [`Watch::stop`].
    pub fn stop_after(mut self, forged: impl Fn(&Line) -> bool) -> anyhow::Result<Ended> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).context("the watch is gone already")?;
        let deadline = Instant::now() + patience();
        self.wait_for(deadline, |_| false);
        if !self.shared.lock().ended {
            program::kill(&mut self.child);
            bail!("nstrace watch did not end within {:?} after SIGINT", patience());
        }
        let status = self.child.wait()?;
        let stderr = self.stderr.recv_timeout(patience()).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let mut received = self.shared.lock();
        if let Some(fault) = received.faults.first() {
            bail!("{} lines are no event lines, the first: {fault}", received.faults.len());
        }
        let lines = std::mem::take(&mut received.lines);
        if let Some(alleged) = lines.iter().find(|line| line.alleges_forgery() && !forged(line)) {
            bail!("nobody forged anything: {}", alleged.raw);
        }
        Ok(Ended { lines, lost: lost(&stderr), stderr, status })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

/// The kernel skipped programs of this run, nstrace said so and took a census.
///
/// A kprobe program is skipped when an interrupt arrives while another one runs on that CPU (bpf_prog_active), so a run in
/// kprobe mode loses a record now and then, and a loss is no failure of nstrace when it is told. But such a run cannot be
/// compared line by line: it is made again.
#[derive(Debug, thiserror::Error)]
#[error("{lost} records were lost: {told:?}")]
pub struct Lost {
    lost: u64,
    told: Vec<String>,
}

/// Runs until nothing is lost, at most `ATTEMPTS` times; every loss is noted.
///
/// # Errors
/// Those of `run`; the last [`Lost`] when every run lost something.
pub fn without_loss(name: &str, run: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    const ATTEMPTS: u32 = 8;
    for attempt in 1.. {
        match run() {
            Err(error) if error.is::<Lost>() && attempt < ATTEMPTS => {
                program::note(&format!("{name}: {error}: run again"));
            }
            other => return other,
        }
    }
    Ok(())
}

impl Ended {
    /// Exit code 0, a summary, nothing lost.
    ///
    /// # Errors
    /// Says which of them is not so; [`Lost`] when only records were lost, and nstrace said so and repaired its model.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.status.code() != Some(0) {
            bail!("nstrace watch ended with {} after SIGINT, not with 0; stderr: {}", self.status, self.stderr);
        }
        match self.lost {
            Some(0) => Ok(()),
            Some(lost) => {
                let of = |event| self.lines.iter().filter(move |l: &&Line| l.event == event);
                let told: Vec<String> = of("lost").map(|l| l.raw.clone()).collect();
                if told.is_empty() || of("resynced").next().is_none() {
                    bail!("the summary says {lost} lost, but no lost line or no resynced line came: {}", self.stderr);
                }
                Err(Lost { lost, told }.into())
            }
            None => bail!("no summary with the number of lost events on stderr: {}", self.stderr),
        }
    }
}

/// `lost N` or `N lost` of the summary, its last line.
fn lost(stderr: &str) -> Option<u64> {
    let summary = stderr.lines().rev().find(|line| line.contains("lost"))?;
    let words: Vec<&str> = summary.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|w| *w == "lost")?;
    let number = |index: Option<usize>| words.get(index?)?.parse().ok();
    number(Some(at + 1)).or_else(|| number(at.checked_sub(1)))
}

fn receive(mut stdout: impl BufRead, shared: &Shared) {
    loop {
        let mut bytes = Vec::new();
        let end = !matches!(stdout.read_until(b'\n', &mut bytes), Ok(n) if n > 0);
        let mut received = shared.lock();
        if end {
            received.ended = true;
        } else {
            match whole_line(&bytes).and_then(|text| Line::parse(&text)) {
                Ok(line) => received.lines.push(line),
                Err(fault) => received.faults.push(format!("{fault:#}")),
            }
        }
        drop(received);
        shared.more.notify_all();
        if end {
            return;
        }
    }
}

/// UTF-8 that ends with a line break and has no control character that a terminal would act on.
fn whole_line(bytes: &[u8]) -> anyhow::Result<String> {
    let Some(body) = bytes.strip_suffix(b"\n") else {
        bail!("a line without its end: {}", String::from_utf8_lossy(bytes).escape_debug());
    };
    let text = std::str::from_utf8(body).context("not UTF-8")?;
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        bail!("a raw control character {bad:?} in {}", text.escape_debug());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_either_way() {
        assert_eq!(lost("nstrace: events 12, lost 0, findings 0\n"), Some(0));
        assert_eq!(lost("12 events, 3 lost"), Some(3));
        assert_eq!(lost("done"), None);
    }

    #[test]
    fn raw_controls_are_no_line() {
        assert!(whole_line(b"{}\n").is_ok());
        assert!(whole_line(b"{}").is_err());
        assert!(whole_line(b"{\x1b}\n").is_err());
        assert!(whole_line("{\u{9b}}\n".as_bytes()).is_err());
        assert!(whole_line(b"{\xff}\n").is_err());
    }
}
