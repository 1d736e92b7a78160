//! This machine: what discovery says is compared with what readlink(2) and the files say.
//!
//! Needs root; says so and passes otherwise.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use crate::{
    discover::{
        Proc, ScannedTask,
        cgroup::CgroupTree,
        clock,
        oci::OciState,
        snapshot::{self, Sources},
    },
    event::{Event, PinHolder, TaskKey},
    ns::{NsType, Slot},
};

/// Reports that a test cannot be done here.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A program that has told `ready` and lives until this is dropped.
pub struct Subject {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// The shell.
    pub pid: u32,
}

impl Subject {
    /// `unshare OPTIONS sh -c SCRIPT`; the script has to end in `ready`, which says so and waits for the end of
    /// its input.
    pub fn start(options: &[&str], script: &str) -> Self {
        let script = format!("ready() {{ echo ready; read x || :; }}\n{script}");
        let mut child = Command::new("unshare")
            .args(options)
            .args(["sh", "-e", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) is installed");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped");
        BufReader::new(stdout).read_line(&mut line).expect("readable");
        assert_eq!(line.trim(), "ready", "the script of {options:?} failed");
        // With --fork, unshare(1) itself stays outside and the shell is its only child.
        let unshare = child.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        let fork = options.contains(&"--fork");
        let pid = if fork { children.trim().parse().expect("one child") } else { unshare };
        Self { _stdin: child.stdin.take(), child, pid }
    }

    /// Its own link of a slot, by std's readlink.
    pub fn link(&self, slot: Slot) -> String {
        link(self.pid, self.pid, slot)
    }

    pub fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        // End of input ends the shell, and with it unshare(1).
        self._stdin = None;
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.stop();
    }
}

fn link(tgid: u32, tid: u32, slot: Slot) -> String {
    let path = format!("/proc/{tgid}/task/{tid}/ns/{}", slot.proc_name());
    fs::read_link(path).map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

fn find(tasks: &[ScannedTask], pid: u32) -> &ScannedTask {
    tasks.iter().find(|t| t.task.key.tid == pid).expect("the scan found it")
}

#[test]
fn a_subject_in_six_new_namespaces() {
    if !is_root() {
        return;
    }
    let subject = Subject::start(&["--net", "--uts", "--ipc", "--mount", "--cgroup", "--time"], "ready");
    let before = clock::boot_ns();
    let scan = Proc::default().tasks().expect("/proc");
    let found = find(&scan.tasks, subject.pid);
    for slot in Slot::ALL {
        let seen = found.slots.get(slot).map(|ns| ns.to_string()).unwrap_or_default();
        assert_eq!(seen, subject.link(slot), "{}", slot.proc_name());
    }
    assert_eq!((found.task.tgid, found.task.uid, found.task.euid), (subject.pid, 0, 0));
    assert_eq!(found.task.pids.as_slice()[0], subject.pid);
    assert_eq!(found.task.comm.as_bytes(), b"sh");
    assert!(found.boot_ns >= before && found.boot_ns <= clock::boot_ns());
    assert!(found.task.key.start_boottime <= before, "it started before the scan");
    assert!(before - found.task.key.start_boottime < 600_000_000_000, "and not long ago");
    assert!(!found.task.is_kernel_thread() && found.task.is_leader());
}

#[test]
fn every_task_has_the_slots_that_readlink_shows() {
    if !is_root() {
        return;
    }
    let scan = Proc::default().tasks().expect("/proc");
    let own = std::process::id();
    assert!(scan.tasks.iter().all(|t| t.task.tgid != own), "the reader is left out");
    assert!(scan.tasks.iter().any(|t| t.task.key.tid == 1));
    if let Some(path) = &scan.missed.first_denied {
        // A security module may shield some process even from root.
        let refused = fs::read_link(format!("{path}/net")).map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::PermissionDenied), "{path}");
    }
    assert_eq!(scan.missed.other, 0, "{:?}", scan.missed);
    let mut compared = 0;
    // Kernel threads change no namespaces while this runs.
    for task in scan.tasks.iter().filter(|t| t.task.is_kernel_thread()) {
        for slot in Slot::ALL {
            let said = link(task.task.tgid, task.task.key.tid, slot);
            let seen = task.slots.get(slot).map(|ns| ns.to_string());
            // A kernel thread may end meanwhile.
            assert!(said.is_empty() || seen.as_deref() == Some(&said), "{} {said} {seen:?}", task.task.key.tid);
            compared += usize::from(!said.is_empty());
        }
    }
    assert!(compared > 0, "there is some kernel thread");
}

#[test]
fn without_privileges_what_is_refused_is_counted() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs an ordinary user");
        return;
    }
    let scan = Proc::default().tasks().expect("/proc");
    let init = find(&scan.tasks, 1);
    assert_eq!(init.slots.iter().count(), 0, "the task is there, its slots are not");
    assert!(scan.missed.denied > 0 && scan.missed.other == 0, "{:?}", scan.missed);
    assert!(scan.missed.first_denied.is_some());
    let fds = Proc::default().nsfs_fds().expect("/proc");
    assert!(fds.missed.denied > 0);
}

#[test]
fn pids_of_every_level() {
    if !is_root() {
        return;
    }
    let subject = Subject::start(&["--pid", "--fork", "--user", "--map-root-user", "--mount-proc"], "ready");
    let scan = Proc::default().tasks().expect("/proc");
    let found = find(&scan.tasks, subject.pid);
    assert_eq!(found.task.pids.as_slice(), [subject.pid, 1]);
    assert_eq!(
        found.slots.get(Slot::Member(NsType::User)).map(|ns| ns.to_string()),
        Some(subject.link(Slot::Member(NsType::User)))
    );
}

#[test]
fn a_name_that_is_meant_to_confuse() {
    if !is_root() {
        return;
    }
    let subject = Subject::start(&["--uts"], r"printf 'x) R 1\n\\\377' > /proc/$$/comm; ready");
    let scan = Proc::default().tasks().expect("/proc");
    assert_eq!(find(&scan.tasks, subject.pid).task.comm.as_bytes(), b"x) R 1\n\\\xff");
}

#[test]
fn descriptors_by_link_by_mount_and_by_path_only() {
    if !is_root() {
        return;
    }
    let dir = TempDir::new().expect("a temporary folder");
    let point = dir.path().join("a b");
    fs::write(&point, "").expect("a file to mount on");
    let script = format!(
        "exec 7</proc/self/ns/uts; mount --bind /proc/self/ns/net '{0}'; mount --bind /proc/self/ns/ipc '{0}x'\n\
         exec 8<'{0}' 9<'{0}x' 6</dev/null; umount -l '{0}x'; ready",
        point.display()
    );
    fs::write(dir.path().join("a bx"), "").expect("a file to mount on");
    let subject = Subject::start(&["--net", "--uts", "--ipc", "--mount"], &script);
    let scan = Proc::default().nsfs_fds().expect("/proc");
    let mut found: Vec<(i32, String)> = scan
        .holders
        .iter()
        .filter_map(|h| match h.holder {
            PinHolder::Fd { tgid, fd } if tgid == subject.pid => Some((fd, h.ns.to_string())),
            _ => None,
        })
        .collect();
    found.sort();
    let member = |ns_type| subject.link(Slot::Member(ns_type));
    assert_eq!(found, [(7, member(NsType::Uts)), (8, member(NsType::Net)), (9, member(NsType::Ipc))]);
    // The same descriptors read as the path of the mount, and as the root once it is unmounted.
    let read = |fd: u32| fs::read_link(format!("/proc/{}/fd/{fd}", subject.pid)).expect("open");
    assert_eq!((read(8), read(9)), (point.clone(), PathBuf::from("/")));

    let scan = Proc::default().nsfs_mounts().expect("/proc");
    let mnt_ns = member(NsType::Mnt);
    let mounts: Vec<_> = scan
        .holders
        .iter()
        .filter_map(|h| match &h.holder {
            // Copies of what the machine has mounted are there too.
            PinHolder::Mount { mnt_ns: inum, path } if format!("mnt:[{inum}]") == mnt_ns => {
                Some((h.ns.to_string(), path)).filter(|(_, path)| Path::new(path).starts_with(dir.path()))
            }
            _ => None,
        })
        .collect();
    let point = point.to_string_lossy().into_owned();
    assert_eq!(mounts, [(member(NsType::Net), &point)]);
}

#[test]
fn descriptors_opened_with_o_path() {
    if !is_root() {
        return;
    }
    let file = rustix::fs::open("/proc/self/ns/cgroup", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a link");
    let mut child = Command::new("sleep").arg("1000").stdin(file).stderr(Stdio::null()).spawn().expect("sleep(1)");
    let scan = Proc::default().nsfs_fds();
    let tgid = child.id();
    child.kill().expect("our child");
    child.wait().expect("our child");
    let scan = scan.expect("/proc");
    let found: Vec<_> = scan.holders.iter().filter(|h| h.holder == PinHolder::Fd { tgid, fd: 0 }).collect();
    let own = fs::read_link("/proc/self/ns/cgroup").expect("a link");
    assert_eq!(found.len(), 1, "{:?}", scan.holders);
    assert_eq!(found[0].ns.to_string(), own.to_string_lossy());
}

#[test]
fn cgroup_ids_and_paths_both_ways() {
    if !is_root() {
        return;
    }
    let Some(mut tree) = CgroupTree::find(&Proc::default()).expect("mountinfo") else {
        eprintln!("skipped: no cgroup2 mount");
        return;
    };
    let name = format!("nstrace-test-{}", std::process::id());
    let outer = tree.mount_point().join(&name);
    let inner = outer.join("in ner");
    if let Err(error) = fs::create_dir(&outer) {
        eprintln!("skipped: {}: {error}", outer.display());
        return;
    }
    fs::create_dir(&inner).expect("below it");
    let id = fs::metadata(&inner).expect("it is there").ino();
    let now = clock::boot_ns();
    let by_handle = tree.path_of(id, now, now);
    let root = fs::metadata(tree.mount_point()).expect("it is there").ino();
    let root_path = tree.path_of(root, now, now);
    // Without its magic number the same directory can only be walked.
    let by_walk = tree.path_by_walk(id);
    let back = tree.id_of(&format!("/{name}/in ner"));
    let outer_id = fs::metadata(&outer).expect("it is there").ino();
    fs::remove_dir(&inner).expect("nobody is in it");
    fs::remove_dir(&outer).expect("nobody is in it");
    let expected = format!("/{name}/in ner");
    assert_eq!(by_handle.as_deref(), Some(expected.as_str()));
    assert_eq!(by_walk.as_deref(), Some(expected.as_str()));
    assert_eq!(root_path.as_deref(), Some("/"));
    assert_eq!(back, Some(id));
    assert_eq!(tree.path_of(id, now, now).as_deref(), Some(expected.as_str()), "remembered");
    assert_eq!(tree.path_of(outer_id, now, now), None, "never asked for while it lived");
    assert!(tree.opens_handles(), "handles work for root on cgroup2");
}

#[test]
fn a_user_is_believed_about_cgroups_that_were_given_to_it() {
    if !is_root() {
        return;
    }
    let (run, cgroups) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    fs::create_dir_all(run.path().join("user/1000/crun/rc1")).expect("folders");
    for (parent, owner) in [("given", 1000), ("other", 1001), ("roots", 0)] {
        let parent = cgroups.path().join(parent);
        fs::create_dir_all(parent.join("rc1")).expect("folders");
        std::os::unix::fs::chown(&parent, Some(owner), None).expect("root may");
    }
    let oci = OciState::at(run.path()).with_cgroups(cgroups.path());
    assert_eq!(oci.canonical("/given/rc1").as_deref(), Some("/given/crun-rc1.scope"));
    assert_eq!(oci.canonical("/given/rc1/x").as_deref(), Some("/given/crun-rc1.scope/x"));
    assert_eq!(oci.canonical("/other/rc1"), None);
    assert_eq!(oci.canonical("/roots/rc1"), None);
    assert_eq!(oci.canonical("/rc1"), None);
    assert_eq!(oci.canonical("/given/../given/rc1"), None);
    assert_eq!(OciState::at(run.path()).canonical("/given/rc1"), None);
}

#[test]
fn placement_of_a_live_task() {
    let scan = Proc::default().tasks().expect("/proc");
    let init = find(&scan.tasks, 1);
    let TaskKey { tid, start_boottime } = init.task.key;
    // As a kernel record would have it: the same tick, more digits.
    let key = TaskKey { tid, start_boottime: start_boottime + 1234 };
    assert_eq!(Proc::default().placement(key).as_ref(), Ok(&init.placement));
}

#[test]
fn a_snapshot_of_this_machine() {
    if !is_root() {
        return;
    }
    let subject = Subject::start(&["--net"], "exec 7</proc/self/ns/net; ready");
    let mut tree = CgroupTree::find(&Proc::default()).expect("mountinfo");
    let sources = Sources { cgroups: tree.as_mut(), oci: None, handles: None };
    let snapshot = snapshot::snapshot(&Proc::default(), sources).expect("/proc");
    let events: Vec<&Event> = snapshot.events.iter().map(|stamped| &stamped.event).collect();
    assert!(matches!(events.first(), Some(Event::Initial { slots }) if slots.iter().count() == 10));
    assert!(matches!(events.last(), Some(Event::SnapshotEnd)));
    let net = subject.link(Slot::Member(NsType::Net));
    assert!(events.iter().any(|event| matches!(event, Event::SnapshotTask { task, slots }
        if task.key.tid == subject.pid && slots.get(Slot::Member(NsType::Net)).is_some_and(|ns| ns.to_string() == net))));
    assert!(
        events.iter().any(|event| matches!(event, Event::SnapshotPin { ns, holder: PinHolder::Fd { tgid, fd: 7 } }
        if *tgid == subject.pid && ns.to_string() == net))
    );
    let mut cgroups: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::CgroupPath { cgroup, .. } => Some(*cgroup),
            _ => None,
        })
        .collect();
    let told = cgroups.len();
    cgroups.sort_unstable();
    cgroups.dedup();
    assert_eq!(cgroups.len(), told, "each path once");
}

/// `cargo test --release -- --ignored --nocapture measure`: what the scans cost with 2,000 processes.
#[test]
#[ignore = "a measurement"]
fn measure_two_thousand_processes() {
    let mut sleepers: Vec<Child> =
        (0..2000).map(|_| Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep(1)")).collect();
    let proc = Proc::default();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let tasks = proc.tasks().expect("/proc");
        let scanned = start.elapsed();
        let fds = proc.nsfs_fds().expect("/proc");
        let listed = start.elapsed() - scanned;
        let mounts = proc.nsfs_mounts().expect("/proc");
        let mounted = start.elapsed() - scanned - listed;
        eprintln!(
            "{} tasks {scanned:?} ({:?} each), {} fds {listed:?}, {} mounts {mounted:?}",
            tasks.tasks.len(),
            scanned / u32::try_from(tasks.tasks.len()).expect("few"),
            fds.holders.len(),
            mounts.holders.len()
        );
    }
    for sleeper in &mut sleepers {
        sleeper.kill().expect("our child");
        sleeper.wait().expect("our child");
    }
}

/// `-- --ignored --nocapture print_containers`: every cgroup of this machine that holds a task, and the container it is
/// taken for.
#[test]
#[ignore = "a look at this machine"]
fn print_containers() {
    let mut oci = OciState::default();
    if let Ok(Some(tree)) = CgroupTree::find(&Proc::default()) {
        oci = oci.with_cgroups(tree.mount_point());
    }
    let scan = Proc::default().tasks().expect("/proc");
    let paths: std::collections::BTreeSet<_> = scan.tasks.iter().filter_map(|t| t.placement.path().cloned()).collect();
    for path in paths {
        let canonical = snapshot::canonical(Some(&oci), &path);
        eprintln!("{path:?} {canonical:?} {:?}", crate::container::from_cgroup_path(&canonical));
    }
    eprintln!("{:?}", oci.list());
}
