//! The honest work: what administrators, init systems, sandboxes and runtimes do all day. Nobody is to be woken up by it.

use std::process::Command;

use super::stage::Stage;
use crate::{
    container::{Running, Runtime},
    program::{self, installed, note, run_well},
};

/// A piece of work; None: not possible here, and why.
type Work = fn(&Stage) -> anyhow::Result<Option<&'static str>>;

/// All of it that needs no engine.
pub const WORKS: &[(&str, Work)] = &[
    ("container", |stage| done(stage.run_contained("none", &["/bin/true"]))),
    ("ps in a container that shares the host's pids", |stage| done(stage.run_contained("hostpid", &["/bin/ps"]))),
    ("list of all tasks in a container that shares the host's pids", |stage| {
        done(stage.run_contained("hostpid", &["/escape", "benign", "list-tasks"]))
    }),
    ("files of a container", |stage| {
        let root = format!("/proc/{}/root", stage.given().neighbour_pid);
        run_well(Command::new("cp").args([&format!("{root}/escape"), &format!("{root}/tmp/copy")]))?;
        run_well(Command::new("rm").arg(format!("{root}/tmp/copy")))?;
        // Its root directory before its programs: that is what is meant.
        done(run_well(Command::new("chroot").args([&root, "/escape", "list"])))
    }),
    ("nested container", |stage| {
        done(stage.run_contained("none", &["/escape", "contain", "/inner", "none", "/bin/true"]))
    }),
    ("nsenter by the administrator", |stage| {
        let pid = stage.given().neighbour_pid.to_string();
        done(run_well(Command::new("nsenter").args(["-t", &pid, "-m", "-u", "-i", "-n", "-p", "/bin/true"])))
    }),
    ("ip netns", |_| {
        const NAME: &str = "nstrace-honest";
        run_well(Command::new("ip").args(["netns", "add", NAME]))?;
        run_well(Command::new("ip").args(["netns", "exec", NAME, "true"]))?;
        done(run_well(Command::new("ip").args(["netns", "delete", NAME])))
    }),
    ("unshare by the administrator", |_| {
        done(run_well(Command::new("unshare").args([
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "true",
        ])))
    }),
    ("browser's sandbox", |_| own("browser-sandbox")),
    ("privilege separation", |_| own("privilege-separation")),
    ("service with private parts", |_| own("private-service")),
    ("package with its own root", |_| own("snap-mounts")),
    ("thread that hops", |_| own("hopping-thread")),
    ("root of nothing", |_| own("rootless-user")),
    ("bwrap of the whole host", |_| {
        bwrap(&["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"])
    }),
    ("bwrap with a root of its own", |_| {
        bwrap(&[
            "--unshare-all",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "/bin/true",
        ])
    }),
];

fn done<T>(result: anyhow::Result<T>) -> anyhow::Result<Option<&'static str>> {
    result.map(|_| None)
}

fn own(name: &str) -> anyhow::Result<Option<&'static str>> {
    done(run_well(Command::new(program::escape()).args(["benign", name])))
}

fn bwrap(args: &[&str]) -> anyhow::Result<Option<&'static str>> {
    if !installed("bwrap") {
        return Ok(Some("bwrap is not installed"));
    }
    done(run_well(Command::new("bwrap").args(args)))
}

/// Run, exec, cp, logs, rm of one runtime, as it comes.
///
/// # Errors
/// When the runtime does not do it.
pub fn engine(runtime: Runtime) -> anyhow::Result<()> {
    let container = Running::start(runtime, &format!("nstrace-honest-{}", runtime.name()))?;
    container.exec(&["ps"])?;
    if matches!(runtime, Runtime::Podman | Runtime::Docker) {
        let copy = std::env::temp_dir().join("nstrace-honest-copy");
        run_well(Command::new(runtime.name()).args(["cp", &format!("{}:/bin/busybox", container.name)]).arg(&copy))?;
        std::fs::remove_file(copy)?;
        run_well(Command::new(runtime.name()).args(["logs", &container.name]))?;
        let image = if runtime == Runtime::Docker { "bb:1" } else { "localhost/bb:1" };
        run_well(Command::new(runtime.name()).args(["run", "--rm", "--pid=host", "--network=none", image, "ps"]))?;
    }
    container.remove()
}

/// Does all that needs no engine; what it was doing when, as CLOCK_BOOTTIME in nanoseconds from and to.
///
/// # Errors
/// When something of it fails.
pub fn work(stage: &Stage) -> anyhow::Result<Vec<(&'static str, u64, u64)>> {
    let mut times = Vec::new();
    for (name, work) in WORKS {
        let began = crate::sys::boot_ns();
        if let Some(why) = work(stage).map_err(|error| error.context(*name))? {
            note(&format!("{name}: not done: {why}"));
        }
        times.push((*name, began, crate::sys::boot_ns()));
    }
    Ok(times)
}
