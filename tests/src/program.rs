//! The programs under test and around it: where they are, running them to an end within a time.

use std::{
    io::Read,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

/// The tests run inside a guest made for them: everything they need is there, and its CPU is emulated.
pub fn in_guest() -> bool {
    std::env::var_os("NSTRACE_GUEST").is_some_and(|v| v != "0")
}

/// These tests have already run on this kernel, in another attach mode.
pub fn again() -> bool {
    std::env::var_os("NSTRACE_AGAIN").is_some()
}

/// These tests also run on an older kernel and on a newer one.
pub fn between() -> bool {
    std::env::var_os("NSTRACE_BETWEEN").is_some()
}

/// `--attach` of this run.
pub fn attach() -> String {
    std::env::var("NSTRACE_ATTACH").unwrap_or_else(|_| "auto".to_owned())
}

/// Longest wait for something that has to happen; running out of it is a failure.
pub fn patience() -> Duration {
    Duration::from_secs(if in_guest() { 240 } else { 30 })
}

/// Longest wait for the last lines once everything has been done: the kernel frees the last namespaces within seconds.
pub fn settle() -> Duration {
    Duration::from_secs(if in_guest() { 60 } else { 15 })
}

/// The nstrace binary: `NSTRACE_BIN`, else the one that cargo built beside these tests.
pub fn nstrace() -> PathBuf {
    built("NSTRACE_BIN", "nstrace")
}

/// The actor: `NSTRACE_ACTOR`, else the one that cargo built beside these tests.
pub fn actor() -> PathBuf {
    built("NSTRACE_ACTOR", "actor")
}

/// The program of random runs: `NSTRACE_SOAK`, else the one that cargo built beside these tests.
pub fn soak() -> PathBuf {
    built("NSTRACE_SOAK", "soak")
}

/// The program of attacks and honest work: `NSTRACE_ESCAPE`, else the one that cargo built beside these tests.
pub fn escape() -> PathBuf {
    built("NSTRACE_ESCAPE", "escape")
}

fn built(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let this = std::env::current_exe().expect("a running program has a path");
    // A test is target/PROFILE/deps/TEST, a program target/PROFILE/PROGRAM.
    let folder = this.parent().expect("a file is in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(name)
}

/// True when live tests can run; false when `NSTRACE_SKIP_LIVE=1` says that they need not.
///
/// # Panics
/// With one clear sentence when this is neither root nor skipped.
pub fn live() -> bool {
    let live = live_actor();
    let binary = nstrace();
    assert!(
        !live || binary.exists(),
        "no nstrace binary at {}: build it (cargo build -p nstrace) or set NSTRACE_BIN",
        binary.display()
    );
    live
}

/// As [`live`], for tests that need no nstrace.
///
/// # Panics
/// As [`live`].
pub fn live_actor() -> bool {
    if std::env::var_os("NSTRACE_SKIP_LIVE").is_some_and(|v| v == "1") {
        note("skipped: NSTRACE_SKIP_LIVE=1");
        return false;
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "live tests trace the kernel and need root: run them as root, or set NSTRACE_SKIP_LIVE=1 to leave them out"
    );
    true
}

/// One line for whoever reads the test's output, past the capture of the test harness: what is left out is never silent.
pub fn note(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// True when `program` is in PATH.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

/// Starts `nstrace watch -J` with everything piped but its input.
///
/// # Errors
/// When it cannot be started.
pub fn watch<A: AsRef<std::ffi::OsStr>>(
    attach: &str,
    more: &[A],
) -> anyhow::Result<(Child, ChildStdout, mpsc::Receiver<Vec<u8>>)> {
    stream("watch", attach, more)
}

/// Starts a verb of nstrace that prints event lines, with everything piped but its input.
///
/// # Errors
/// When it cannot be started.
pub fn stream<A: AsRef<std::ffi::OsStr>>(
    verb: &str,
    attach: &str,
    more: &[A],
) -> anyhow::Result<(Child, ChildStdout, mpsc::Receiver<Vec<u8>>)> {
    let binary = nstrace();
    let mut child = Command::new(&binary)
        .args([verb, "-J", "--attach", attach])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let stdout = child.stdout.take().context("piped")?;
    let stderr = reader(child.stderr.take().context("piped")?);
    Ok((child, stdout, stderr))
}

/// Reads a pipe to its end beside everything else.
pub fn reader(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Runs `command` to its end with nothing on standard input.
///
/// # Errors
/// When it cannot be started or takes longer than `patience`: it is killed then.
pub fn run(command: &mut Command, patience: Duration) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let stdout = reader(child.stdout.take().context("piped")?);
    let stderr = reader(child.stderr.take().context("piped")?);
    let Ok(stdout) = stdout.recv_timeout(patience) else {
        kill(&mut child);
        let stderr = stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        bail!("{name} did not end within {patience:?}; stderr: {}", String::from_utf8_lossy(&stderr));
    };
    let stderr = stderr.recv_timeout(patience).unwrap_or_default();
    let status = child.wait()?;
    Ok(Output { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// As [`run`], and it has to end well.
///
/// # Errors
/// As [`run`], or when it fails.
pub fn run_well(command: &mut Command) -> anyhow::Result<Output> {
    let output = run(command, patience())?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}{}", output.status, output.stderr, output.text());
    }
    Ok(output)
}

/// Ends a child that has overstayed.
pub fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
