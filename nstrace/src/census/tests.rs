//! The model on made-up facts: who counts as what, and how many references that explains.

use super::{
    Census, Descriptor, Holder, HolderKind, NsIndex,
    build::{Builder, HolderFact, NamespaceFact, Object, TaskFact},
    collect::{Depth, census_by},
    holder::MountHolder,
    target::Target,
    teardown::teardown,
};
use crate::{
    discover::tests::fake::{FakeProc, FakeTask, inum},
    event::Comm,
    ns::{NsName, NsType, Slot},
};

const USER: u64 = 1;
const PID: u64 = 2;

fn namespace(key: u64, ns_type: NsType, owner: u64, parent: u64, refs: u32) -> NamespaceFact {
    let inum = 4_026_532_000 + u32::try_from(key).expect("small");
    let name = NsName { ns_type, inum, id: Some(key + 100) };
    NamespaceFact {
        key,
        name,
        owner,
        parent,
        ucounts: 0,
        mqueue: 0,
        mqueue_mount: 0,
        listing: 0,
        level: None,
        owner_uid: None,
        refs: Some(refs),
        segments: None,
    }
}

/// A thread in the initial user and pid namespaces, and in `slots` beside.
fn task(tgid: u32, tid: u32, nsproxy: u64, slots: &[(Slot, u64)]) -> TaskFact {
    let mut keys = [0; Slot::ALL.len()];
    let all = [(Slot::Member(NsType::User), USER), (Slot::Member(NsType::Pid), PID)];
    for (slot, key) in all.iter().chain(slots) {
        keys[Slot::ALL.iter().position(|s| s == slot).expect("a slot")] = *key;
    }
    TaskFact {
        tid,
        tgid,
        ppid: Some(1),
        uid: 0,
        comm: Comm::new(b"t"),
        dead: false,
        kernel_thread: false,
        cgroup: 0,
        slots: keys,
        nsproxy,
        real_cred: 1000 + u64::from(tid),
        cred: 1000 + u64::from(tid),
        pid: 2000 + u64::from(tid),
        ucounts: 0,

        mm: (0, 0),
        groups: [(0, 0); 2],
        exe_cred: (0, 0),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::default();
    builder.namespace(namespace(USER, NsType::User, 0, 0, 1));
    builder.namespace(namespace(PID, NsType::Pid, USER, 0, 1));
    builder.initial([4_026_532_001, 4_026_532_002]);
    builder
}

fn find(census: &Census, key: u64) -> NsIndex {
    census.indices().find(|&i| census.namespace(i).name.id == Some(key + 100)).expect("it was described")
}

fn kinds(census: &Census, key: u64) -> Vec<HolderKind> {
    census.namespace(find(census, key)).kept_by()
}

const NET: Slot = Slot::Member(NsType::Net);
const AT: Descriptor = Descriptor { pid: 50, tid: 50, fd: 3 };

#[test]
fn forks_share_a_reference_and_unshares_take_their_own() {
    let mut builder = builder();
    builder.namespace(namespace(10, NsType::Net, USER, 0, 3));
    for (pid, nsproxy) in [(20, 7), (21, 7), (22, 8)] {
        builder.task(task(pid, pid, nsproxy, &[(NET, 10)]));
    }
    let census = builder.finish();
    let ns = census.namespace(find(&census, 10));
    assert_eq!((ns.nprocs, ns.accounts.explained(), ns.unexplained()), (3, 2, Some(1)));
    assert_eq!(ns.accounts.lines(), [("nsproxy", 2)]);
    assert_eq!(ns.first.map(|first| census.task(first).tgid), Some(20));
    assert_eq!(ns.state(), "live");
    assert_eq!(census.namespace(find(&census, USER)).unexplained(), None, "initial");
}

#[test]
fn a_thread_counts_where_it_differs_from_its_leader() {
    let mut builder = builder();
    builder.namespace(namespace(10, NsType::Net, USER, 0, 1));
    builder.namespace(namespace(11, NsType::Net, USER, 0, 1));
    builder.task(task(20, 22, 8, &[(NET, 11)]));
    builder.task(task(20, 21, 7, &[(NET, 10)]));
    builder.task(task(20, 20, 7, &[(NET, 10)]));
    let census = builder.finish();
    assert_eq!(kinds(&census, 10), [HolderKind::Task]);
    assert_eq!(census.namespace(find(&census, 10)).holders.len(), 1, "thread 21 adds nothing");
    assert_eq!(kinds(&census, 11), [HolderKind::Thread]);
    assert_eq!(census.namespace(find(&census, 11)).nprocs, 1);
}

#[test]
fn a_dead_leader_is_a_zombie_and_its_threads_hold_on_their_own() {
    let mut builder = builder();
    builder.namespace(namespace(10, NsType::Net, USER, 0, 1));
    builder.task(TaskFact { dead: true, nsproxy: 0, ..task(20, 20, 0, &[]) });
    builder.task(task(20, 21, 7, &[(NET, 10)]));
    let census = builder.finish();
    assert_eq!(kinds(&census, 10), [HolderKind::Thread]);
    assert_eq!(kinds(&census, PID), [HolderKind::Thread, HolderKind::Zombie]);
    assert_eq!(census.namespace(find(&census, PID)).nprocs, 1, "one process");
}

#[test]
fn what_waits_for_children_is_pending_only_while_it_differs() {
    let mut builder = builder();
    builder.namespace(namespace(12, NsType::Pid, USER, PID, 1));
    builder.task(task(20, 20, 7, &[(Slot::ForChildren(NsType::Pid), 12)]));
    builder.task(task(30, 30, 8, &[(Slot::ForChildren(NsType::Pid), PID)]));
    let census = builder.finish();
    assert_eq!(kinds(&census, 12), [HolderKind::Pending]);
    assert_eq!(census.namespace(find(&census, 12)).unexplained(), Some(0));
    assert_eq!(census.namespace(find(&census, 12)).state(), "held");
    assert_eq!(kinds(&census, PID), [HolderKind::Task, HolderKind::Child]);
}

#[test]
fn descriptors_and_mounts_share_the_inode() {
    let mut builder = builder();
    builder.namespace(namespace(10, NsType::Net, USER, 0, 2));
    for fd in [3, 4, 3] {
        let holder = Holder::Fd(Descriptor { fd, ..AT });
        builder.holder(HolderFact { ns: 10, holder, object: Object::Nsfs });
    }
    let place = MountHolder { mnt_ns: Some(1), path: Some("/run/netns/x".to_owned()), hidden: true };
    builder.holder(HolderFact { ns: 10, holder: Holder::Mount(place), object: Object::Nsfs });
    for sock in [5, 5] {
        let holder = Holder::Socket { at: AT, family: 2 };
        builder.holder(HolderFact { ns: 10, holder, object: Object::Sock(sock) });
    }
    builder.holder(HolderFact { ns: 99, holder: Holder::Fd(AT), object: Object::Nsfs });
    let census = builder.finish();
    let ns = census.namespace(find(&census, 10));
    assert_eq!(ns.kept_by(), [HolderKind::Fd, HolderKind::Mount, HolderKind::Socket]);
    assert_eq!((ns.holders.len(), ns.accounts.explained(), ns.unexplained()), (4, 2, Some(0)));
    assert_eq!(ns.first, None);
}

#[test]
fn owners_are_held_by_what_they_own_and_parents_by_children() {
    let mut builder = builder();
    builder.namespace(namespace(13, NsType::User, USER, USER, 2));
    builder.namespace(namespace(14, NsType::User, 13, 13, 1));
    builder.namespace(namespace(15, NsType::Uts, 13, 0, 1));
    let census = builder.finish();
    assert_eq!(kinds(&census, 13), [HolderKind::Child, HolderKind::Owned]);
    assert_eq!(census.namespace(find(&census, 13)).unexplained(), Some(0), "a child takes one reference, not two");
    assert_eq!(census.namespace(find(&census, 15)).unexplained(), Some(1), "said, not guessed");
}

#[test]
fn teardown_names_what_has_to_end_and_what_goes_with_it() {
    let mut builder = builder();
    builder.namespace(namespace(13, NsType::User, USER, USER, 2));
    builder.namespace(namespace(10, NsType::Net, 13, 0, 2));
    builder.namespace(namespace(16, NsType::Mnt, USER, 0, 1));
    builder.task(TaskFact { nsproxy: 7, ..task(20, 20, 7, &[(NET, 10), (Slot::Member(NsType::Mnt), 16)]) });
    let inside = MountHolder { mnt_ns: Some(4_026_532_016), path: Some("/x".to_owned()), hidden: false };
    builder.holder(HolderFact { ns: 13, holder: Holder::Mount(inside), object: Object::Nsfs });
    builder.holder(HolderFact { ns: 10, holder: Holder::Fd(AT), object: Object::Nsfs });
    let census = builder.finish();
    let end = teardown(&census, find(&census, 10)).expect("not initial");
    assert_eq!((end.exit, end.close, end.unexplained), (vec![20], vec![AT], Some(0)));
    let mut freed: Vec<u64> =
        end.freed.iter().filter_map(|&i| census.namespace(i).name.id).map(|id| id - 100).collect();
    freed.sort_unstable();
    assert_eq!(freed, [10, 13, 16], "its owner, kept by it and by a mount in a mount namespace that ends too");
    assert_eq!(end.unmount, []);
    assert_eq!(teardown(&census, find(&census, USER)), None);
}

#[test]
fn without_a_count_nobody_knows_all_that_holds_a_namespace() {
    let mut builder = builder();
    builder.namespace(NamespaceFact { refs: None, ..namespace(10, NsType::Net, USER, 0, 2) });
    builder.task(task(20, 20, 7, &[(NET, 10)]));
    let census = builder.finish();
    let end = teardown(&census, find(&census, 10)).expect("not initial");
    assert_eq!((end.exit, end.unexplained), (vec![20], None));
}

#[test]
fn targets() {
    let census = {
        let mut builder = builder();
        builder.namespace(namespace(10, NsType::Net, USER, 0, 1));
        builder.task(task(20, 20, 7, &[(NET, 10)]));
        builder.finish()
    };
    let found = |text: &str| -> Vec<Option<u64>> {
        let target: Target = text.parse().expect("a target");
        let found = target.find(&census).expect("it needs no file");
        found.into_iter().map(|i| census.namespace(i).name.id.map(|id| id - 100)).collect()
    };
    assert_eq!(found("net:[4026532010]"), [Some(10)]);
    assert_eq!(found("net:4026532010"), [Some(10)]);
    assert_eq!(found("pid:[4026532010]"), []);
    assert_eq!(found("4026532010"), [Some(10)]);
    assert_eq!(found(":110"), [Some(10)]);
    assert_eq!(found("20"), [Some(PID), Some(10), Some(USER)]);
    assert_eq!(found("21"), []);
    for bad in ["", ":", "net", "nat:[1]", "net:[x]", "-1", "99999999999"] {
        assert!(bad.parse::<Target>().is_err(), "{bad}");
    }
    assert!("/nowhere/at/all".parse::<Target>().expect("a path").find(&census).is_err());
    assert!("/proc/self/status".parse::<Target>().expect("a path").find(&census).is_err(), "not on nsfs");
}

/// The last rung of the ladder.
#[test]
fn without_iterators_proc_alone_answers_and_says_what_it_cannot() {
    let fake = FakeProc::new();
    fake.task(&FakeTask { tgid: 2, tid: 2, flags: 0x20_8040, ..FakeTask::default() });
    let base = fake.task(&FakeTask { tgid: 20, tid: 20, shift: 1, ..FakeTask::default() });
    fake.task(&FakeTask { tgid: 20, tid: 21, shift: 2, ..FakeTask::default() });
    fake.link(&format!("{base}/fd/5"), "net:[4026532177]");
    fake.link(&format!("{base}/fd/6"), "anon_inode:[io_uring]");
    fake.file(&format!("{base}/fdinfo/6"), "UserFiles:\t1\n    0: uts:[4026532178]\n");
    fake.file(
        &format!("{base}/mountinfo"),
        "30 1 0:21 / / rw - ext4 /dev/vda rw\n44 30 0:4 ipc:[4026532179] /run/x rw - nsfs nsfs rw\n45 44 0:5 / /run/x rw - tmpfs t rw\n",
    );
    let census = census_by(&fake.proc(), Err("a reason".to_owned()), Depth::Holders, false).expect("the tree is there");
    let of = |number: u32| {
        let at = census.indices().find(|&at| census.namespace(at).name.inum == number);
        census.namespace(at.unwrap_or_else(|| panic!("{number} is listed")))
    };
    for (number, kinds) in [
        (inum(NsType::Uts, 1), vec![HolderKind::Task]),
        (inum(NsType::Uts, 2), vec![HolderKind::Thread]),
        (4_026_532_177, vec![HolderKind::Fd]),
        (4_026_532_178, vec![HolderKind::IoUring]),
        (4_026_532_179, vec![HolderKind::Mount]),
    ] {
        assert_eq!(of(number).kept_by(), kinds, "{number}");
        assert_eq!((of(number).refs, of(number).unexplained()), (None, None), "nothing is made up");
    }
    assert!(of(4_026_532_179).holders[0].mount().is_some_and(|mount| mount.hidden));
    assert!(census.missing.iter().any(|missing| missing.contains("a reason")), "{:?}", census.missing);
    assert!(!census.all_missing().is_empty());
}

#[test]
fn credentials_of_ones_own_and_directories_of_a_mounted_file_system_are_no_news() {
    let mut builder = builder();
    builder.namespace(namespace(13, NsType::User, USER, USER, 5));
    builder.task(task(20, 20, 0, &[(Slot::Member(NsType::User), 13)]));
    let cwd = Descriptor { pid: 30, tid: 30, fd: nstrace_common::census::place::CWD };
    let of = |fd| Descriptor { pid: 20, tid: 20, fd };
    let place = MountHolder { mnt_ns: Some(1), path: Some("/x".to_owned()), hidden: false };
    for (holder, object) in [
        (Holder::Cred(of(3)), Object::Cred { cred: 77, ucounts: 0 }),
        (Holder::Superblock(place), Object::SuperBlock(88)),
        (Holder::SuperblockFile(cwd), Object::SuperBlock(88)),
        (Holder::SuperblockFile(cwd), Object::SuperBlock(99)),
    ] {
        builder.holder(HolderFact { ns: 13, holder, object });
    }
    let census = builder.finish();
    let ns = census.namespace(find(&census, 13));
    assert_eq!(ns.kept_by(), [HolderKind::Task, HolderKind::Superblock]);
    assert_eq!(ns.holders.len(), 3, "{:?}", ns.holders);
    assert_eq!(ns.unexplained(), Some(1), "the task's credentials, the file's, two super blocks: {:?}", ns.accounts);
}

#[test]
fn shares_of_the_processes_make_one_census() {
    let mut all = builder();
    for tgid in [40, 41] {
        let mut share = Builder::default();
        share.namespace(namespace(13, NsType::Uts, USER, 0, 2));
        share.task(task(tgid, tgid, 7, &[(Slot::Member(NsType::Uts), 13)]));
        let at = Descriptor { pid: tgid, tid: tgid, fd: 3 };
        share.holder(HolderFact { ns: 13, holder: Holder::Fd(at), object: Object::Nsfs });
        all.absorb(share);
    }
    let census = all.finish();
    let ns = census.namespace(find(&census, 13));
    assert_eq!((ns.nprocs, ns.holders.len()), (2, 4), "{:?}", ns.holders);
    assert_eq!(ns.unexplained(), Some(0), "one nsproxy, one inode: {:?}", ns.accounts);
}

#[test]
fn what_is_found_later_is_added_to_a_settled_census() {
    let mut builder = builder();
    builder.namespace(namespace(13, NsType::User, USER, USER, 2));
    let at = Descriptor { pid: 30, tid: 30, fd: 3 };
    builder.holder(HolderFact { ns: 13, holder: Holder::SuperblockFile(at), object: Object::SuperBlock(88) });
    let mut settled = builder.settle();
    assert!(settled.has_unexplained(NsType::User), "one of two is known");
    let mut found = Builder::default();
    let mapping = Descriptor { fd: nstrace_common::census::place::MAPPING, ..at };
    found.holder(HolderFact { ns: 13, holder: Holder::Cred(mapping), object: Object::Cred { cred: 77, ucounts: 0 } });
    settled.add(found);
    assert!(!settled.has_unexplained(NsType::User));
    let ns = settled.census.namespace(find(&settled.census, 13));
    assert_eq!(ns.kept_by(), [HolderKind::Cred, HolderKind::Superblock]);
}

#[test]
fn a_mount_counts_once_more_and_tells_only_of_another_user_namespace() {
    let mut builder = builder();
    builder.namespace(namespace(13, NsType::User, USER, USER, 2));
    builder.namespace(namespace(14, NsType::User, USER, USER, 1));
    let cwd = Descriptor { pid: 30, tid: 30, fd: nstrace_common::census::place::CWD };
    let idmapped = |at| Holder::Other { at, what: "idmapped mount" };
    for (ns, holder, object) in [
        (13, Holder::SuperblockFile(cwd), Object::SuperBlock(88)),
        (13, Holder::SuperblockFile(cwd), Object::Mount(99)),
        (14, idmapped(None), Object::Mount(66)),
        (14, idmapped(Some(cwd)), Object::Mount(66)),
    ] {
        builder.holder(HolderFact { ns, holder, object });
    }
    let census = builder.finish();
    for (key, kind) in [(13, HolderKind::Superblock), (14, HolderKind::Other)] {
        let ns = census.namespace(find(&census, key));
        assert_eq!((ns.kept_by(), ns.holders.len(), ns.unexplained()), (vec![kind], 1, Some(0)), "{:?}", ns.holders);
    }
}
