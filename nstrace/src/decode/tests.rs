use nstrace_common::slots::{CLONE_FLAG, NET, SLOTS};
use zerocopy::IntoBytes;

use super::*;

fn header(kind: u16, hook: u16) -> Header {
    Header { seq: 3, boot_ns: 5, kind, hook, cpu: 1 }
}

fn wire_task() -> Task {
    let mut pids = [0; PID_LEVELS];
    (pids[0], pids[1]) = (4321, 7);
    Task {
        start_boottime: 99,
        cgroup: 12,
        cap_effective: 1 << 21,
        tid: 4321,
        tgid: 4320,
        uid: 1000,
        euid: 0,
        flags: 0,
        level: 1,
        pids,
        former_tid: 0,
        comm: *b"runc:[1:INIT]\0\xff\xff",
    }
}

fn wire_call(nr: i32, flags: u64, ret: i32) -> record::Call {
    record::Call { flags, nr, ret, fd: 9, compat: 0 }
}

fn wire_slots() -> Slots {
    let mut slots = Slots::default();
    for i in 0..SLOTS {
        slots.inum[i] = 4_026_531_840 + u32::try_from(i).expect("small");
    }
    (slots.inum[NET], slots.id[NET]) = (0, 77);
    slots.id[0] = 42;
    slots
}

fn a_return(nr: i32, flags: u64, ret: i32, task_flags: u32) -> Call {
    let task = Task { flags: task_flags, ..wire_task() };
    let record = record::Return { header: header(kind::RETURN, hook::SETNS), call: wire_call(nr, flags, ret), task };
    match decode(record.as_bytes()).expect("a record").event {
        Event::Return { call, .. } => call,
        other => panic!("{other:?}"),
    }
}

fn a_fork(call: record::Call) -> Call {
    let (creator, child) = (wire_task(), wire_task());
    let record =
        record::Fork { header: header(kind::FORK, hook::TASK_NEWTASK), call, creator, child, slots: wire_slots() };
    match decode(record.as_bytes()).expect("a record").event {
        Event::Fork { call, .. } => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_keeps_every_field() {
    let record = record::TaskState {
        header: header(kind::EXEC, hook::SCHED_PROCESS_EXEC),
        task: wire_task(),
        slots: wire_slots(),
    };
    // At every alignment.
    for offset in 0..8 {
        let mut bytes = vec![0xa5; offset];
        bytes.extend_from_slice(record.as_bytes());
        let Stamped { stamp, event } = decode(&bytes[offset..]).expect("a record");
        assert_eq!(stamp, Stamp { boot_ns: 5, cpu: 1, seq: 3 });
        let Event::Exec { task, slots, .. } = event else { panic!("{event:?}") };
        assert_eq!(task.key, TaskKey { tid: 4321, start_boottime: 99 });
        assert_eq!((task.tgid, task.uid, task.euid, task.cgroup), (4320, 1000, 0, 12));
        assert_eq!(task.cap_effective, 1 << 21);
        assert_eq!(task.pids.as_slice(), [4321, 7]);
        assert_eq!(task.comm.as_bytes(), b"runc:[1:INIT]");
        assert_eq!(slots.get(Slot::Member(NsType::Net)), None, "no number, unreadable");
        let mnt = NsName { ns_type: NsType::Mnt, inum: 4_026_531_840, id: Some(42) };
        assert_eq!(slots.get(Slot::Member(NsType::Mnt)), Some(mnt));
        let time = NsName { ns_type: NsType::Time, inum: 4_026_531_849, id: None };
        assert_eq!(slots.get(Slot::ForChildren(NsType::Time)), Some(time));
        assert_eq!(slots.iter().count(), SLOTS - 1);
    }
}

#[test]
fn a_level_beyond_the_deepest_is_cut() {
    let task = Task { level: u32::MAX, ..wire_task() };
    let record = record::TaskState { header: header(kind::TASK, hook::ITER_TASK), task, slots: wire_slots() };
    let Event::SnapshotTask { task, .. } = decode(record.as_bytes()).expect("a record").event else { panic!() };
    assert_eq!(task.pids.as_slice().len(), PID_LEVELS);
}

#[test]
fn every_size_but_the_right_one_is_refused() {
    let sizes = [
        (kind::FORK, "fork", size_of::<record::Fork>()),
        (kind::TRANSITION, "transition", size_of::<record::Transition>()),
        (kind::RETURN, "return", size_of::<record::Return>()),
        (kind::EXEC, "exec", size_of::<record::TaskState>()),
        (kind::EXIT, "exit", size_of::<record::TaskState>()),
        (kind::NAMESPACE, "namespace", size_of::<record::Namespace>()),
        (kind::FREED, "freed", size_of::<record::Freed>()),
        (kind::PINNED, "pinned", size_of::<record::Pin>()),
        (kind::UNPINNED, "unpinned", size_of::<record::Pin>()),
        (kind::INSTALL, "install", size_of::<record::Install>()),
        (kind::TASK, "task", size_of::<record::TaskState>()),
    ];
    for (kind, name, expected) in sizes {
        for size in 0..600 {
            let mut bytes = vec![0; size];
            if size < size_of::<Header>() {
                assert_eq!(decode(&bytes), Err(DecodeError::Header { size }));
                continue;
            }
            bytes[..size_of::<Header>()].copy_from_slice(header(kind, hook::UNSHARE).as_bytes());
            if size != expected {
                let error = decode(&bytes).expect_err("a wrong size");
                assert_eq!(error, DecodeError::Size { kind: name, size, expected });
                assert_eq!(error.to_string(), format!("a {name} record has {size} bytes instead of {expected}"));
            }
        }
    }
}

#[test]
fn an_unknown_kind_is_named() {
    for kind in [0, 14, u16::MAX] {
        let error = decode(header(kind, 1).as_bytes()).expect_err("no such kind");
        assert_eq!(error, DecodeError::Kind { kind, size: 24 });
    }
}

#[test]
fn a_transition_says_where_it_was_seen() {
    for (hook, at) in [
        (hook::SWITCH_TASK_NAMESPACES, Some(TransitionAt::Switch)),
        (hook::COMMIT_CREDS, Some(TransitionAt::Creds)),
        (hook::UNSHARE, Some(TransitionAt::Return)),
        (hook::SETNS, Some(TransitionAt::Return)),
        (hook::COPY_NAMESPACES, Some(TransitionAt::Copy)),
        (hook::NSFS_EVICT, None),
        (9999, None),
    ] {
        let record = record::Transition {
            header: header(kind::TRANSITION, hook),
            call: wire_call(272, CLONE_FLAG[NET], 0),
            task: wire_task(),
            before: wire_slots(),
            after: wire_slots(),
            entered_boot_ns: 0,
        };
        match (decode(record.as_bytes()), at) {
            (Ok(Stamped { event: Event::Transition { at: got, .. }, .. }), Some(at)) => assert_eq!(got, at),
            (Err(error), None) => assert_eq!(error, DecodeError::Hook { kind: "transition", size: 496, hook }),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_call_is_what_the_task_was_doing() {
    let call = a_return(308, CLONE_FLAG[NET], -1, 0);
    assert_eq!(call, Call { via: Via::Setns, flags: CLONE_FLAG[NET], errno: Some(1), fd: Some(9) });
    let call = a_return(272, CLONE_FLAG[NET], 0, 0);
    assert_eq!(call, Call { via: Via::Unshare, flags: CLONE_FLAG[NET], errno: None, fd: None });
    assert_eq!(a_return(3, 0, 0, PF_EXITING).via, Via::Exit, "files are closed on the way out");
    assert_eq!(a_return(3, 0, 0, nstrace_common::task::PF_KTHREAD).via, Via::Kernel);
    assert_eq!(a_return(-1, 0, 0, 0).via, Via::Unknown);
    assert_eq!(a_return(435, 0, 4321, 0).errno, None, "the new pid");
    assert_eq!(a_return(435, 0, i32::MIN, 0).errno, None, "no errno is that large");
    assert_eq!(a_return(435, 0, -4095, 0).errno, Some(4095));
}

#[test]
fn a_fork_is_a_fork_unless_it_asks_for_a_namespace() {
    let time = CLONE_FLAG[7];
    assert_eq!(a_fork(wire_call(435, 0x100, 0)).via, Via::Fork);
    assert_eq!(a_fork(wire_call(56, time | 0x11, 0)), Call { via: Via::Fork, flags: 0, errno: None, fd: None });
    assert_eq!(a_fork(wire_call(435, time, 0)).via, Via::Clone3);
    assert_eq!(a_fork(wire_call(56, CLONE_FLAG[NET] | 17, 0)).via, Via::Clone);
    assert_eq!(a_fork(record::Call { compat: 1, ..wire_call(120, CLONE_FLAG[NET], 0) }).via, Via::Clone);
    assert_eq!(a_fork(wire_call(426, 0, 0)).via, Via::Fork, "an io_uring worker");
    assert_eq!(a_fork(wire_call(-1, CLONE_FLAG[NET], 0)).via, Via::Unknown, "but it made a namespace");
}

#[test]
fn facts_need_a_name() {
    let owner = NsRef { id: 5, inum: 4_026_531_837, clone_flag: 0 };
    let ns = NsRef { id: 6, inum: 4_026_532_001, clone_flag: 0x4000_0000 };
    let facts = |ns, parent| {
        let header = header(kind::NAMESPACE, hook::NS_TREE_ADD);
        decode(record::Namespace { header, ns, owner, parent, level: 2, owner_uid: 1000 }.as_bytes()).map(|s| s.event)
    };
    let user = NsName { ns_type: NsType::User, inum: 4_026_531_837, id: Some(5) };
    let net = NsName { ns_type: NsType::Net, inum: 4_026_532_001, id: Some(6) };
    let expected = NsFacts { ns: net, owner: Some(user), parent: None, level: None, owner_uid: None };
    assert_eq!(facts(ns, owner), Ok(Event::Namespace(expected)), "only pid and user namespaces are nested");
    let expected = NsFacts {
        ns: NsName { ns_type: NsType::User, ..net },
        owner: Some(user),
        parent: Some(user),
        level: Some(2),
        owner_uid: Some(1000),
    };
    assert_eq!(facts(NsRef { clone_flag: 0x1000_0000, ..ns }, owner), Ok(Event::Namespace(expected)));
    for bad in [NsRef { inum: 0, ..ns }, NsRef { clone_flag: 0, ..ns }, NsRef { clone_flag: 0x6000_0000, ..ns }] {
        let NsRef { inum, clone_flag, .. } = bad;
        assert_eq!(facts(bad, owner), Err(DecodeError::Namespace { kind: "namespace", size: 80, inum, clone_flag }));
    }
}

#[test]
fn freed_needs_a_number_only() {
    let freed = |ns| decode(record::Freed { header: header(kind::FREED, hook::PROC_FREE_INUM), ns }.as_bytes());
    let event = freed(NsRef { id: 0, inum: 4_026_532_001, clone_flag: 0 }).expect("a record").event;
    assert_eq!(event, Event::Freed { inum: 4_026_532_001, id: None, ns_type: None });
    let event = freed(NsRef { id: 8, inum: 4_026_532_001, clone_flag: 0x80 }).expect("a record").event;
    assert_eq!(event, Event::Freed { inum: 4_026_532_001, id: Some(8), ns_type: Some(NsType::Time) });
    assert!(matches!(freed(NsRef::default()), Err(DecodeError::Namespace { kind: "freed", .. })));
}
