//! A container runtime of few words: namespaces, a root of its own, then the program. What is needed beyond that is what
//! careless operators grant.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use nstrace_tests::{
    escape::act::LEAKED_FD,
    escape::cgroup::{PREFIX, unified},
    kinds::kind,
    sys,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev, mknodat},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
        mount_bind_recursive, mount_change, move_mount, open_tree, unmount,
    },
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};

/// Environment variable of the contained program: what came of the sink that the runtime was led to.
pub const LED_ASTRAY: &str = "ESCAPE_LED_ASTRAY";

/// What a container has beyond, or lacks of, the usual; words separated by commas.
#[derive(Debug)]
struct Needs<'a>(Vec<&'a str>);

impl Needs<'_> {
    const KNOWN: [&'static str; 12] = [
        "hostpid",
        "hostnet",
        "hostcgroup",
        "hostroot",
        "hostproc",
        "sharedmount",
        "leakedfd",
        "leakedcwd",
        "timens",
        "nocaps",
        "nobody",
        "sink",
    ];

    fn has(&self, need: &str) -> bool {
        self.0.contains(&need)
    }
}

/// Runs `program` in a container with the root `STAGE/root`, and waits for it.
pub fn contain(stage: &str, needs: &str, program: &[&str]) -> ExitCode {
    let needs = Needs(needs.split(',').filter(|need| !need.is_empty() && *need != "none").collect());
    if let Some(unknown) = needs.0.iter().find(|need| !Needs::KNOWN.contains(need)) {
        eprintln!("escape: no need {unknown:?}; there are {:?}", Needs::KNOWN);
        return ExitCode::from(2);
    }
    let status = enter_cgroup().and_then(|()| set_up(stage, &needs)).and_then(|()| {
        let child = sys::fork().map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        if child == 0 {
            let error = start(&needs, program);
            eprintln!("escape: cannot start {program:?} in the container: {error}");
            sys::exit(127);
        }
        sys::wait(child).map_err(|errno| io::Error::from_raw_os_error(errno.0))
    });
    match status {
        Ok(0) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("escape: {program:?} ended with wait status {status:#x}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("escape: the container {needs:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A cgroup of the container's own, if cgroups can be seen; whoever waits for this process removes it.
fn enter_cgroup() -> io::Result<()> {
    if !fs::exists(format!("{}/cgroup.controllers", unified()))? {
        return Ok(());
    }
    let path = format!("{}/{PREFIX}{}", unified(), std::process::id());
    fs::create_dir(&path)?;
    fs::write(format!("{path}/cgroup.procs"), "0")
}

fn set_up(stage: &str, needs: &Needs<'_>) -> io::Result<()> {
    let root = &format!("{stage}/root");
    let outside = rustix::fs::open(format!("{stage}/outside"), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if needs.has("leakedfd") {
        // SAFETY: takes integers; nobody here uses that number, and the copy is not closed by execve(2).
        unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&outside), LEAKED_FD) };
    }
    let mut flags = kind("mnt").flag | kind("uts").flag | kind("ipc").flag;
    let unless = |need: &str, name: &str| if needs.has(need) { 0 } else { kind(name).flag };
    flags |= unless("hostpid", "pid") | unless("hostnet", "net") | unless("hostcgroup", "cgroup");
    if needs.has("timens") {
        flags |= kind("time").flag;
    }
    sys::unshare(flags).map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    // Taken before the tree is made a slave of the host's: a clone stays in the peer group.
    let shared =
        open_tree(CWD, format!("{stage}/shared"), OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount_bind(root, root)?;
    for folder in ["proc", "sys", "dev", "tmp", "shared", "host", "hostproc", "host-cgroup"] {
        fs::create_dir_all(format!("{root}/{folder}"))?;
    }
    move_mount(&shared, "", CWD, format!("{root}/shared"), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    if !needs.has("sharedmount") {
        mount_change(format!("{root}/shared"), MountPropagationFlags::PRIVATE)?;
    }
    make_devices(root)?;
    mount("sysfs", format!("{root}/sys"), "sysfs", MountFlags::empty(), None)?;
    if needs.has("hostcgroup") {
        mount_bind(unified(), format!("{root}/host-cgroup"))?;
    }
    if needs.has("hostroot") {
        mount_bind_recursive("/", format!("{root}/host"))?;
    }
    if needs.has("hostproc") {
        mount_bind("/proc", format!("{root}/hostproc"))?;
    }
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    if needs.has("leakedcwd") {
        rustix::process::fchdir(&outside)?;
    }
    rustix::system::sethostname(b"escape")?;
    Ok(())
}

fn make_devices(root: &str) -> io::Result<()> {
    mount("tmpfs", format!("{root}/dev"), "tmpfs", MountFlags::NOSUID, c"mode=755")?;
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, format!("{root}/dev/{name}"), FileType::CharacterDevice, mode, makedev(1, minor))?;
    }
    Ok(())
}

/// In the container's first process; returns only when it fails.
fn start(needs: &Needs<'_>, program: &[&str]) -> io::Error {
    let prepared = || -> io::Result<Command> {
        mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).env_clear();
        if needs.has("sink") {
            // An image whose masked path is a link: the runtime, not yet the container, opens what it leads to.
            let opened = fs::OpenOptions::new().write(true).open("/proc/sys/kernel/core_pattern");
            command.env(LED_ASTRAY, opened.map_or_else(|error| error.to_string(), |_| "done".to_owned()));
        }
        if needs.has("nobody") {
            sys::become_uid(65534);
        }
        if needs.has("nocaps") {
            drop_capabilities()?;
        }
        Ok(command)
    };
    match prepared() {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// Of the bounding set too, so that root gains none by execve(2).
fn drop_capabilities() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
