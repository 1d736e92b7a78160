//! Containers of real runtimes: run, exec, remove; against `/proc` of their init while it runs.

use std::{collections::BTreeMap, time::Instant};

use nstrace_tests::{
    container::{Running, Runtime},
    deed::NsTruth,
    line::Line,
    live::{facts, one_at_a_time},
    nsfs::own_namespaces,
    program::{self, note, settle},
    watch::{Watch, without_loss},
};

#[test]
fn runc() {
    check(Runtime::Runc, live);
}

#[test]
fn crun() {
    check(Runtime::Crun, live);
}

#[test]
fn podman() {
    check(Runtime::Podman, live);
}

#[test]
fn podman_rootless() {
    check(Runtime::Rootless, live);
}

#[test]
fn docker() {
    check(Runtime::Docker, live);
}

/// Only an engine knows the names of these containers, and it is asked while they live.
#[test]
fn chosen_by_name() {
    check(Runtime::Docker, chosen);
}

fn check(runtime: Runtime, live: fn(Runtime) -> anyhow::Result<()>) {
    let _turn = one_at_a_time();
    if !program::live() || !runtime.is_here() {
        return;
    }
    if let Err(error) = without_loss(runtime.name(), || live(runtime)) {
        panic!("{runtime:?}: {error:#}");
    }
}

fn chosen(runtime: Runtime) -> anyhow::Result<()> {
    let name = |what: &str| format!("nstrace-{}-{what}", std::process::id());
    let (early, late) = (name("early"), name("late"));
    let first = Running::start(runtime, &early)?;
    let watch = Watch::start(&["--container", &early, "--container", &late])?;
    let other = Running::start(runtime, &name("other"))?;
    let second = Running::start(runtime, &late)?;
    let ids = [&first, &second].map(|container| (container.id.clone(), container.pid));
    let begins = |lines: &[Line]| ids.iter().all(|(id, _)| lines.iter().any(|l| l.container["id"] == id.as_str()));
    anyhow::ensure!(watch.wait_for(Instant::now() + settle(), begins), "no line of {early} and {late} while they run");
    for container in [first, other, second] {
        container.remove()?;
    }
    let ends = |lines: &[Line], (id, pid): &(String, u32)| {
        let is_its = |l: &&Line| l.event == "left" && l.pid() == Some(*pid) && l.container["id"] == id.as_str();
        lines.iter().filter(is_its).count()
    };
    watch.wait_for(Instant::now() + settle(), |lines| ids.iter().all(|id| ends(lines, id) > 0));
    let ended = watch.stop()?;
    ended.check()?;
    for id in &ids {
        anyhow::ensure!(ends(&ended.lines, id) > 0, "no line tells the end of {}, whose name was asked for", id.0);
    }
    let snapshots = ended.lines.iter().filter(|l| l.event == "snapshot").count();
    anyhow::ensure!(snapshots > 0, "the namespaces of {early} existed before the watch");
    let strange = |l: &&Line| !l.container.is_null() && ids.iter().all(|(id, _)| l.container["id"] != id.as_str());
    anyhow::ensure!(ended.lines.iter().all(|l| !strange(&l)), "{:?}", ended.lines.iter().find(strange));
    Ok(())
}

/// What one container did, as far as the kernel showed it.
struct Seen {
    namespaces: BTreeMap<&'static str, NsTruth>,
    pid: u32,
    /// Its part of the lines: before and after, the same inode numbers belong to other containers.
    lines: std::ops::Range<usize>,
    runtime: &'static str,
    id: String,
    rootless: bool,
}

fn live(runtime: Runtime) -> anyhow::Result<()> {
    // A rootless podman keeps its user namespace from its first use on: let that be before the watch.
    if runtime == Runtime::Rootless {
        Running::start(runtime, "nstrace-warm")?.remove()?;
    }
    let facts = facts()?;
    let watch = Watch::start(&[])?;
    let ends_seen = facts.unseen("destroyed").is_none();
    if !ends_seen {
        note("not compared: the end of the containers' namespaces, which this kernel does not show");
    }
    let mut all: Vec<Seen> = Vec::new();
    // The second one reuses what the first one left.
    for round in 0..2 {
        let from = watch.count();
        let container = Running::start(runtime, &format!("nstrace-{}-{round}", std::process::id()))?;
        let namespaces = own_namespaces(container.pid);
        for name in ["mnt", "uts", "ipc", "pid", "net"] {
            anyhow::ensure!(
                namespaces.contains_key(name),
                "a container has a {name} namespace of its own: {namespaces:?}"
            );
        }
        let inside = container.exec(&["readlink", "/proc/self/ns/mnt"])?;
        anyhow::ensure!(
            inside == format!("mnt:[{}]", namespaces["mnt"].inum),
            "the executed process is in {inside}, not in {namespaces:?}"
        );
        note(&format!("{runtime:?} {}: init {}, cgroup {}", container.id, container.pid, container.cgroup().trim()));
        let (pid, id) = (container.pid, container.id.clone());
        container.remove()?;
        let rootless = runtime == Runtime::Rootless;
        let mut seen = Seen { namespaces, pid, lines: from..usize::MAX, runtime: runtime.name(), id, rootless };
        watch.wait_for(Instant::now() + settle(), |lines| faults(&seen, lines, ends_seen).is_empty());
        seen.lines.end = watch.count();
        all.push(seen);
    }
    let ended = watch.stop()?;
    ended.check()?;
    let faults: Vec<String> = all.iter().flat_map(|seen| faults(seen, &ended.lines, ends_seen)).collect();
    if !faults.is_empty() {
        let about = |l: &&Line| {
            all.iter().any(|s| l.pid() == Some(s.pid) || s.namespaces.values().any(|n| Some(n.inum) == l.inum()))
        };
        let lines: Vec<&str> = ended.lines.iter().filter(about).map(|l| l.raw.as_str()).collect();
        let most = lines.len().min(60);
        anyhow::bail!(
            "{}\nthe first {most} of {} lines about these namespaces and processes:\n{}",
            faults.join("\n"),
            lines.len(),
            lines[..most].join("\n")
        );
    }
    Ok(())
}

fn faults(seen: &Seen, lines: &[Line], ends_seen: bool) -> Vec<String> {
    let lines = &lines[seen.lines.start.min(lines.len())..seen.lines.end.min(lines.len())];
    let mut faults = Vec::new();
    for (&name, ns) in &seen.namespaces {
        let about = |event: &str| -> Vec<&Line> {
            let same = |l: &&Line| {
                l.event == event
                    && l.ns_type() == Some(name)
                    && l.inum() == Some(ns.inum)
                    && (ns.id.is_none() || l.ns_id() == ns.id)
            };
            lines.iter().filter(same).collect()
        };
        let mut need = |ok: bool, what: &str| {
            if !ok {
                faults.push(format!("{name}:[{}] of {} {}: {what}", ns.inum, seen.runtime, seen.id));
            }
        };
        // The user namespace of a rootless user is older and lives on.
        let shared = seen.rootless && name == "user";
        if !shared {
            let created = about("created");
            need(created.len() == 1, &format!("created {} times, not once", created.len()));
            need(
                created.iter().all(|l| matches!(l.via(), Some("unshare" | "clone" | "clone3"))),
                "created by no call that creates",
            );
            if ends_seen {
                need(about("destroyed").len() == 1, &format!("destroyed {} times, not once", about("destroyed").len()));
            }
        }
        let joined = about("joined");
        need(joined.iter().any(|l| l.pid() == Some(seen.pid)), &format!("its init {} never joined", seen.pid));
        let left: Vec<&Line> =
            about("left").into_iter().filter(|l| l.pid() == Some(seen.pid) && l.via() == Some("exit")).collect();
        need(left.len() == 1, &format!("its init {} left {} times by exit, not once", seen.pid, left.len()));
        for line in left {
            // The cgroup of a rootless container lies where its user put it: the id is there, the maker may not be.
            let named =
                line.container["runtime"] == seen.runtime || (seen.rootless && line.container["runtime"] == "unknown");
            need(
                named && line.container["id"] == seen.id.as_str(),
                &format!("the container of its init is {}", line.container),
            );
        }
        if name == "mnt" {
            let entered = joined.iter().any(|l| l.pid() != Some(seen.pid) && l.via() == Some("setns"));
            need(entered, "no other process joined by setns, but one was executed in it");
        }
    }
    faults
}
