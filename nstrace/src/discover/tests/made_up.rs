//! Made-up trees: what a real machine does not show on demand.

use std::fs;

use tempfile::TempDir;

use super::fake::{FakeProc, FakeTask, inum};
use crate::{
    discover::{
        Missed, Proc, ReadError,
        cgroup::CgroupTree,
        liveness::{NsHandles, Unsupported},
        oci::OciState,
        snapshot::{self, Sources},
    },
    event::{Event, PinHolder, TaskKey},
    ns::{NsName, NsType, Slot},
};

const ID: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

#[test]
fn a_tree_of_tasks() {
    let fake = FakeProc::new();
    fake.task(&FakeTask::default());
    fake.task(&FakeTask { tgid: 7, tid: 7, comm: b"a)\xff\nb\\", nspid: "7\t3\t1", shift: 1, ..Default::default() });
    fake.task(&FakeTask {
        tgid: 7,
        tid: 8,
        ticks: 250,
        comm: b"worker",
        nspid: "8\t4\t2",
        shift: 1,
        ..Default::default()
    });
    fake.task(&FakeTask { tgid: 500, tid: 500, ..Default::default() });
    fake.task(&FakeTask { tgid: 600, tid: 600, state: 'Z', ..Default::default() });
    fake.task(&FakeTask { tgid: 601, tid: 601, flags: 0x4, ..Default::default() });
    fake.file("uptime", "1 1");
    let scan = fake.proc().tasks().expect("the root is there");
    let tids: Vec<u32> = scan.tasks.iter().map(|t| t.task.key.tid).collect();
    assert_eq!(tids, [1, 7, 8], "the reader (500) and the dead are left out");
    assert_eq!(scan.exiting, 2);
    assert_eq!(scan.missed, Missed::default());

    let seven = &scan.tasks[1];
    assert_eq!(seven.task.key, TaskKey { tid: 7, start_boottime: 1_000_000_000 });
    assert_eq!((seven.task.tgid, seven.task.uid, seven.task.euid), (7, 1000, 1001));
    assert_eq!(seven.task.cap_effective, 0x1ff_ffff_ffff);
    assert_eq!(seven.task.pids.as_slice(), [7, 3, 1]);
    assert_eq!(seven.task.comm.as_bytes(), b"a)\xff\nb\\");
    assert_eq!(seven.task.flags, 0x40_0100);
    assert_eq!(seven.slots.iter().count(), 10);
    for (slot, ns) in seven.slots.iter() {
        assert_eq!(ns, NsName { ns_type: slot.ns_type(), inum: inum(slot.ns_type(), 1), id: None });
    }
    assert_eq!(scan.tasks[2].task.key.start_boottime, 2_500_000_000);
    assert!(scan.tasks.is_sorted_by_key(|t| t.boot_ns), "each is stamped before it is visited");
}

#[test]
fn what_cannot_be_read_is_counted_and_skipped() {
    let fake = FakeProc::new();
    for tid in [10, 11, 12, 13, 14] {
        fake.task(&FakeTask { tgid: tid, tid, ..Default::default() });
    }
    fake.remove("10/task/10/status");
    fake.file("11/task/11/stat", "11 (cut");
    fake.remove("12/task/12/stat");
    fs::create_dir(fake.path().join("12/task/12/stat")).expect("a folder instead of a file");
    fake.remove("13/task");
    fake.remove("14/task/14/ns/pid_for_children");
    fake.remove("14/task/14/ns/net");
    fake.link("14/task/14/ns/net", "uts:[4026531001]");
    fake.remove("14/task/14/cgroup");
    let scan = fake.proc().tasks().expect("the root is there");
    assert_eq!(scan.tasks.len(), 1);
    let slots = scan.tasks[0].slots;
    assert_eq!(slots.get(Slot::ForChildren(NsType::Pid)), None);
    assert_eq!(slots.get(Slot::Member(NsType::Net)), None, "a link of another type is not believed");
    assert!(slots.get(Slot::Member(NsType::Pid)).is_some());
    assert_eq!(scan.tasks[0].placement.path(), None);
    assert_eq!((scan.missed.gone, scan.missed.denied, scan.missed.other), (2, 0, 2));
    assert!(!scan.missed.is_complete());
    let example = scan.missed.first_other.expect("an example");
    assert!(example.ends_with("11/task/11: unexpected content of stat"), "{example}");
}

#[test]
fn errors_are_told_apart() {
    use rustix::io::Errno;
    let mut missed = Missed::default();
    for errno in [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::PERM, Errno::IO] {
        missed.note(errno.into(), format_args!("/proc/{}", errno.raw_os_error()));
    }
    assert_eq!((missed.gone, missed.denied, missed.other), (2, 2, 1));
    assert_eq!(missed.first_denied.as_deref(), Some("/proc/13"));
    let nowhere = Proc::at("/nonexistent/proc");
    assert_eq!(nowhere.tasks().err(), Some(ReadError::Gone));
    assert_eq!(nowhere.nsfs_fds().err(), Some(ReadError::Gone));
    assert_eq!(nowhere.nsfs_mounts().err(), Some(ReadError::Gone));
    assert!(matches!(NsHandles::probe(&nowhere), Err(Unsupported::Other(ReadError::Gone))));
}

#[test]
fn nsfs_descriptors() {
    let fake = FakeProc::new();
    for tgid in [3_000_001, 3_000_002] {
        fake.task(&FakeTask { tgid, tid: tgid, ..Default::default() });
        fake.link(&format!("{tgid}/task/{tgid}/fd/0"), "/dev/null");
    }
    fake.link("3000002/task/3000002/fd/9", "net:[4026532177]");
    fake.link("3000002/task/3000002/fd/10", "user:[4026532178]");
    fake.link("3000002/task/3000002/fd/11", "socket:[4026532178]");
    fake.link("3000002/task/3000002/fd/12", "anon_inode:[eventpoll]");
    fake.link("3000002/task/3000002/fd/13", "/run/netns/net:[5]");
    let scan = fake.proc().nsfs_fds().expect("the root is there");
    let found: Vec<_> = scan.holders.iter().map(|h| (h.ns.to_string(), h.holder.clone())).collect();
    let fd = |fd| PinHolder::Fd { tgid: 3_000_002, fd };
    assert_eq!(found, [("net:[4026532177]".to_owned(), fd(9)), ("user:[4026532178]".to_owned(), fd(10))]);
    assert!(scan.missed.is_complete());
}

#[test]
fn nsfs_mounts_once_per_mount_namespace() {
    let fake = FakeProc::new();
    let host = "30 1 0:21 / / rw - ext4 /dev/vda rw\n44 30 0:4 net:[4026532246] /run/netns/a\\040b rw shared:3 - nsfs nsfs rw\n45 30 0:4 net:[4026532247] /srv/jail/ns rw - nsfs nsfs rw\n46 30 0:4 junk /srv/x rw - nsfs nsfs rw\n";
    // A process under chroot comes first and sees one of the mounts under another path.
    let base = fake.task(&FakeTask::default());
    fake.remove("1/task/1/root");
    fake.link("1/task/1/root", "/srv/jail");
    fake.file(&format!("{base}/mountinfo"), "45 30 0:4 net:[4026532247] /ns rw - nsfs nsfs rw\n");
    for tgid in [20, 21] {
        let base = fake.task(&FakeTask { tgid, tid: tgid, ..Default::default() });
        fake.file(&format!("{base}/mountinfo"), host);
    }
    let base = fake.task(&FakeTask { tgid: 30, tid: 30, shift: 1, ..Default::default() });
    fake.file(&format!("{base}/mountinfo"), "90 80 0:4 mnt:[4026532300] /m\\134n//deleted rw - nsfs nsfs rw\n");
    let scan = fake.proc().nsfs_mounts().expect("the root is there");
    let mut found: Vec<_> = scan
        .holders
        .iter()
        .map(|h| match &h.holder {
            PinHolder::Mount { mnt_ns, path } => format!("{} {mnt_ns} {path}", h.ns),
            PinHolder::Fd { .. } => "a descriptor".to_owned(),
        })
        .collect();
    found.sort();
    let (first, second) = (inum(NsType::Mnt, 0), inum(NsType::Mnt, 1));
    assert_eq!(
        found,
        [
            format!("mnt:[4026532300] {second} /m\\n//deleted"),
            format!("net:[4026532246] {first} /run/netns/a b"),
            format!("net:[4026532247] {first} /srv/jail/ns"),
        ]
    );
    assert!(scan.missed.is_complete(), "{:?}", scan.missed);
}

#[test]
fn a_placement_belongs_to_one_generation_of_a_number() {
    let fake = FakeProc::new();
    fake.file("70/stat", "70 (x) S 0 0 0 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 555 0 0 0\n");
    fake.file("70/cgroup", "0::/a.slice\n");
    let key = TaskKey { tid: 70, start_boottime: 5_551_234_567 };
    let placement = fake.proc().placement(key).expect("it lives");
    assert_eq!(placement.path().map(AsRef::as_ref), Some("/a.slice"));
    let other = TaskKey { start_boottime: 6_000_000_000, ..key };
    assert_eq!(fake.proc().placement(other), Err(ReadError::Gone));
    assert_eq!(fake.proc().placement(TaskKey { tid: 71, ..key }), Err(ReadError::Gone));
}

#[test]
fn a_tree_of_directories_is_walked() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().expect("a temporary folder");
    let deep = dir.path().join("system.slice/docker-x.scope/init");
    fs::create_dir_all(&deep).expect("folders");
    let ino = fs::metadata(&deep).expect("it is there").ino();
    let mut tree = CgroupTree::at(dir.path(), false).expect("it can be opened");
    assert_eq!(tree.path_of(ino, 10, 20).as_deref(), Some("/system.slice/docker-x.scope/init"));
    let root = fs::metadata(dir.path()).expect("it is there").ino();
    assert_eq!(tree.path_of(root, 10, 20).as_deref(), Some("/"));
    assert_eq!(tree.path_of(0, 10, 20), None);
    assert_eq!(tree.id_of("/system.slice/docker-x.scope/init"), Some(ino));
    assert_eq!(tree.id_of("/"), Some(root));
    assert_eq!(tree.id_of("/../etc"), None);
    assert_eq!(tree.id_of("/nothing"), None);
    // What was found stays known after the directory is gone.
    fs::remove_dir(&deep).expect("empty");
    assert_eq!(tree.path_of(ino, 30, 40).as_deref(), Some("/system.slice/docker-x.scope/init"));
}

#[test]
fn an_absent_cgroup_is_looked_for_again_only_for_a_newer_event() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().expect("a temporary folder");
    let elsewhere = TempDir::new_in(dir.path().parent().expect("a parent")).expect("a temporary folder");
    let moved = elsewhere.path().join("late");
    fs::create_dir(&moved).expect("a folder");
    let ino = fs::metadata(&moved).expect("it is there").ino();
    let mut tree = CgroupTree::at(dir.path(), false).expect("it can be opened");
    assert_eq!(tree.path_of(ino, 100, 200), None);
    fs::rename(&moved, dir.path().join("late")).expect("one file system");
    assert_eq!(tree.path_of(ino, 150, 210), None, "the record is older than the look-up that failed");
    assert_eq!(tree.path_of(ino, 201, 220).as_deref(), Some("/late"));
}

#[test]
fn the_mount_that_shows_most_is_taken() {
    let fake = FakeProc::new();
    let (all, part) = (fake.path().join("all"), fake.path().join("part"));
    for dir in [&all, &part] {
        fs::create_dir(dir).expect("a folder");
    }
    let mounts = |first: &str| {
        format!(
            "{first}40 1 0:30 /system.slice {} rw - cgroup2 none rw\n41 1 0:30 / {} rw - cgroup2 none rw\n",
            part.display(),
            all.display()
        )
    };
    fake.remove("self");
    fake.file("self/mountinfo", mounts(""));
    let tree = CgroupTree::find(&fake.proc()).expect("readable").expect("two mounts");
    assert_eq!((tree.mount_point(), tree.is_hybrid()), (all.as_path(), false));
    fake.file("self/mountinfo", mounts("39 1 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"));
    assert!(CgroupTree::find(&fake.proc()).expect("readable").expect("two mounts").is_hybrid());
    fake.file("self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n");
    assert!(CgroupTree::find(&fake.proc()).expect("readable").is_none());
}

#[test]
fn initial_namespaces_are_those_of_kthreadd() {
    let fake = FakeProc::new();
    for (tgid, shift) in [(1, 1), (2, 0)] {
        for slot in Slot::ALL {
            let link = format!("{}:[{}]", slot.ns_type(), inum(slot.ns_type(), shift));
            fake.link(&format!("{tgid}/ns/{}", slot.proc_name()), link);
        }
    }
    let net = |fake: &FakeProc| {
        let slots = fake.proc().initial_slots().expect("readable");
        slots.get(Slot::Member(NsType::Net)).map(|ns| ns.inum)
    };
    fake.file("2/stat", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0\n");
    assert_eq!(net(&fake), Some(inum(NsType::Net, 0)));
    // In a container process 2 is anyone.
    fake.file("2/stat", "2 (bash) S 0 0 0 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0\n");
    assert_eq!(net(&fake), Some(inum(NsType::Net, 1)));
    fake.remove("2");
    assert_eq!(net(&fake), Some(inum(NsType::Net, 1)));
}

#[test]
fn boot_ids() {
    let fake = FakeProc::new();
    fake.file("sys/kernel/random/boot_id", "7b0f3a52-3c43-4d0c-9d36-0a2a6a4d1b11\n");
    assert_eq!(fake.proc().boot_id().as_deref(), Ok("7b0f3a52-3c43-4d0c-9d36-0a2a6a4d1b11"));
    fake.file("sys/kernel/random/boot_id", "\u{1b}[31m");
    assert_eq!(fake.proc().boot_id(), Err(ReadError::Malformed("boot_id")));
}

#[test]
fn plain_cgroups_of_runc_and_crun() {
    let run = TempDir::new().expect("a temporary folder");
    let write = |name: &str, content: &str| {
        let path = run.path().join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("folders");
        fs::write(path, content).expect("a file");
    };
    write("runc/r1/state.json", r#"{"id":"r1","cgroup_paths":{"":"/sys/fs/cgroup/user.slice/r1"}}"#);
    write("runc/v1/state.json", r#"{"cgroup_paths":{"cpu":"/sys/fs/cgroup/cpu/v1","pids":"/sys/fs/cgroup/pids/v1"}}"#);
    write("runc/fresh/exec.fifo", "");
    write("runc/broken/state.json", "{");
    write("crun/c1/status", r#"{"pid":5,"cgroup-path":"/c1"}"#);
    write("crun/system.slice/status", "");
    write("containerd/io.containerd.runtime.v2.task/default/web/init.pid", "5");
    write(
        "user/1000/runc/mine/state.json",
        r#"{"cgroup_paths":{"":"/sys/fs/cgroup/user.slice/user-1000.slice/mine"}}"#,
    );
    write("user/1000/runc/other/exec.fifo", "");
    let podman = format!("user/1001/crun/{ID}");
    write(&format!("{podman}/config.json"), r#"{"annotations":{"io.container.manager":"libpod"}}"#);
    write(
        "runc/labelled/state.json",
        r#"{"cgroup_paths":{"":"/sys/fs/cgroup/labelled"},"config":{"labels":["bundle=/b","io.container.manager=libpod"]}}"#,
    );
    write("crun/.cache/seccomp/x", "");
    let oci = OciState::at(run.path());
    for (path, expected) in [
        ("/user.slice/r1", Some("/user.slice/runc-r1.scope")),
        ("/user.slice/r1/init", Some("/user.slice/runc-r1.scope/init")),
        ("/elsewhere/r1", None),
        ("/v1", Some("/runc-v1.scope")),
        ("/fresh", Some("/runc-fresh.scope")),
        ("/broken", Some("/runc-broken.scope")),
        ("/c1", Some("/crun-c1.scope")),
        ("/system.slice/ssh.service", None),
        ("/default/web", Some("/default/containerd-web.scope")),
        ("/x/default/web", None),
        ("/user.slice/user-1000.slice/mine", Some("/user.slice/user-1000.slice/runc-mine.scope")),
        ("/user.slice/user-1000.slice/other/x", Some("/user.slice/user-1000.slice/runc-other.scope/x")),
        // A user's own directory says nothing about the rest of the machine.
        ("/other", None),
        (&format!("/user.slice/user-1001.slice/{ID}"), Some(&format!("/user.slice/user-1001.slice/libpod-{ID}.scope"))),
        (&format!("/user.slice/user-1002.slice/{ID}"), None),
        // podman's ids are hexadecimal: what only says that it is podman's is not rewritten.
        ("/labelled", None),
        ("/.cache", None),
        ("/user.slice/user-1001.slice/other", None),
        ("/", None),
        ("", None),
        ("/../r1x", None),
    ] {
        assert_eq!(oci.canonical(path).as_deref(), expected, "{path}");
    }
    let listed: Vec<_> =
        oci.list().into_iter().map(|c| format!("{} {} {}", c.runtime, c.id, c.cgroups.len())).collect();
    let podman = format!("crun {ID} 0");
    let expected = [
        podman.as_str(),
        "crun c1 1",
        "crun system.slice 0",
        "runc broken 0",
        "runc fresh 0",
        "runc labelled 1",
        "runc mine 1",
        "runc other 0",
        "runc r1 1",
        "runc v1 2",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn a_snapshot_in_order() {
    let fake = FakeProc::new();
    let v1 = format!("1:name=systemd:/docker/{ID}\n0::/\n");
    let tree_dir = TempDir::new().expect("a temporary folder");
    fs::create_dir(tree_dir.path().join("r1")).expect("a folder");
    fake.task(&FakeTask { cgroup: b"0::/\n", ..Default::default() });
    fake.task(&FakeTask { tgid: 3_000_007, tid: 3_000_007, cgroup: b"0::/r1\n", shift: 1, ..Default::default() });
    fake.task(&FakeTask { tgid: 3_000_009, tid: 3_000_009, cgroup: v1.as_bytes(), shift: 2, ..Default::default() });
    fake.link("1/ns/net", format!("net:[{}]", inum(NsType::Net, 0)));
    fake.link("3000009/task/3000009/fd/4", "net:[4026532177]");
    for tgid in [1, 3_000_007, 3_000_009] {
        fake.file(&format!("{tgid}/task/{tgid}/mountinfo"), "");
    }
    let run = TempDir::new().expect("a temporary folder");
    fs::create_dir_all(run.path().join("runc/r1")).expect("folders");
    let oci = OciState::at(run.path());
    let mut tree = CgroupTree::at(tree_dir.path(), true).expect("it can be opened");
    let sources = Sources { cgroups: Some(&mut tree), oci: Some(&oci), handles: None };
    let snapshot = snapshot::snapshot(&fake.proc(), sources).expect("the root is there");
    let told: Vec<String> = snapshot
        .events
        .iter()
        .map(|stamped| match &stamped.event {
            Event::Initial { slots } => format!("initial {}", slots.iter().count()),
            Event::CgroupPath { path, .. } => format!("cgroup {path}"),
            Event::TaskCgroupPath { task, path } => format!("task-cgroup {} {}", task.tid, path.replace(ID, "ID")),
            Event::SnapshotTask { task, .. } => format!("task {} {}", task.key.tid, task.cgroup != 0),
            Event::SnapshotPin { ns, .. } => format!("pin {ns}"),
            Event::SnapshotEnd => "end".to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "initial 1",
            "cgroup /",
            "task 1 true",
            "cgroup /runc-r1.scope",
            "task 3000007 true",
            "task-cgroup 3000009 /docker/ID",
            "task 3000009 true",
            "pin net:[4026532177]",
            "end",
        ]
    );
    assert!(snapshot.missed.is_complete(), "{:?}", snapshot.missed);
}

#[test]
fn a_reader_that_ended_hides_no_mounts() {
    let fake = FakeProc::new();
    // 7 is found first and has no mount table any more.
    for tgid in [7, 8] {
        fake.task(&FakeTask { tgid, tid: tgid, ..FakeTask::default() });
    }
    fake.file("8/task/8/mountinfo", "45 30 0:4 net:[4026532247] /ns rw - nsfs nsfs rw\n");
    let scan = fake.proc().nsfs_mounts().expect("the fake is there");
    let found: Vec<_> = scan.holders.iter().map(|held| held.ns.inum).collect();
    assert_eq!((found.as_slice(), scan.missed.other + scan.missed.denied), (&[4_026_532_247][..], 0));
}
