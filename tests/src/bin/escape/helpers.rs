//! The kernel itself runs a program of the container, on the host: release_agent (cgroups(7)), core_pattern (core(5)).

use std::fs;

use nstrace_tests::{escape::act::Given, sys};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, Mode, OFlags, mknodat},
};

use crate::{
    attempt::{Attempt, Refused, Technique, done, skip},
    cgroups::NamedHierarchy,
};

pub const ALL: &[Technique] = &[("helper-release-agent", release_agent), ("helper-core-pattern", core_pattern)];

const PIPE: &str = "/shared/pipe";

/// Makes the program, which says a word into a pipe; what the host calls it. Each attempt has one of its own: the same one
/// again would be the same finding again.
fn make(given: &Given, stage_shared: &str) -> Result<String, Refused> {
    let _ = fs::remove_file(PIPE);
    mknodat(CWD, PIPE, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let helper = format!("/tmp/helper-{}", std::process::id());
    fs::write(&helper, format!("#!/bin/sh\necho ran > {stage_shared}/pipe\n"))?;
    fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(format!("{}{helper}", given.host_root))
}

/// Runs `provoke`, which has the kernel run the helper, then waits for its word.
fn wait_for_word(provoke: impl FnOnce() -> Result<(), Refused>) -> Attempt {
    // The non-blocking open does not wait for a writer.
    let pipe = rustix::fs::open(PIPE, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    provoke()?;
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&patience))? == 0 {
        return skip("the kernel ran no helper");
    }
    let mut word = [0; 8];
    let length = rustix::io::read(&pipe, &mut word)?;
    done(format!("the helper {}", String::from_utf8_lossy(&word[..length]).trim()))
}

fn shared(given: &Given) -> String {
    given.secret_path.replace("/outside/secret", "/shared")
}

fn release_agent(given: &Given) -> Attempt {
    let helper = make(given, &shared(given))?;
    let hierarchy = NamedHierarchy::mount()?;
    let (agent, group) = (format!("{}/release_agent", hierarchy.path()), format!("{}/x", hierarchy.path()));
    let before = fs::read_to_string(&agent)?;
    fs::create_dir_all(&group)?;
    fs::write(format!("{group}/notify_on_release"), "1")?;
    fs::write(&agent, &helper)?;
    let attempt = wait_for_word(|| {
        let child = sys::fork()?;
        if child == 0 {
            let moved = fs::write(format!("{group}/cgroup.procs"), "0");
            sys::exit(i32::from(moved.is_err()));
        }
        sys::wait(child)?;
        Ok(())
    });
    fs::write(&agent, before.trim_end().to_owned() + "\n")?;
    fs::remove_dir(&group)?;
    attempt
}

fn core_pattern(given: &Given) -> Attempt {
    const SINK: &str = "/proc/sys/kernel/core_pattern";
    if !given.guest {
        return skip("no machine of its own: other tasks may dump core meanwhile");
    }
    let helper = make(given, &shared(given))?;
    let before = fs::read_to_string(SINK)?;
    fs::write(SINK, format!("|{helper}"))?;
    let attempt = wait_for_word(|| {
        let child = sys::fork()?;
        if child == 0 {
            std::process::abort();
        }
        sys::wait(child)?;
        Ok(())
    });
    fs::write(SINK, before)?;
    attempt
}
