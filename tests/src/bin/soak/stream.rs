//! A running `nstrace watch -J`, read line by line into [`Lives`].

use std::{
    io::{BufRead, BufReader},
    process::Child,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use nstrace_tests::{
    line::Line,
    program::{self, patience},
};

use crate::lives::{Forget, Lives};

#[derive(Debug)]
struct Shared {
    lives: Mutex<(Lives, bool)>,
    more: Condvar,
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    child: Child,
    shared: Arc<Shared>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

impl Stream {
    /// Starts the watch and waits for its first line.
    ///
    /// # Errors
    /// When it ends, or says nothing, instead.
    pub fn start(attach: &str, more: &[String], forget: Option<Forget>) -> anyhow::Result<Self> {
        let (child, stdout, stderr) = program::watch(attach, more)?;
        let shared = Arc::new(Shared { lives: Mutex::new((Lives::new(forget), false)), more: Condvar::new() });
        let writer = Arc::clone(&shared);
        thread::spawn(move || receive(BufReader::new(stdout), &writer));
        let stream = Self { child, shared, stderr };
        if !stream.wait_for(patience(), |lives| lives.lines > 0) {
            bail!("nstrace watch printed no line: {}", stream.end().unwrap_or_else(|error| error.to_string()));
        }
        Ok(stream)
    }

    pub fn lives(&self) -> impl std::ops::DerefMut<Target = (Lives, bool)> {
        lock(&self.shared)
    }

    /// Waits until `enough` holds; false when time or the watch's end comes first.
    pub fn wait_for(&self, time: Duration, enough: impl Fn(&Lives) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut guard = lock(&self.shared);
        loop {
            if enough(&guard.0) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if guard.1 || left.is_zero() {
                return false;
            }
            guard = self.shared.more.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stops (SIGSTOP) or continues (SIGCONT) the watch.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal);
    }

    /// Ctrl-C; what it said on stderr.
    ///
    /// # Errors
    /// When it does not end, or not with 0.
    pub fn end(mut self) -> anyhow::Result<String> {
        self.signal(rustix::process::Signal::INT);
        let Ok(stderr) = self.stderr.recv_timeout(patience()) else { bail!("nstrace watch does not end after SIGINT") };
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "nstrace watch ended with {status}: {stderr}");
        Ok(stderr)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, (Lives, bool)> {
    shared.lives.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(stdout: impl BufRead, shared: &Shared) {
    for text in stdout.lines() {
        let Ok(text) = text else { break };
        let line = Line::parse(&text);
        let mut guard = lock(shared);
        match line {
            Ok(line) => guard.0.read(&line),
            Err(error) => guard.0.illegal.push(format!("{error:#}")),
        }
        drop(guard);
        shared.more.notify_all();
    }
    lock(shared).1 = true;
    shared.more.notify_all();
}
