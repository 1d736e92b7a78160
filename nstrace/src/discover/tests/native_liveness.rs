//! File handles of nsfs on this machine: alive, then gone.

use std::time::{Duration, Instant};

use rustix::{fs::CWD, io::Errno};

use super::native::{Subject, is_root};
use crate::{
    discover::{
        Proc, ReadError,
        liveness::{Liveness, NsHandles, active_ids, name_of},
        snapshot::{self, Sources},
    },
    event::Event,
    ns::{NsName, NsType, Slot},
};

fn handles() -> Option<NsHandles> {
    if !is_root() {
        return None;
    }
    NsHandles::probe(&Proc::default()).inspect_err(|why| eprintln!("skipped: {why}")).ok()
}

/// The namespaces that `subject` is a member of, with ids.
fn names(subject: &Subject, types: &[NsType]) -> Vec<NsName> {
    types
        .iter()
        .map(|ns_type| {
            let path = std::ffi::CString::new(format!("/proc/{}/ns/{ns_type}", subject.pid)).expect("no NUL");
            let ns = name_of(CWD, &path).expect("handles work here");
            assert_eq!(ns.to_string(), subject.link(Slot::Member(*ns_type)));
            assert!(ns.id.is_some());
            ns
        })
        .collect()
}

/// Some wait for RCU or a worker, others for a test beside this one that looks at every namespace: asked again until the
/// deadline.
fn await_gone(handles: &NsHandles, ns: NsName) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while handles.liveness(ns) != Some(Ok(Liveness::Gone)) {
        assert!(Instant::now() < deadline, "{ns} is still alive");
        std::thread::yield_now();
    }
}

#[test]
fn alive_with_its_task_and_gone_after_it() {
    let Some(handles) = handles() else { return };
    let types = [NsType::Uts, NsType::Net, NsType::Ipc, NsType::Mnt, NsType::Cgroup, NsType::Pid, NsType::User];
    let options = [
        "--uts",
        "--net",
        "--ipc",
        "--mount",
        "--cgroup",
        "--pid",
        "--fork",
        "--user",
        "--map-root-user",
        "--kill-child",
    ];
    let subject = Subject::start(&options, "ready");
    let all = names(&subject, &types);
    for ns in &all {
        assert_eq!(handles.liveness(*ns), Some(Ok(Liveness::Alive)), "{ns}");
        let wrong = NsName { inum: ns.inum ^ 1, ..*ns };
        assert_eq!(handles.liveness(wrong), Some(Ok(Liveness::Gone)), "an id with another number is nobody");
        assert_eq!(handles.liveness(NsName { id: None, ..*ns }), None);
    }
    subject.end();
    for ns in all {
        await_gone(&handles, ns);
    }
}

#[test]
fn alive_while_only_a_descriptor_holds_it() {
    let Some(handles) = handles() else { return };
    let subject = Subject::start(&["--uts"], "ready");
    let ns = names(&subject, &[NsType::Uts])[0];
    let file = std::fs::File::open(format!("/proc/{}/ns/uts", subject.pid)).expect("a link");
    subject.end();
    assert_eq!(handles.liveness(ns), Some(Ok(Liveness::Alive)));
    drop(file);
    await_gone(&handles, ns);
}

#[test]
fn a_snapshot_with_ids() {
    let Some(handles) = handles() else { return };
    let subject = Subject::start(&["--net"], "exec 7</proc/self/ns/net; ready");
    let net = names(&subject, &[NsType::Net])[0];
    let sources = Sources { handles: Some(&handles), ..Default::default() };
    let snapshot = snapshot::snapshot(&Proc::default(), sources).expect("/proc");
    let (mut members, mut pins) = (0, 0);
    for stamped in &snapshot.events {
        match &stamped.event {
            Event::Initial { slots } => assert!(slots.iter().all(|(_, ns)| ns.id.is_some())),
            Event::SnapshotTask { task, slots } if task.key.tid == subject.pid => {
                assert_eq!(slots.get(Slot::Member(NsType::Net)), Some(net));
                members += 1;
            }
            Event::SnapshotPin { ns, .. } if ns.inum == net.inum => {
                assert_eq!(*ns, net);
                pins += 1;
            }
            _ => {}
        }
    }
    assert_eq!((members, pins), (1, 1));
}

#[test]
fn what_is_no_namespace_has_no_name() {
    if handles().is_none() {
        return;
    }
    assert!(matches!(name_of(CWD, c"/dev/null"), Err(ReadError::Malformed(_) | ReadError::Errno(_))));
    assert_eq!(name_of(CWD, c"/nonexistent"), Err(ReadError::Gone));
}

#[test]
fn listns_lists_the_namespaces_of_a_subject() {
    if !is_root() {
        return;
    }
    if active_ids() == Err(ReadError::Errno(Errno::NOSYS)) {
        eprintln!("skipped: no listns(2), 6.19 and newer have it");
        return;
    }
    let subject = Subject::start(&["--uts"], "ready");
    let ns = names(&subject, &[NsType::Uts])[0];
    let ids = active_ids().expect("it worked a moment ago");
    assert!(ids.is_sorted());
    assert!(ns.id.is_some_and(|id| ids.binary_search(&id).is_ok()));
}
