//! Who traces while the workload runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::here::Programs;
use crate::step;

/// Longest wait for a tracer to be attached; bpftrace compiles for ten seconds in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between looks.
const LOOK: Duration = Duration::from_millis(20);
/// Pause after attaching, in which the machine comes to rest (free in a guest that counts instructions).
const SETTLE: Duration = Duration::from_secs(2);

/// bpftrace's answer to the same question: who changes, makes, joins, leaves and ends namespaces. As cheap as its language
/// allows: tasks in the initial namespaces cost one comparison.
const SCRIPT: &str = include_str!("namespaces.bt");
/// The calls that change namespaces, each with its result.
const AUDIT_RULE: [&str; 8] =
    ["-a", "always,exit", "-F", "arch=b64", "-S", "unshare,setns,clone,clone3,fork,vfork", "-k", "namespaces"];
const STRACE: [&str; 7] = [
    "strace",
    "-f",
    "--seccomp-bpf",
    "-qq",
    "-e",
    "trace=clone,clone3,fork,vfork,unshare,setns,execve,exit_group",
    "-o",
];

/// Something that traces.
#[derive(Debug)]
pub struct Tracer {
    pub name: &'static str,
    /// Runs beside the workload; its output goes to a file.
    program: Option<Vec<String>>,
    /// What starts the workload.
    pub wrapper: Option<Vec<String>>,
    audit: bool,
}

impl Tracer {
    fn new(name: &'static str) -> Self {
        Self { name, program: None, wrapper: None, audit: false }
    }

    /// Not nstrace, and not nothing.
    pub fn is_peer(&self) -> bool {
        !self.name.starts_with("nstrace") && self.name != "nothing"
    }
}

/// Those that this machine can run.
pub fn all(programs: &Programs) -> Vec<Tracer> {
    let mut all = vec![Tracer::new("nothing")];
    for (mode, name) in [
        ("tracepoint", "nstrace tracepoint"),
        ("kprobe", "nstrace kprobe"),
        ("fentry", "nstrace fentry"),
        ("auto", "nstrace auto"),
    ] {
        if mode == "auto" || serves(&programs.nstrace, mode) {
            let words = [&programs.nstrace.to_string_lossy(), "watch", "-J", "--attach", mode];
            all.push(Tracer { program: Some(owned(&words)), ..Tracer::new(name) });
        }
    }
    if step::on_path("bpftrace") {
        let script = script();
        all.push(Tracer { program: Some(owned(&["bpftrace", &script])), ..Tracer::new("bpftrace") });
    }
    if step::on_path("strace") {
        let mut words = owned(&STRACE);
        words.push(folder().join("strace").to_string_lossy().into_owned());
        all.push(Tracer { wrapper: Some(words), ..Tracer::new("strace -f") });
    }
    if step::on_path("auditctl") {
        all.push(Tracer { audit: true, ..Tracer::new("audit") });
    }
    all
}

/// A mode in which setns and unshare are seen at all is one that the kernel has.
fn serves(nstrace: &Path, mode: &str) -> bool {
    let doctor = Command::new(nstrace).args(["doctor", "-J", "--attach", mode]).stderr(Stdio::null()).output();
    let Ok(document) = doctor
        .map_err(anyhow::Error::from)
        .and_then(|output| Ok(serde_json::from_slice::<serde_json::Value>(&output.stdout)?))
    else {
        return false;
    };
    let facts = document["facts"].as_array().map_or(&[][..], Vec::as_slice);
    facts.iter().any(|fact| fact["fact"] == "setns-unshare" && fact["coverage"] == "full")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where output goes: memory, in a guest and here.
fn folder() -> PathBuf {
    PathBuf::from("/dev/shm")
}

fn script() -> String {
    let path = folder().join("namespaces.bt");
    // What cannot be written cannot be read, and bpftrace says so.
    let _ = fs::write(&path, SCRIPT);
    path.to_string_lossy().into_owned()
}

/// A tracer at work.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    audit: bool,
    output: PathBuf,
}

impl Tracer {
    /// Returns when it is attached: its first line is out.
    pub fn start(&self) -> Result<Running> {
        let output = folder().join(format!("overhead-{}", std::process::id()));
        let mut running = Running { child: None, audit: self.audit, output };
        if let Some(words) = &self.program {
            let out = File::create(&running.output)?;
            let child = Command::new(&words[0])
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot start {}", words[0]))?;
            running.child = Some(child);
            running.wait_for_line()?;
        }
        if self.audit {
            audit(&AUDIT_RULE)?;
            audit(&["-e", "1"])?;
        }
        thread::sleep(SETTLE);
        Ok(running)
    }
}

impl Running {
    fn wait_for_line(&mut self) -> Result<()> {
        let start = Instant::now();
        let Some(child) = &mut self.child else { return Ok(()) };
        while fs::metadata(&self.output)?.len() == 0 {
            if let Some(status) = child.try_wait()? {
                let mut text = String::new();
                if let Some(stderr) = &mut child.stderr {
                    std::io::Read::read_to_string(stderr, &mut text)?;
                }
                bail!("it ended with {status}: {}", text.lines().last().unwrap_or_default());
            }
            ensure!(start.elapsed() < PATIENCE, "it said nothing for {} s", PATIENCE.as_secs());
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it, as Ctrl-C does.
    pub fn stop(mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            let pid = rustix::process::Pid::from_child(child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
            let status = child.wait()?;
            ensure!(status.success(), "it ended with {status}");
        }
        if self.audit {
            audit(&["-D"])?;
            audit(&["-e", "0"])?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // When stop() was not reached; an ended one is only waited for again.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(&self.output);
    }
}

fn audit(arguments: &[&str]) -> Result<()> {
    let output =
        Command::new("auditctl").args(arguments).stdin(Stdio::null()).output().context("cannot start auditctl")?;
    ensure!(
        output.status.success(),
        "auditctl {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
