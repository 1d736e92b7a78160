//! Losses on purpose: a watch that is stopped while more happens than its ring holds. It says what it lost, whose it was, and
//! afterwards knows again what the kernel knows.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use nstrace_tests::{
    line::{Line, number},
    live::one_at_a_time,
    nsfs::inum_of_link,
    program::{self, in_guest, note, patience},
    watch::Watch,
};
use rustix::process::Signal;

/// Makes and leaves UTS namespaces.
fn storm(times: u32) {
    // A thread of its own: its namespace ends with it.
    thread::spawn(move || {
        for _ in 0..times {
            unshare_uts().expect("root may unshare");
        }
    })
    .join()
    .expect("the storm");
}

fn unshare_uts() -> io::Result<()> {
    // SAFETY: takes flags only.
    if unsafe { libc::unshare(libc::CLONE_NEWUTS) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A process in a UTS namespace of its own, which lives until it is killed.
struct Inhabitant {
    child: Child,
    uts: u32,
}

impl Inhabitant {
    fn new() -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(unshare_uts) };
        let child = command.spawn().expect("sleep");
        let uts = inum_of_link(Path::new(&format!("/proc/{}/ns/uts", child.id()))).expect("it lives");
        Self { child, uts }
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        program::kill(&mut self.child);
    }
}

/// Forks and waits, in a UTS namespace of its own and in `cgroup`, if there is one.
fn crowd(forks: u32, cgroup: Option<&Path>) {
    let procs = cgroup.map(|folder| folder.join("cgroup.procs"));
    let mut command = Command::new("sh");
    command.args(["-c", &format!("i=0; while [ $i -lt {forks} ]; do (:) ; i=$((i+1)); done")]);
    // SAFETY: the file is written and one system call made between fork and exec; nobody else has locks here that matter.
    unsafe {
        command.pre_exec(move || {
            if let Some(procs) = &procs {
                fs::write(procs, "0")?;
            }
            unshare_uts()
        });
    };
    let status = command.status().expect("sh");
    assert!(status.success(), "the crowd ended with {status}");
}

/// A cgroup that looks like one of docker's; removed at the end.
struct DockerCgroup(PathBuf);

const CONTAINER: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";

impl DockerCgroup {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let at = words.next()?;
            (words.next()? == "cgroup2").then_some(at)
        })?;
        let folder = Path::new(mount).join(format!("docker-{CONTAINER}.scope"));
        fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }
}

impl Drop for DockerCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// All keys.
fn value(line: &Line) -> serde_json::Value {
    serde_json::from_str(&line.raw).expect("it was read before")
}

fn lost(lines: &[Line]) -> u64 {
    lines.iter().filter(|l| l.event == "lost").filter_map(|l| number(value(l).get("count"))).sum()
}

/// A `lost` line, and after the last of them a `resynced` one.
fn repaired(lines: &[Line]) -> bool {
    let last = |event| lines.iter().rposition(|l| l.event == event);
    last("lost").is_some_and(|lost| last("resynced").is_some_and(|resynced| resynced > lost))
}

/// UTS namespaces that the lines leave alive.
fn alive(lines: &[Line]) -> BTreeSet<u32> {
    let mut alive = BTreeSet::new();
    for line in lines {
        let Some(inum) = line.inum() else { continue };
        match line.event.as_str() {
            "snapshot" | "created" => alive.insert(inum),
            "destroyed" => alive.remove(&inum),
            _ => continue,
        };
    }
    alive
}

/// UTS namespaces that some process of `/proc` is in.
fn inhabited() -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes.filter_map(|entry| inum_of_link(&entry.path().join("ns/uts"))).collect()
}

#[test]
fn a_stopped_watch_tells_its_losses_and_then_knows_what_the_kernel_knows() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let watch = Watch::start(&["--ring-size", "64K", "--type", "uts"]).expect("watch");
    let victim = Inhabitant::new();
    let deadline = Instant::now() + patience();
    assert!(watch.wait_for(deadline, |lines| alive(lines).contains(&victim.uts)), "the victim was not seen");

    watch.signal(Signal::STOP).expect("stop");
    storm(2000);
    let gone = victim.uts;
    drop(victim);
    let survivors: Vec<Inhabitant> = (0..3).map(|_| Inhabitant::new()).collect();
    storm(500);
    watch.signal(Signal::CONT).expect("continue");

    let deadline = Instant::now() + patience();
    let knows = |lines: &[Line]| {
        let alive = alive(lines);
        let wanted = inhabited();
        // Others on this machine may hold namespaces without being in them; nobody's must be missing.
        repaired(lines) && wanted.is_subset(&alive) && survivors.iter().all(|s| wanted.contains(&s.uts))
    };
    let seen = watch.wait_for(deadline, knows);
    let lines = watch.lines();
    assert!(
        seen,
        "lost {}, repaired {}: {:?} are inhabited, {:?} alive",
        lost(&lines),
        repaired(&lines),
        inhabited(),
        alive(&lines)
    );
    let again = survivors.iter().any(|s| s.uts == gone);
    assert!(again || !alive(&lines).contains(&gone), "{gone} has ended");
    let ended = watch.stop().expect("an end");
    assert_eq!(ended.lost, Some(lost(&ended.lines)), "the lines tell what the summary tells: {}", ended.stderr);
    assert!(lost(&ended.lines) > 0);
}

#[test]
fn a_crowd_of_processes_cannot_keep_the_lives_of_namespaces_out() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let cgroup = DockerCgroup::new();
    assert!(cgroup.is_some() || !in_guest(), "a guest has cgroup2");
    let watch = Watch::start(&["--ring-size", "1M", "--type", "uts"]).expect("watch");
    watch.signal(Signal::STOP).expect("stop");
    // Each fork and exit is a KiB.
    crowd(1500, cgroup.as_ref().map(|cgroup| cgroup.0.as_path()));
    let late: Vec<Inhabitant> = (0..3).map(|_| Inhabitant::new()).collect();
    watch.signal(Signal::CONT).expect("continue");

    let deadline = Instant::now() + patience();
    assert!(watch.wait_for(deadline, repaired), "no loss was told and repaired");
    let ended = watch.stop().expect("an end");
    for inhabitant in &late {
        // The number may have been another namespace's before.
        let about: Vec<&Line> = ended.lines.iter().filter(|l| l.inum() == Some(inhabitant.uts)).collect();
        let created = about.iter().rev().find(|l| l.event == "created");
        let raw = || about.iter().map(|l| l.raw.as_str()).collect::<Vec<_>>().join("\n");
        let via = created.and_then(|l| l.via());
        assert_eq!(via, Some("unshare"), "{}: its record had a place in the ring:\n{}", inhabitant.uts, raw());
    }
    let told: Vec<&Line> = ended.lines.iter().filter(|l| l.event == "lost").collect();
    for line in &told {
        let whole = value(line);
        assert!(
            matches!(whole["hook"].as_str(), Some("task_newtask" | "sched_process_exit" | "sched_process_exec")),
            "only who forked, executed and died may be left out: {}",
            line.raw
        );
    }
    if cgroup.is_some() {
        let named = told.iter().any(|l| l.container["id"].as_str().is_some_and(|id| CONTAINER.starts_with(id)));
        assert!(
            named,
            "the container whose crowd it was is named: {:?}",
            told.iter().map(|l| &l.raw).collect::<Vec<_>>()
        );
    } else {
        note("no cgroup2 to write to: whose crowd it was is not tested");
    }
}
