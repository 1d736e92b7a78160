//! What people type: unshare(1), nsenter(1), ip-netns(8). The program inside is this one, so it can say where it is.

use std::{os::unix::process::CommandExt, path::Path, process::Command, process::ExitCode};

use nstrace_tests::deed::{NsTruth, TaskTruth, What};
use serde::{Deserialize, Serialize};

use super::Scenario;
use crate::{
    stage::{self, Gate, How},
    sys, truth,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("programs", "unshare_program", unshare_program),
        Scenario::new("programs", "unshare_program_forks", unshare_program_forks),
        Scenario::new("programs", "nsenter_program", nsenter_program),
        Scenario::new("programs", "ip_netns", ip_netns),
    ]
}

/// What the program under `actor seen` is to report about itself.
#[derive(Serialize, Deserialize)]
struct Job {
    scenario: String,
    initial: std::collections::BTreeMap<String, NsTruth>,
    uid: u32,
    /// Types of the namespaces that were made for it, by the process `creator` (0: by itself, after exec the same pid).
    created: Vec<String>,
    creator: u32,
    created_via: String,
    joined: Vec<String>,
    joined_via: Vec<String>,
}

/// `actor seen JOB`: reports where it is and ends.
pub fn seen(args: &[&str]) -> ExitCode {
    let [job] = args else {
        eprintln!("usage: actor seen JOB");
        return ExitCode::from(2);
    };
    let job: Job = serde_json::from_str(job).expect("what spec() wrote");
    stage::enter(&job.scenario);
    truth::resume(job.initial, job.uid);
    let task = truth::task();
    let ns = |name: &str| *task.ns.get(name).expect("a namespace of every type");
    for name in &job.created {
        let pid = if job.creator == 0 { task.pid } else { job.creator };
        told("created", name, ns(name), Some(pid), &[&job.created_via]);
    }
    for name in &job.joined {
        let via: Vec<&str> = job.joined_via.iter().map(String::as_str).collect();
        told("joined", name, ns(name), Some(task.pid), &via);
    }
    stage::exit();
}

fn told(event: &str, ns_type: &str, ns: NsTruth, pid: Option<u32>, via: &[&str]) {
    stage::say(What::Told {
        event: event.to_owned(),
        ns_type: ns_type.to_owned(),
        ns,
        pid,
        via: via.iter().map(|&v| v.to_owned()).collect(),
    });
}

fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()));
    if !found {
        stage::skip(format!("{program} is not installed"));
    }
    found
}

/// Runs a program to its end in a process of its own; `args` gets that process' pid.
fn run(program: &str, args: impl FnOnce(u32) -> Vec<String>) -> u32 {
    let pid = sys::fork().expect("fork");
    if pid == 0 {
        let me = std::process::id();
        stage::say(What::Foreign { pid: me, program: program.to_owned() });
        let error = Command::new(program).args(args(me)).exec();
        eprintln!("actor: {program}: {error}");
        sys::exit(127);
    }
    stage::reap(pid);
    pid
}

fn spec(scenario: &str, created: &[&str], creator: u32, created_via: &str, joined: &[&str], via: &[&str]) -> String {
    let own = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
    serde_json::to_string(&Job {
        scenario: scenario.to_owned(),
        initial: truth::initial().clone(),
        uid: 0,
        created: own(created),
        creator,
        created_via: created_via.to_owned(),
        joined: own(joined),
        joined_via: own(via),
    })
    .expect("plain data")
}

fn me() -> String {
    std::env::current_exe().expect("this program").to_string_lossy().into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}

fn unshare_program() {
    if have("unshare") {
        let types = ["net", "uts", "ipc", "mnt"];
        run("unshare", |_| {
            let job = spec("unshare_program", &types, 0, "unshare", &types, &["unshare"]);
            words(&["--net", "--uts", "--ipc", "--mount", &me(), "seen", &job])
        });
    }
}

fn unshare_program_forks() {
    if have("unshare") {
        let types = ["net", "pid", "user"];
        run("unshare", |pid| {
            let job = spec("unshare_program_forks", &types, pid, "unshare", &types, &["fork", "clone", "clone3"]);
            words(&["--net", "--pid", "--fork", "--user", "--map-root-user", &me(), "seen", &job])
        });
    }
}

fn nsenter_program() {
    if !have("nsenter") {
        return;
    }
    let (go, ready) = (Gate::new(), Gate::new());
    let flags = nstrace_tests::kinds::kind("net").flag | nstrace_tests::kinds::kind("uts").flag;
    let holder = stage::spawn(How::Clone, flags, || {
        ready.send_pid(truth::task().pid);
        go.wait();
    })
    .expect("root may");
    let target = ready.read_pid().to_string();
    run("nsenter", |_| {
        let job = spec("nsenter_program", &[], 0, "", &["net", "uts"], &["setns"]);
        words(&["--target", &target, "--net", "--uts", &me(), "seen", &job])
    });
    go.open();
    stage::reap(holder);
}

fn ip_netns() {
    if !have("ip") {
        return;
    }
    let name = format!("nstrace-{}", std::process::id());
    let adder = run("ip", |_| words(&["netns", "add", &name]));
    let path = format!("/run/netns/{name}");
    assert!(Path::new(&path).exists(), "ip netns add made {path}");
    let fd = sys::open(&path).expect("a mount of nsfs");
    let ns = stage::fd_ns(fd);
    sys::close(fd);
    told("created", "net", ns, Some(adder), &["unshare"]);
    told("pinned", "net", ns, Some(adder), &["mount"]);
    told("left", "net", ns, Some(adder), &["exit", "setns"]);
    run("ip", |_| {
        let job = spec("ip_netns", &["mnt"], 0, "unshare", &["net", "mnt"], &["setns", "unshare"]);
        words(&["netns", "exec", &name, &me(), "seen", &job])
    });
    stage::alive("net", ns);
    let deleter = run("ip", |_| words(&["netns", "del", &name]));
    let task = TaskTruth { pid: deleter, tid: deleter, comm: b"ip".to_vec(), pids: vec![deleter], ..truth::task() };
    let now = sys::boot_ns();
    // The deed's window is not known from here: from the creation on.
    stage::say_at(now, now, What::Foreign { pid: deleter, program: "ip netns del".to_owned() });
    told("unpinned", "net", ns, Some(task.pid), &["umount"]);
}
