//! Real containers: started, looked at through `/proc`, entered and removed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::program::{in_guest, installed, note, run_well};

/// A container runtime, as people call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Runc,
    Crun,
    Podman,
    /// podman as user `tester`.
    Rootless,
    Docker,
}

impl Runtime {
    /// Name in the container column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Podman | Self::Rootless => "podman",
            Self::Docker => "docker",
        }
    }

    /// True when it can be used here; else a note says why not. A guest has every runtime.
    ///
    /// # Panics
    /// In a guest without it, unless `NSTRACE_SKIP_RUNTIMES` names it.
    pub fn is_here(self) -> bool {
        let Some(why) = self.missing() else { return true };
        let excused = std::env::var_os("NSTRACE_SKIP_RUNTIMES")
            .is_some_and(|list| list.to_string_lossy().split(',').any(|name| name == self.name()));
        assert!(
            !in_guest() || excused,
            "{self:?}: {why}; a guest has every runtime unless NSTRACE_SKIP_RUNTIMES says no"
        );
        note(&format!("{self:?} not tested: {why}"));
        false
    }

    /// Why it cannot be used here; None: it can.
    fn missing(self) -> Option<String> {
        let name = self.name();
        if !installed(name) {
            return Some(format!("{name} is not installed"));
        }
        match self {
            Self::Runc | Self::Crun if !rootfs().is_dir() => {
                Some(format!("no busybox root at {} (NSTRACE_ROOTFS)", rootfs().display()))
            }
            // It gives up half-way, leaving its child behind.
            Self::Crun if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => {
                Some("crun does not support a hybrid cgroup hierarchy".to_owned())
            }
            Self::Rootless if !installed("guest-rootless") => {
                Some("no guest-rootless to become a user with".to_owned())
            }
            Self::Docker => docker_missing(),
            _ => None,
        }
    }
}

/// A busybox tree for bundles.
fn rootfs() -> PathBuf {
    std::env::var_os("NSTRACE_ROOTFS").map_or_else(|| PathBuf::from("/opt/bb"), PathBuf::from)
}

/// The daemon has to answer; in a guest it is started on demand.
fn docker_missing() -> Option<String> {
    let answers = || Command::new("docker").arg("version").output().is_ok_and(|o| o.status.success());
    if answers() {
        return None;
    }
    if !installed("guest-docker-up") {
        return Some("no docker daemon answers".to_owned());
    }
    // The daemons stay and must not keep a pipe of ours open.
    let up = Command::new("guest-docker-up")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    (!up || !answers()).then(|| "guest-docker-up did not bring the docker daemon up".to_owned())
}

/// A running container that does nothing until it is removed.
#[derive(Debug)]
pub struct Running {
    pub runtime: Runtime,
    /// Name given to it.
    pub name: String,
    /// Id in the container column: the name, or the 64 hexadecimal digits of podman and docker.
    pub id: String,
    /// Its init, in the initial pid namespace.
    pub pid: u32,
    bundle: Option<PathBuf>,
    removed: bool,
}

/// Longer than any test.
const IDLE: [&str; 2] = ["sleep", "100000"];

impl Running {
    /// Starts one.
    ///
    /// # Errors
    /// When the runtime does not do it.
    pub fn start(runtime: Runtime, name: &str) -> anyhow::Result<Self> {
        match runtime {
            Runtime::Runc | Runtime::Crun => Self::start_bundle(runtime, name),
            Runtime::Podman | Runtime::Rootless | Runtime::Docker => {
                Self::start_image(runtime, name, &["--network=none"])
            }
        }
    }

    /// Starts one with more options of `run`, of an engine that has images.
    ///
    /// # Errors
    /// When the runtime does not do it, or is none of those.
    pub fn start_with(runtime: Runtime, name: &str, options: &[&str]) -> anyhow::Result<Self> {
        if matches!(runtime, Runtime::Runc | Runtime::Crun) {
            bail!("{runtime:?} takes its options from a bundle");
        }
        Self::start_image(runtime, name, options)
    }

    fn start_bundle(runtime: Runtime, name: &str) -> anyhow::Result<Self> {
        let bundle = std::env::temp_dir().join(format!("nstrace-bundle-{name}"));
        fs::create_dir_all(&bundle)?;
        run_well(Command::new("cp").arg("-a").arg(rootfs()).arg(bundle.join("rootfs")))?;
        let config = bundle.join("config.json");
        if !config.exists() {
            run_well(Command::new(runtime.name()).arg("spec").current_dir(&bundle))?;
        }
        let mut spec: Value = serde_json::from_slice(&fs::read(&config)?).context("config.json of the runtime")?;
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(IDLE);
        fs::write(&config, serde_json::to_vec(&spec)?)?;
        let pid_file = bundle.join("pid");
        let mut command = Command::new(runtime.name());
        command.arg("run").arg("--detach").arg("--pid-file").arg(&pid_file).arg("--bundle").arg(&bundle).arg(name);
        run_detached(&mut command)?;
        let pid = fs::read_to_string(&pid_file)?.trim().parse()?;
        Ok(Self { runtime, name: name.to_owned(), id: name.to_owned(), pid, bundle: Some(bundle), removed: false })
    }

    fn start_image(runtime: Runtime, name: &str, options: &[&str]) -> anyhow::Result<Self> {
        let image = if runtime == Runtime::Docker { "bb:1" } else { "localhost/bb:1" };
        let mut command = Self::engine(runtime);
        command.args(["run", "--detach", "--name", name]).args(options).arg(image).args(IDLE);
        run_detached(&mut command)?;
        let inspected = |format: &str| -> anyhow::Result<String> {
            Ok(run_well(Self::engine(runtime).args(["inspect", "--format", format, name]))?.text())
        };
        let id = inspected("{{.Id}}")?;
        let pid = inspected("{{.State.Pid}}")?.parse()?;
        Ok(Self { runtime, name: name.to_owned(), id, pid, bundle: None, removed: false })
    }

    fn engine(runtime: Runtime) -> Command {
        match runtime {
            Runtime::Rootless => {
                let mut command = Command::new("guest-rootless");
                command.args(["podman", "--cgroup-manager=cgroupfs"]);
                command
            }
            other => Command::new(other.name()),
        }
    }

    /// Runs a short program in it.
    ///
    /// # Errors
    /// When it fails.
    pub fn exec(&self, program: &[&str]) -> anyhow::Result<String> {
        Ok(run_well(Self::engine(self.runtime).arg("exec").arg(&self.name).args(program))?.text())
    }

    /// Ends and removes it.
    ///
    /// # Errors
    /// When the runtime does not do it.
    pub fn remove(mut self) -> anyhow::Result<()> {
        self.removed = true;
        self.clean_up()
    }

    fn clean_up(&self) -> anyhow::Result<()> {
        let mut command = Self::engine(self.runtime);
        match self.runtime {
            Runtime::Runc | Runtime::Crun => command.args(["delete", "--force", &self.name]),
            Runtime::Podman | Runtime::Rootless => command.args(["rm", "--force", "--time", "0", &self.name]),
            Runtime::Docker => command.args(["rm", "--force", &self.name]),
        };
        run_well(&mut command)?;
        if let Some(bundle) = &self.bundle {
            fs::remove_dir_all(bundle)?;
        }
        Ok(())
    }

    /// Path of its cgroup, for messages.
    pub fn cgroup(&self) -> String {
        fs::read_to_string(Path::new("/proc").join(self.pid.to_string()).join("cgroup")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.removed {
            let _ = self.clean_up();
        }
    }
}

/// Runs a command whose descendants stay: they keep its output open, so that goes to a file.
fn run_detached(command: &mut Command) -> anyhow::Result<()> {
    let log = std::env::temp_dir().join(format!("nstrace-detached-{}", std::process::id()));
    let file = fs::File::create(&log)?;
    let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status();
    let said = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(&log)?;
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}: {said}");
    }
    Ok(())
}
