//! Changes of every kind, with all that can be hard about them, for the tests of views, filters and streams.

use std::sync::Arc;

use nstrace::{
    deed::{Act, Deed, Mounted, Place},
    detect::{Direction, Finding, Severity},
    event::{Call, Comm, Pids, PinHolder, SlotSet, Stamp, TaskInfo, TaskKey, Via},
    model::{Cause, Change, Container, NsKey, NsSeen, What},
    ns::{NsName, NsType, Slot},
};

pub const CLONE_NEWNET: u64 = 0x4000_0000;
pub const CLONE_NEWPID: u64 = 0x2000_0000;

pub fn ns(ns_type: NsType, inum: u32, id: Option<u64>) -> NsSeen {
    NsSeen { key: NsKey(u64::from(inum)), name: NsName { ns_type, inum, id }, initial: inum < 4_026_532_000 }
}

pub fn net() -> NsSeen {
    ns(NsType::Net, 4_026_532_177, Some(12403))
}

pub fn task(pid: u32, comm: &[u8]) -> TaskInfo {
    TaskInfo {
        key: TaskKey { tid: pid, start_boottime: 1 },
        tgid: pid,
        uid: 0,
        euid: 0,
        cap_effective: 0,
        cgroup: 0,
        flags: 0,
        pids: Pids::new(&[pid, 7, 1]),
        comm: Comm::new(comm),
    }
}

pub fn cause(via: Via, flags: u64) -> Cause {
    Cause { via, flags, errno: None }
}

pub fn docker() -> Arc<Container> {
    let id = "3f2a".repeat(16);
    Arc::new(Container { runtime: "docker", id, pod: None })
}

pub fn change(seq: u64, what: What, task: Option<TaskInfo>, cause: Option<Cause>) -> Change {
    Change {
        stamp: Stamp { boot_ns: 100_000_000_000 + seq * 1_500_000, cpu: 1, seq },
        utc_ns: 1_795_293_312_123_456_789 + i64::try_from(seq).expect("small") * 1_500_000,
        seq,
        what,
        task,
        cause,
        container: None,
    }
}

pub fn deed() -> Deed {
    let mnt = NsName { ns_type: NsType::Mnt, inum: 4_026_532_200, id: Some(12500) };
    let place = Place {
        ino: 1 << 60,
        mounted: Mounted::In(mnt),
        dev: 253 << 20 | 1,
        magic: 0x9fa0,
        mode: 0o100_644,
        rdev: 0,
        host_root: false,
        host_file_system: true,
        outside_mount: false,
        initial_user: true,
        read_only: false,
    };
    let mut slots = SlotSet::default();
    slots.set(Slot::Member(NsType::Mnt), Some(mnt));
    Deed {
        act: Act::Open,
        call: Call { via: Via::Open, flags: 0, errno: None, fd: None },
        task: task(5002, b"sh"),
        slots,
        other: Some((task(1, b"\x1b[0msystemd"), slots)),
        place: Some(place),
        ns: Some(net().name),
        number: u64::MAX,
        flags: 0x8002,
        name: "core_pattern\x1b[2J".to_owned(),
        detail: "kernel\u{202e}".to_owned(),
    }
}

pub fn finding(ns: NsSeen) -> Finding {
    Finding {
        rule: "NST-001".into(),
        severity: Severity::Critical,
        title: "A contained task entered a namespace outside its container".into(),
        mitre: vec!["T1611".into(), "T1055.008".into()],
        explain: "sh\x1b[1m (pid 5002) left its container for the initial net:[4026531840]".to_owned(),
        evidence: vec![18, 1 << 60],
        count: 10,
        direction: Some(Direction::Leave),
        ns: Some(ns),
        from: Some(net().name),
        suppressed: Some("it may".to_owned()),
    }
}

/// At least one of each [`What`].
pub fn all() -> Vec<Change> {
    let runc = || Some(task(4321, b"runc:[1:INIT]"));
    let pid = ns(NsType::Pid, 4_026_532_178, None);
    let user_name = NsName { ns_type: NsType::User, inum: 4_026_531_837, id: Some(1) };
    let holders = vec![
        PinHolder::Fd { tgid: 77, fd: 9 },
        PinHolder::Mount { mnt_ns: 4_026_531_832, path: "/run/netns/a\x1b[2J\u{202e}b".to_owned() },
        PinHolder::Mount { mnt_ns: 0, path: "/mnt/\"quoted\"".to_owned() },
    ];
    let initial = ns(NsType::Net, 4_026_531_840, Some(3));
    let mut changes = vec![
        change(1, What::Snapshot { ns: initial, nprocs: 112, holders: vec![] }, Some(task(1, b"systemd")), None),
        change(2, What::Snapshot { ns: net(), nprocs: 0, holders }, None, None),
        change(
            3,
            What::Created { ns: net(), owner: Some(user_name), parent: None },
            runc(),
            Some(cause(Via::Unshare, CLONE_NEWNET)),
        ),
        change(
            4,
            What::Created { ns: pid, owner: Some(user_name), parent: Some(NsName { inum: 4_026_531_836, ..pid.name }) },
            runc(),
            Some(cause(Via::Clone3, CLONE_NEWPID | 0x2_0000_0000 | 0x10_0000_0000)),
        ),
        change(5, What::Created { ns: pid, owner: None, parent: None }, None, Some(cause(Via::Kernel, 0))),
        change(6, What::Left { ns: initial }, runc(), Some(cause(Via::Unshare, CLONE_NEWNET))),
        change(7, What::Joined { ns: net() }, runc(), Some(cause(Via::Unshare, CLONE_NEWNET))),
        change(8, What::Pinned { ns: net() }, Some(task(99, b"ip")), Some(cause(Via::Mount, 0))),
        change(9, What::Unpinned { ns: net() }, Some(task(99, b"ip")), Some(cause(Via::Umount, 0))),
        change(10, What::Destroyed { ns: net(), lifetime_ns: Some(1_234_567_890) }, runc(), Some(cause(Via::Exit, 0))),
        change(
            11,
            What::Destroyed { ns: ns(NsType::Cgroup, 4_026_532_179, None), lifetime_ns: None },
            None,
            Some(cause(Via::Unknown, 0)),
        ),
        change(
            12,
            What::Denied { ns_type: Some(NsType::Pid), ns: Some(pid) },
            Some(task(5000, b"\x1b[31mevil\x07\xff\n")),
            Some(Cause { via: Via::Setns, flags: CLONE_NEWPID, errno: Some(1) }),
        ),
        change(
            13,
            What::Denied { ns_type: Some(NsType::User), ns: None },
            Some(task(5001, "日本\u{202e}".as_bytes())),
            Some(Cause { via: Via::Unshare, flags: 0x1000_0000, errno: Some(28) }),
        ),
        change(
            14,
            What::Denied { ns_type: None, ns: None },
            Some(task(4_194_304, b"fifteen-letters")),
            Some(Cause { via: Via::Setns, flags: 0, errno: Some(9999) }),
        ),
        change(15, What::Lost { count: 12, hook: Some("setns".into()) }, None, None),
        change(16, What::Lost { count: u64::MAX, hook: None }, None, None),
        change(17, What::Resynced, None, None),
        change(18, What::Deed(Box::new(deed())), Some(task(5002, b"sh")), Some(cause(Via::Open, 0))),
        change(19, What::Finding(Box::new(finding(initial))), Some(task(5002, b"sh")), Some(cause(Via::Setns, 0))),
    ];
    changes[6].container = Some(docker());
    changes[9].container = Some(Arc::new(Container {
        runtime: "containerd",
        id: "cd".repeat(32),
        pod: Some("0a1b2c3d-0000-1111-2222-333344445555".to_owned()),
    }));
    changes[11].container = Some(Arc::new(Container { runtime: "lxc", id: "we\x1b[1mb".to_owned(), pod: None }));
    // Longer up than a double can count nanoseconds.
    changes[16].stamp.boot_ns = (1 << 53) + 1;
    changes
}
