//! Honest work on the host that uses what attackers use: sandboxes, services, privilege separation, hopping threads.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    process::{Command, ExitCode},
};

use nstrace_tests::{kinds::kind, sys};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

type Deed = (&'static str, fn() -> io::Result<()>);

const ALL: &[Deed] = &[
    ("browser-sandbox", browser_sandbox),
    ("privilege-separation", privilege_separation),
    ("private-service", private_service),
    ("snap-mounts", snap_mounts),
    ("hopping-thread", hopping_thread),
    ("rootless-user", rootless_user),
    ("list-tasks", list_tasks),
];

/// Performs one in a process of its own.
pub fn run(name: &str) -> ExitCode {
    let Some((_, deed)) = ALL.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("escape: no honest work {name:?}; there is {known:?}");
        return ExitCode::from(2);
    };
    match deed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("escape: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unshare(names: &[&str]) -> io::Result<()> {
    let flags = names.iter().map(|name| kind(name).flag).sum();
    sys::unshare(flags).map_err(raw)
}

fn raw(errno: sys::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0)
}

/// Runs `child` in a new process and waits for it.
fn in_child(child: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let pid = sys::fork().map_err(raw)?;
    if pid == 0 {
        let result = child();
        if let Err(error) = &result {
            eprintln!("escape: in a child: {error}");
        }
        sys::exit(i32::from(result.is_err()));
    }
    match sys::wait(pid).map_err(raw)? {
        0 => Ok(()),
        status => Err(io::Error::other(format!("the child ended with wait status {status:#x}"))),
    }
}

/// What a task may do to itself in a user namespace that it just made.
fn map_own_id(uid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{uid} {uid} 1"))
}

/// As a browser does for its renderers: no root needed, nothing to see, nobody to talk to.
fn browser_sandbox() -> io::Result<()> {
    in_child(|| {
        sys::become_uid(1000);
        unshare(&["user", "pid", "net"])?;
        map_own_id(1000)?;
        in_child(|| {
            // An empty directory that goes away with its process.
            rustix::process::chroot("/proc/self/fdinfo")?;
            rustix::process::chdir("/")?;
            // The capabilities that came with the user namespace.
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
            Ok(())
        })
    })
}

/// As sshd does for the part that speaks with strangers.
fn privilege_separation() -> io::Result<()> {
    let empty = tempfile::tempdir()?;
    in_child(|| {
        rustix::process::chroot(empty.path())?;
        rustix::process::chdir("/")?;
        sys::become_uid(65534);
        Ok(())
    })
}

/// As an init system starts a service with a network, a /tmp and a read-only /usr of its own.
fn private_service() -> io::Result<()> {
    in_child(|| {
        unshare(&["net"])?;
        unshare(&["mnt"])?;
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID, None)?;
        mount_bind("/usr", "/usr")?;
        rustix::mount::mount_remount("/usr", MountFlags::BIND | MountFlags::RDONLY, c"")?;
        Err(Command::new("/bin/true").exec())
    })
}

/// As packages with their own root see the host's programs, and the host below one folder.
fn snap_mounts() -> io::Result<()> {
    let root = tempfile::tempdir()?;
    let root = root.path().to_owned();
    in_child(|| {
        unshare(&["mnt"])?;
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        mount("tmpfs", &root, "tmpfs", MountFlags::empty(), None)?;
        for folder in ["usr", "bin", "lib", "lib64", "etc", "proc", "sys", "dev", "run"] {
            let there = format!("/{folder}");
            if fs::symlink_metadata(&there).is_ok_and(|meta| meta.is_dir()) {
                fs::create_dir(root.join(folder))?;
                mount_bind_recursive(&there, root.join(folder))?;
            } else if let Ok(link) = fs::read_link(&there) {
                std::os::unix::fs::symlink(link, root.join(folder))?;
            }
        }
        fs::create_dir_all(root.join("var/lib/hostfs"))?;
        rustix::process::chdir(&root)?;
        rustix::process::pivot_root(".", "var/lib/hostfs")?;
        rustix::process::chdir("/")?;
        mount_change("/var/lib/hostfs", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        unmount("/var/lib/hostfs/tmp", UnmountFlags::DETACH).or_else(|errno| match errno {
            rustix::io::Errno::INVAL => Ok(()),
            other => Err(other),
        })?;
        Err(Command::new("/bin/true").exec())
    })
}

/// As programs with many network namespaces do: away and back, on one thread.
fn hopping_thread() -> io::Result<()> {
    let hop = || -> io::Result<()> {
        let home = fs::File::open("/proc/thread-self/ns/net")?;
        unshare(&["net"])?;
        sys::setns(home.as_raw_fd(), kind("net").flag).map_err(raw)
    };
    std::thread::spawn(hop).join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// As `unshare --user --map-root-user --mount` of anybody.
fn rootless_user() -> io::Result<()> {
    in_child(|| {
        sys::become_uid(1000);
        unshare(&["user", "mnt"])?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", "0 1000 1")?;
        fs::write("/proc/self/gid_map", "0 1000 1")?;
        Err(Command::new("/bin/true").exec())
    })
}

/// As programs that list tasks: names, environment, program and what they wait for, of all that can be seen.
fn list_tasks() -> io::Result<()> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        if path.join("stat").exists() {
            // Tasks end meanwhile, and kernel threads have neither.
            let _ = fs::read(path.join("environ"));
            let _ = fs::read(path.join("cmdline"));
            let _ = fs::read(path.join("wchan"));
            let _ = fs::read_link(path.join("exe"));
        }
    }
    Ok(())
}
