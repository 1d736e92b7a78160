//! NST-013: what a record shows of a task against what is known of it, on a toy kernel whose memory can be written to; and
//! everything that looks alike and is none.

mod model_support;

use model_support::{HOST_ROOT, INIT, IPC, MNT, NET, PID, Toy, USER, UTS, nr};
use nstrace::{
    detect::{Direction, Finding},
    event::{Event, NsFacts, Stamp, Stamped, TransitionAt, Via},
    model::{Change, What, World},
    ns::NsType,
};
use nstrace_common::{deed::what, record::hook, task::PF_KTHREAD};

const OWN: u64 = MNT | PID | IPC | UTS | NET;
const ROOT: u64 = 500;
/// Slots of a task.
const MNT_SLOT: usize = 0;
const NET_SLOT: usize = 2;
const USER_SLOT: usize = 5;

struct Bench {
    toy: Toy,
    world: World,
}

impl Bench {
    fn new() -> Self {
        let mut toy = Toy::new(true);
        let world = toy.watched();
        Self { toy, world }
    }

    /// A container's first task, and that of what is found up to there nothing is alleged.
    fn contained() -> (Self, u32) {
        let mut bench = Self::new();
        let pid = bench.toy.clone(INIT, OWN);
        bench.toy.runs(pid, ROOT);
        assert_eq!(bench.certain(), []);
        (bench, pid)
    }

    fn apply(&mut self, event: Event) -> Vec<Change> {
        let stamp = Stamp { boot_ns: self.toy.tick(), cpu: 0, seq: 0 };
        let mut changes = Vec::new();
        self.world.apply(&Stamped { stamp, event }, &mut changes);
        changes
    }

    /// Nothing so far, and a forgery that comes now.
    fn finds_only_a_forgery(&mut self, pid: u32) {
        assert_eq!(self.certain(), []);
        let host = self.toy.tasks[&INIT].slots[NET_SLOT];
        self.toy.forge(pid, NET_SLOT, host);
        self.toy.exec(pid);
        assert_eq!(self.certain().len(), 1);
    }

    /// What is found in what the toy has done, and in the account that follows if one was asked for.
    fn certain(&mut self) -> Vec<Finding> {
        let mut changes = self.toy.told(&mut self.world);
        if self.world.take_doubt() {
            assert!(!self.world.take_doubt(), "asked once");
            let until = self.toy.now;
            changes.extend(self.apply(Event::Accounted { until }));
        }
        mismatches(changes)
    }

    fn lose(&mut self) {
        self.apply(Event::Lost { count: 1, hook: None, cgroup: None });
    }

    fn resync(&mut self) {
        let mut events = self.toy.visit(false);
        events.push(self.toy.snapshot_end());
        for event in events {
            self.world.apply(&event, &mut Vec::new());
        }
    }
}

fn mismatches(changes: Vec<Change>) -> Vec<Finding> {
    let finding = |change: Change| match change.what {
        What::Finding(finding) => Some(*finding),
        _ => None,
    };
    changes.into_iter().filter_map(finding).filter(|finding| finding.rule == "NST-013").collect()
}

#[test]
fn a_write_to_the_nsproxy_is_told_with_both_namespaces_and_the_age_of_what_was_known() {
    let (mut bench, pid) = Bench::contained();
    let (own, host) = (bench.toy.tasks[&pid].slots[NET_SLOT], bench.toy.tasks[&INIT].slots[NET_SLOT]);
    let (own, name) = (bench.toy.name(own), bench.toy.name(host));
    bench.toy.now += 2_500_000_000;
    bench.toy.forge(pid, NET_SLOT, host);
    bench.toy.exec(pid);
    let found = bench.certain();
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(one.ns.map(|ns| (ns.name, ns.initial)), Some((name, true)));
    assert_eq!((one.from, one.direction), (Some(own), Some(Direction::Forged)));
    assert!(!one.evidence.is_empty(), "the lines by which it left the one and joined the other");
    for said in [format!("(pid {pid})"), name.to_string(), own.to_string(), "2.5 s before".to_owned()] {
        assert!(one.explain.contains(&said), "{said:?} is missing in {:?}", one.explain);
    }
    // It is where it is now.
    bench.toy.exec(pid);
    assert_eq!(bench.certain(), []);
}

/// Each kind of record by which it comes out.
#[test]
fn whatever_the_task_does_next_tells() {
    type Next = fn(&mut Toy, u32);
    let nexts: [(&str, Next); 5] = [
        ("exit", |toy, pid| toy.exit(pid)),
        ("fork", |toy, pid| assert!(toy.clone(pid, 0) > pid)),
        ("deed", |toy, pid| toy.deed(pid, what::OPEN, |_, _| {})),
        ("unshare", |toy, pid| toy.unshare(pid, UTS)),
        ("user namespace", |toy, pid| toy.unshare(pid, USER)),
    ];
    for (name, next) in nexts {
        let (mut bench, pid) = Bench::contained();
        let host = bench.toy.tasks[&INIT].slots[MNT_SLOT];
        bench.toy.forge(pid, MNT_SLOT, host);
        next(&mut bench.toy, pid);
        let found = bench.certain();
        assert_eq!(found.iter().filter(|one| one.ns.is_some_and(|ns| ns.initial)).count(), 1, "{name}: {found:?}");
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
}

#[test]
fn a_user_namespace_that_no_call_gave_is_one_too() {
    let mut bench = Bench::new();
    let pid = bench.toy.clone(INIT, OWN | USER);
    bench.toy.runs(pid, ROOT);
    assert_eq!(bench.certain(), []);
    let host = bench.toy.tasks[&INIT].slots[USER_SLOT];
    bench.toy.forge(pid, USER_SLOT, host);
    bench.toy.deed(pid, what::OPEN, |_, _| {});
    let found = bench.certain();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].explain.contains("the initial user:["), "{}", found[0].explain);
}

#[test]
fn what_was_lost_may_explain_it() {
    let (mut bench, pid) = Bench::contained();
    // The records of a call are lost, and that is learned after the records that follow.
    let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
    bench.toy.setns(pid, host);
    bench.toy.records();
    bench.toy.exec(pid);
    bench.toy.told(&mut bench.world);
    assert!(bench.world.take_doubt());
    bench.lose();
    let until = bench.toy.now;
    assert_eq!(mismatches(bench.apply(Event::Accounted { until })), []);
    // Until the census everything may be explained so.
    let own = bench.toy.clone(pid, UTS);
    bench.toy.records();
    bench.toy.unshare(own, NET);
    bench.toy.records();
    let host = bench.toy.tasks[&INIT].slots[MNT_SLOT];
    bench.toy.forge(pid, MNT_SLOT, host);
    bench.toy.exec(pid);
    assert_eq!(bench.certain(), []);
    bench.resync();
    bench.toy.exec(pid);
    bench.toy.exit(own);
    assert_eq!(bench.certain(), []);
    // From then on it is evidence again.
    let other = bench.toy.tasks[&INIT].slots[3];
    bench.toy.forge(pid, 3, other);
    bench.toy.exec(pid);
    assert_eq!(bench.certain().len(), 1);
}

#[test]
fn an_account_speaks_of_its_time_only() {
    let (mut bench, pid) = Bench::contained();
    let until = bench.toy.now;
    let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
    bench.toy.forge(pid, NET_SLOT, host);
    bench.toy.exec(pid);
    bench.toy.told(&mut bench.world);
    assert_eq!(mismatches(bench.apply(Event::Accounted { until })), []);
    assert_eq!(bench.certain().len(), 1, "it is asked for again");
}

#[test]
fn kernel_threads_and_workers_are_left_out() {
    let (mut bench, pid) = Bench::contained();
    let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
    bench.toy.forge(pid, NET_SLOT, host);
    bench.toy.deed(pid, what::OPEN, |_, deed| deed.task.flags |= PF_KTHREAD);
    // A worker of an io_uring, which speaks for its leader.
    bench.toy.deed(pid, what::OPEN, |_, deed| deed.call.nr = -1);
    // A program that the kernel runs, for nobody.
    bench.toy.deed(pid, what::HELPER, |_, _| {});
    assert_eq!(bench.certain(), []);
}

#[test]
fn a_visit_in_the_middle_of_a_call_is_no_evidence() {
    let mut bench = Bench::new();
    let pid = bench.toy.clone(INIT, OWN);
    bench.toy.told(&mut bench.world);
    bench.lose();
    // The hook has written its record, the visit comes, and only then the call takes effect.
    let visits = bench.toy.visit(false);
    let (before, host) = (bench.toy.tasks[&pid].slots, bench.toy.tasks[&INIT].slots[NET_SLOT]);
    let mut after = before;
    after[NET_SLOT] = host;
    let now = std::mem::replace(&mut bench.toy.now, visits[0].stamp.boot_ns - 1_500);
    let call = Toy::call(nr::SETNS, NET, 0);
    let record = bench.toy.transition(hook::SWITCH_TASK_NAMESPACES, call, pid, &before, &after);
    bench.toy.now = now;
    bench.toy.forge(pid, NET_SLOT, host);
    let held = nstrace::decode::decode(&record).expect("a record");
    for event in visits.into_iter().chain([held]) {
        bench.world.apply(&event, &mut Vec::new());
    }
    let end = bench.toy.snapshot_end();
    bench.world.apply(&end, &mut Vec::new());
    bench.toy.exec(pid);
    assert_eq!(bench.certain(), []);
}

/// The ring is full of older records when a census is taken after a loss: it knows what those numbers mean later.
#[test]
fn what_happened_before_the_end_of_a_census_is_no_evidence() {
    let (mut bench, pid) = Bench::contained();
    bench.lose();
    let visits = bench.toy.visit(false);
    for event in &visits {
        bench.world.apply(event, &mut Vec::new());
    }
    // Not yet read: two namespaces change hands, and the number of one that was left is that of another type afterwards.
    let left = bench.toy.name(bench.toy.tasks[&pid].slots[MNT_SLOT]);
    let mut late = twice_told(&mut bench.toy, pid, UTS);
    late.extend(twice_told(&mut bench.toy, pid, MNT));
    let other = bench.toy.clone(INIT, NET);
    late.extend(bench.toy.records());
    let ns = bench.toy.name(bench.toy.tasks[&other].slots[NET_SLOT]);
    assert_eq!(ns.inum, left.inum);
    bench.apply(Event::Namespace(NsFacts { ns, owner: None, parent: None, level: None, owner_uid: None }));
    bench.apply(Event::SnapshotEnd);
    let mut changes = Vec::new();
    for event in late {
        bench.world.apply(&event, &mut changes);
    }
    let until = bench.toy.now;
    changes.extend(bench.apply(Event::Accounted { until }));
    assert_eq!(mismatches(changes), []);
    bench.finds_only_a_forgery(pid);
}

/// A program of the first census reads the time, is interrupted, and reads the task when it has gone on.
#[test]
fn a_late_visit_of_the_first_census_is_no_evidence() {
    let mut toy = Toy::new(true);
    let pid = toy.clone(INIT, OWN);
    toy.records();
    let start = toy.start();
    let visited = toy.tick();
    for flags in [UTS, NET, IPC] {
        toy.unshare(pid, flags);
    }
    let late = toy.records();
    let mut visits = toy.visit(false);
    for visit in &mut visits {
        visit.stamp.boot_ns = visited;
    }
    let end = toy.snapshot_end();
    let world = World::new(nstrace::container::from_cgroup_path);
    let mut bench = Bench { toy, world };
    for event in start.into_iter().chain(visits).chain([end]).chain(late) {
        bench.world.apply(&event, &mut Vec::new());
    }
    bench.finds_only_a_forgery(pid);
}

/// Nothing is lost and no census taken: the ring lifts the record of a call to the time at which one of its numbers was free.
#[test]
fn the_second_copy_of_a_call_whose_first_could_not_be_read_whole_is_no_evidence() {
    for forged in [false, true] {
        let (mut bench, pid) = Bench::contained();
        let other = bench.toy.clone(INIT, IPC);
        bench.toy.exit(other);
        let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
        if forged {
            bench.toy.forge(pid, NET_SLOT, host);
        }
        let mut records = bench.toy.records();
        records.extend(twice_told(&mut bench.toy, pid, IPC | UTS));
        let [first, second] = transitions(&records)[..] else { panic!("{records:?}") };
        let at = records[first].stamp.boot_ns;
        let made = bench.toy.name(bench.toy.of_type(pid, NsType::Ipc));
        let mut changes = Vec::new();
        for (i, record) in records.iter_mut().enumerate() {
            record.stamp.boot_ns = record.stamp.boot_ns.max(at);
            bench.world.apply(record, &mut changes);
            if i == first {
                assert!(bench.world.find(made).is_none(), "its number is taken for one that is free");
            }
        }
        assert!(bench.world.find(made).is_some(), "record {second} names it");
        let until = bench.toy.now;
        changes.extend(bench.apply(Event::Accounted { until }));
        assert_eq!(mismatches(changes).len(), usize::from(forged));
    }
}

/// unshare(2) of namespaces that are told where the call takes effect and once more when it returns.
fn twice_told(toy: &mut Toy, pid: u32, flags: u64) -> Vec<Stamped> {
    toy.unshare(pid, flags);
    let mut records = toy.records();
    let [first] = transitions(&records)[..] else { panic!("{records:?}") };
    let mut copy = records[first].clone();
    copy.stamp.boot_ns = toy.tick();
    if let Event::Transition { at, .. } = &mut copy.event {
        *at = TransitionAt::Return;
    }
    records.push(copy);
    records
}

fn transitions(records: &[Stamped]) -> Vec<usize> {
    let moves = |&i: &usize| matches!(records[i].event, Event::Transition { .. });
    (0..records.len()).filter(moves).collect()
}

fn capable(bench: &mut Bench, pid: u32, capabilities: u64, nr: i32) -> Vec<Finding> {
    bench.toy.deed(pid, what::OPEN, |_, deed| {
        deed.task.cap_effective = capabilities;
        deed.call.nr = nr;
    });
    bench.certain()
}

#[test]
fn capabilities_that_no_call_gave_are_told() {
    let (mut bench, pid) = Bench::contained();
    assert_eq!(capable(&mut bench, pid, 0, nr::OPEN), []);
    assert_eq!(capable(&mut bench, pid, 1 << 21, nr::EXECVE), [], "execve(2) gives capabilities");
    let child = bench.toy.clone(pid, 0);
    let found = capable(&mut bench, child, 1 << 21, nr::OPEN);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].explain.contains("0x200000"), "{}", found[0].explain);
    assert_eq!(found[0].evidence.len(), 1, "what it did with them");
    assert_eq!(capable(&mut bench, child, 1 << 21, nr::OPEN), [], "told once");
}

#[test]
fn a_user_namespace_gives_all_capabilities() {
    let (mut bench, pid) = Bench::contained();
    bench.toy.unshare(pid, USER);
    assert_eq!(capable(&mut bench, pid, u64::MAX, nr::OPEN), []);
    let (mut bench, pid) = Bench::contained();
    let child = bench.toy.clone(pid, USER);
    assert_eq!(capable(&mut bench, child, u64::MAX, nr::OPEN), []);
    let (mut bench, pid) = Bench::contained();
    bench.lose();
    bench.resync();
    assert_eq!(capable(&mut bench, pid, u64::MAX, nr::OPEN), [], "what gave them may have been lost");
}

#[test]
fn what_is_not_contained_may_get_capabilities_as_it_likes() {
    let mut bench = Bench::new();
    let pid = bench.toy.clone(INIT, OWN);
    bench.toy.runs(pid, HOST_ROOT);
    let host = bench.toy.clone(INIT, NET);
    assert_eq!(capable(&mut bench, host, u64::MAX, nr::OPEN), []);
}

#[test]
fn a_checkpoint_keeps_doubts() {
    let (mut bench, pid) = Bench::contained();
    let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
    bench.toy.forge(pid, NET_SLOT, host);
    bench.toy.exec(pid);
    bench.toy.told(&mut bench.world);
    let kept = serde_json::to_vec(&bench.world.checkpoint().expect("it is live")).expect("it is data");
    let kept = serde_json::from_slice(&kept).expect("it was written so");
    bench.world = World::restore(kept, nstrace::container::from_cgroup_path).expect("it was a world");
    assert_eq!(bench.certain().len(), 1);
}

#[test]
fn the_cause_of_what_nobody_called_for_is_unknown() {
    let (mut bench, pid) = Bench::contained();
    let host = bench.toy.tasks[&INIT].slots[NET_SLOT];
    bench.toy.forge(pid, NET_SLOT, host);
    bench.toy.deed(pid, what::OPEN, |_, _| {});
    let changes = bench.toy.told(&mut bench.world);
    let unknown = changes.iter().filter(|change| change.cause.is_some_and(|cause| cause.via == Via::Unknown));
    assert!(unknown.count() >= 2, "it left one and joined another: {changes:?}");
}
