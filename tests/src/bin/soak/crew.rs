//! The workers, from the coordinator's side.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nstrace_tests::{
    program::{self, patience},
    sys,
};

use crate::{expected::Expected, op::Op, record::Record, worker::Round};

#[derive(Debug)]
struct Member {
    /// Killed when this is dropped.
    child: Child,
    number: u64,
    /// Everything it was told to do.
    script: Vec<Op>,
}

/// A line of a worker's family; None when all of it has ended.
type Said = (u64, Option<anyhow::Result<Record>>);

/// See the module.
#[derive(Debug)]
pub struct Crew {
    folder: tempfile::TempDir,
    members: Vec<Member>,
    started: u64,
    sender: Sender<Said>,
    receiver: Receiver<Said>,
}

impl Crew {
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nstrace-soak-").tempdir()?;
        let (sender, receiver) = channel();
        Ok(Self { folder, members: Vec::new(), started: 0, sender, receiver })
    }

    pub fn scripts(&self) -> Vec<&[Op]> {
        self.members.iter().map(|member| member.script.as_slice()).collect()
    }

    /// Replaces workers that have done their share, up to `size` of them.
    ///
    /// # Errors
    /// When one cannot be started or does not end.
    pub fn fill(&mut self, size: usize, share: usize, expected: &mut Expected) -> anyhow::Result<()> {
        let (done, stay) =
            std::mem::take(&mut self.members).into_iter().partition(|m: &Member| m.script.len() >= share);
        self.members = stay;
        self.dismiss(done, expected)?;
        while self.members.len() < size {
            self.hire()?;
        }
        Ok(())
    }

    fn hire(&mut self) -> anyhow::Result<()> {
        self.started += 1;
        let number = self.started;
        let mut child = Command::new("/proc/self/exe")
            .arg("work")
            .arg(self.folder.path())
            .env(crate::RUN, std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a worker")?;
        let stdout = child.stdout.take().context("piped")?;
        let sender = self.sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let record = line
                    .context("reading a worker's log")
                    .and_then(|line| serde_json::from_str(&line).with_context(|| format!("not a record: {line}")));
                let _ = sender.send((number, Some(record)));
            }
            let _ = sender.send((number, None));
        });
        self.members.push(Member { child, number, script: Vec::new() });
        Ok(())
    }

    /// Hangs up and waits until their families have ended.
    fn dismiss(&mut self, mut done: Vec<Member>, expected: &mut Expected) -> anyhow::Result<()> {
        for member in &mut done {
            drop(member.child.stdin.take());
        }
        let mut left: Vec<u64> = done.iter().map(|member| member.number).collect();
        let deadline = Instant::now() + patience() * 4;
        while !left.is_empty() {
            match self.receive(deadline)? {
                (number, None) => left.retain(|other| *other != number),
                (_, Some(record)) => expected.read(&record?),
            }
            kill(expected);
        }
        for mut member in done {
            let status = member.child.wait()?;
            anyhow::ensure!(status.success(), "worker {} ended with {status}", member.child.id());
        }
        Ok(())
    }

    /// # Errors
    /// As [`Crew::fill`].
    pub fn dismiss_all(&mut self, expected: &mut Expected) -> anyhow::Result<()> {
        let all = std::mem::take(&mut self.members);
        self.dismiss(all, expected)
    }

    /// Lets every worker perform what `ops` gives it, and waits until all have.
    ///
    /// # Errors
    /// When a worker dies or takes too long.
    pub fn round(&mut self, mut ops: impl FnMut() -> Vec<Op>, expected: &mut Expected) -> anyhow::Result<()> {
        let workers: Vec<u32> = self.members.iter().map(|member| member.child.id()).collect();
        for member in &mut self.members {
            let round = Round { workers: workers.clone(), ops: ops() };
            let json = serde_json::to_vec(&round)?;
            let stdin = member.child.stdin.as_mut().context("piped")?;
            stdin.write_all(&u32::try_from(json.len())?.to_le_bytes())?;
            stdin.write_all(&json)?;
            stdin.flush()?;
            member.script.extend(round.ops);
        }
        let mut busy: Vec<u64> = self.members.iter().map(|member| member.number).collect();
        let deadline = Instant::now() + patience() * 4;
        while !busy.is_empty() {
            let (number, record) = self.receive(deadline)?;
            let Some(record) = record else { bail!("worker {number} ended in the middle of a round") };
            let record = record?;
            expected.read(&record);
            kill(expected);
            if matches!(record, Record::Barrier { .. }) {
                busy.retain(|other| *other != number);
            }
        }
        Ok(())
    }

    fn receive(&self, deadline: Instant) -> anyhow::Result<Said> {
        match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(said) => Ok(said),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                bail!("the workers did not get done within {:?}", patience() * 4)
            }
        }
    }

    /// What has been said since: ends of processes that were killed from elsewhere.
    ///
    /// # Errors
    /// When something unreadable was said.
    pub fn catch_up(&mut self, time: Duration, expected: &mut Expected) -> anyhow::Result<()> {
        let deadline = Instant::now() + time;
        while let Ok((_, record)) = self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(record) = record {
                expected.read(&record?);
            }
        }
        Ok(())
    }
}

/// Ends the orphans. The comm is looked at because the number may be in use again.
fn kill(expected: &mut Expected) {
    let name = crate::Comms::of_this_run().actor;
    for pid in expected.to_kill.drain(..) {
        if std::fs::read(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.strip_suffix(b"\n") == Some(name.as_bytes()))
        {
            sys::kill(pid, libc::SIGKILL);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}
