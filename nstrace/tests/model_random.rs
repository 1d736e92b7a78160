//! Random histories: what the model makes of the records against what the toy kernel really holds.

mod model_support;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use model_support::{CGROUP, CLONE_THREAD, INIT, IPC, MNT, NET, Ns, PID, TIME, Toy, USER, UTS, nr};
use nstrace::{
    decode::decode,
    event::{Event, Stamp, Stamped},
    model::{Change, NsKey, What, World},
    ns::{NsName, NsType},
};
use nstrace_common::deed::what;
use proptest::prelude::*;

/// One thing that happens; the numbers choose among the tasks and namespaces that there are.
#[derive(Clone, Copy, Debug)]
enum Op {
    Clone {
        task: usize,
        flags: u64,
    },
    Thread {
        task: usize,
        flags: u64,
    },
    Unshare {
        task: usize,
        flags: u64,
    },
    UnshareFails {
        task: usize,
        flags: u64,
    },
    Setns {
        task: usize,
        ns: usize,
    },
    Denied {
        task: usize,
        ns: usize,
    },
    Exec {
        task: usize,
    },
    Exit {
        task: usize,
    },
    Pin {
        task: usize,
        ns: usize,
        stat: bool,
    },
    Unpin {
        task: usize,
        ns: usize,
    },
    /// It does something that is recorded and moves nobody.
    Deed {
        task: usize,
    },
}

const TYPES: [u64; 8] = [MNT, PID, NET, IPC, UTS, USER, CGROUP, TIME];

fn flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0..8_usize).prop_map(|t| TYPES[t]),
        any::<u8>().prop_map(|mask| { (0..8).filter(|t| mask & 1 << t != 0).map(|t| TYPES[t]).sum() })
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..64_usize;
    prop_oneof![
        4 => (n.clone(), flags()).prop_map(|(task, flags)| Op::Clone { task, flags }),
        2 => (n.clone(), flags()).prop_map(|(task, flags)| Op::Thread { task, flags: flags & (NET | UTS | IPC) }),
        4 => (n.clone(), flags()).prop_map(|(task, flags)| Op::Unshare { task, flags }),
        1 => (n.clone(), flags()).prop_map(|(task, flags)| Op::UnshareFails { task, flags }),
        4 => (n.clone(), n.clone()).prop_map(|(task, ns)| Op::Setns { task, ns }),
        1 => (n.clone(), n.clone()).prop_map(|(task, ns)| Op::Denied { task, ns }),
        2 => n.clone().prop_map(|task| Op::Exec { task }),
        3 => n.clone().prop_map(|task| Op::Exit { task }),
        1 => (n.clone(), n.clone(), any::<bool>()).prop_map(|(task, ns, stat)| Op::Pin { task, ns, stat }),
        2 => (n.clone(), n.clone()).prop_map(|(task, ns)| Op::Unpin { task, ns }),
        2 => n.prop_map(|task| Op::Deed { task }),
    ]
}

fn perform(toy: &mut Toy, op: Op) {
    let pick_task = |toy: &Toy, n: usize| *toy.tasks.keys().nth(n % toy.tasks.len()).expect("init never ends");
    let pick_ns = |toy: &Toy, n: usize| *toy.spaces.keys().nth(n % toy.spaces.len()).expect("eight are initial");
    let single = |toy: &Toy, tid: u32| toy.tasks.values().filter(|t| t.tgid == toy.tasks[&tid].tgid).count() == 1;
    match op {
        Op::Clone { task, flags } => {
            let task = pick_task(toy, task);
            // EINVAL while pid_for_children differs (copy_pid_ns).
            let split = toy.tasks[&task].slots[1] != toy.tasks[&task].slots[8];
            toy.clone(task, if split { flags & !PID } else { flags });
        }
        Op::Thread { task, flags } => {
            let task = pick_task(toy, task);
            let slots = toy.tasks[&task].slots;
            if task != INIT && slots[1] == slots[8] && slots[7] == slots[9] {
                toy.clone(task, flags | CLONE_THREAD);
            }
        }
        Op::Unshare { task, flags } | Op::UnshareFails { task, flags } => {
            let task = pick_task(toy, task);
            let slots = toy.tasks[&task].slots;
            let mut flags = if single(toy, task) { flags } else { flags & !(USER | PID | TIME) };
            if slots[1] != slots[8] {
                flags &= !PID;
            }
            if task == INIT {
            } else if matches!(op, Op::UnshareFails { .. }) {
                toy.unshare_fails(task, flags, 28);
            } else {
                toy.unshare(task, flags);
            }
        }
        Op::Setns { task, ns } => {
            let (task, ns) = (pick_task(toy, task), pick_ns(toy, ns));
            let single_only = matches!(toy.spaces[&ns].ns_type, NsType::User | NsType::Mnt | NsType::Time);
            if task != INIT && (single(toy, task) || !single_only) {
                toy.setns(task, ns);
            }
        }
        Op::Denied { task, ns } => {
            let (task, ns) = (pick_task(toy, task), pick_ns(toy, ns));
            toy.install(task, ns, 1);
            toy.ret(task, Toy::call(nr::SETNS, 0, -1));
        }
        Op::Exec { task } => {
            let task = pick_task(toy, task);
            if task != INIT {
                toy.exec(task);
            }
        }
        Op::Exit { task } => {
            let task = pick_task(toy, task);
            if task != INIT {
                toy.exit(task);
            }
        }
        Op::Pin { task, ns, stat } => {
            let (task, ns) = (pick_task(toy, task), pick_ns(toy, ns));
            if !Toy::is_initial(ns) {
                if stat && toy.spaces[&ns].pins == 0 {
                    toy.pin(task, ns, nr::STAT);
                    toy.unpin(task, ns, nr::STAT);
                } else {
                    toy.pin(task, ns, nr::OPEN);
                }
            }
        }
        Op::Deed { task } => {
            let task = pick_task(toy, task);
            if toy.tasks[&task].slots.iter().any(|&ns| !Toy::is_initial(ns)) {
                toy.deed(task, what::OPEN, |_, _| {});
            }
        }
        Op::Unpin { task, ns } => {
            let task = pick_task(toy, task);
            let pinned: Vec<Ns> = toy.spaces.iter().filter(|(_, s)| s.pins > 0).map(|(&ns, _)| ns).collect();
            if let Some(&ns) = pinned.get(ns % pinned.len().max(1)) {
                toy.unpin(task, ns, nr::CLOSE);
            }
        }
    }
}

fn world() -> World {
    World::new(|_| None)
}

fn apply(world: &mut World, events: &[Stamped]) -> Vec<Change> {
    let mut out = Vec::new();
    for event in events {
        world.apply(event, &mut out);
    }
    out
}

/// The source says that everything that was lost has been told: nobody did anything but by calls, so nothing is alleged.
fn assert_nothing_forged(world: &mut World, toy: &mut Toy) {
    let (until, stamp) = (toy.now, Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 });
    let alleged = apply(world, &[Stamped { stamp, event: Event::Accounted { until } }]);
    assert!(alleged.is_empty(), "{alleged:?}");
}

/// A watch that began before anything happened.
fn watch(toy: &mut Toy) -> (World, Vec<Change>) {
    let mut world = world();
    let mut events = toy.start();
    events.extend(toy.visit(true));
    events.push(toy.snapshot_end());
    let changes = apply(&mut world, &events);
    (world, changes)
}

fn foreign(toy: &Toy) -> BTreeSet<Ns> {
    toy.spaces.keys().copied().filter(|&ns| !Toy::is_initial(ns)).collect()
}

/// The model holds what the toy holds: namespaces with members, pins, facts; tasks with their namespaces.
fn assert_same(world: &World, toy: &Toy) {
    let known: BTreeMap<(NsType, u32), _> = world
        .namespaces()
        .into_iter()
        .filter(|ns| !ns.is_initial())
        .map(|ns| ((ns.name().ns_type, ns.name().inum), ns))
        .collect();
    let real: BTreeMap<(NsType, u32), Ns> =
        foreign(toy).into_iter().map(|ns| ((toy.name(ns).ns_type, toy.name(ns).inum), ns)).collect();
    assert_eq!(known.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>(), "namespaces");
    for (name, &ns) in &real {
        assert_eq!(known[name].name(), toy.name(ns));
        assert_eq!(known[name].nprocs(), Some(toy.nprocs(ns)), "members of {name:?}");
        assert_eq!(known[name].is_pinned(), toy.spaces[&ns].pins > 0, "pins of {name:?}");
    }
    assert_tasks(world, toy);
}

fn assert_tasks(world: &World, toy: &Toy) {
    let real: BTreeMap<u32, Vec<NsName>> = toy
        .tasks
        .values()
        .filter(|t| t.slots.iter().any(|&ns| !Toy::is_initial(ns)))
        .map(|t| (t.tid, t.slots[..8].iter().map(|&ns| toy.name(ns)).collect()))
        .collect();
    let known: BTreeMap<u32, Vec<NsName>> = world
        .tasks()
        .into_iter()
        .map(|(task, keys)| {
            let name = |key: &Option<NsKey>| world.namespace(key.expect("readable")).expect("alive").name();
            (task.key.tid, keys.iter().map(name).collect())
        })
        .collect();
    assert_eq!(known, real, "tasks");
}

/// Whatever was lost or made up: the model agrees with itself.
fn assert_consistent(world: &World) {
    let mut members: BTreeMap<NsKey, BTreeSet<u32>> = BTreeMap::new();
    for (task, keys) in world.tasks() {
        for key in keys.into_iter().flatten() {
            assert!(world.namespace(key).is_some(), "a task in a namespace that is gone");
            members.entry(key).or_default().insert(task.tgid);
        }
    }
    for ns in world.namespaces() {
        if let Some(nprocs) = ns.nprocs() {
            assert_eq!(nprocs as usize, members.get(&ns.key()).map_or(0, BTreeSet::len), "{ns:?}");
        }
        assert_eq!(world.find(ns.name()).map(nstrace::model::Namespace::key), Some(ns.key()));
    }
}

/// The lines add up: nobody joins twice, leaves without having joined, or is in a namespace that is gone.
fn assert_adds_up(changes: &[Change]) {
    let mut alive: BTreeSet<NsKey> = BTreeSet::new();
    let mut members: BTreeMap<NsKey, BTreeSet<u32>> = BTreeMap::new();
    for (change, n) in changes.iter().zip(1..) {
        assert_eq!(change.seq, n);
        let tgid = change.task.map(|t| t.tgid);
        match &change.what {
            What::Snapshot { ns, .. } | What::Created { ns, .. } => assert!(alive.insert(ns.key), "{change:?}"),
            What::Joined { ns } if !ns.initial => {
                assert!(alive.contains(&ns.key), "{change:?}");
                let tgid = tgid.expect("somebody joins");
                assert!(members.entry(ns.key).or_default().insert(tgid), "joins again: {change:?}");
            }
            What::Left { ns } if !ns.initial => {
                let tgid = tgid.expect("somebody leaves");
                assert!(members.entry(ns.key).or_default().remove(&tgid), "was not in it: {change:?}");
            }
            What::Destroyed { ns, .. } => {
                assert!(alive.remove(&ns.key), "{change:?}");
                assert!(members.remove(&ns.key).is_none_or(|m| m.is_empty()), "{change:?}");
            }
            _ => {}
        }
    }
}

/// Lines without their numbering.
fn told(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|c| format!("{:?} {:?} {:?}", c.what, c.task.map(|t| t.key), c.cause)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_model_follows_the_kernel(ids: bool, filter: bool, ops in prop::collection::vec(op(), 1..60)) {
        let mut toy = Toy::new(ids);
        toy.filter = filter;
        let (mut world, mut changes) = watch(&mut toy);
        for op in ops {
            perform(&mut toy, op);
            let records = toy.records();
            changes.extend(apply(&mut world, &records));
            assert_same(&world, &toy);
            assert_consistent(&world);
            assert_nothing_forged(&mut world, &mut toy);
        }
        assert_adds_up(&changes);
        let unknown = changes.iter().filter(|c| c.cause.is_some_and(|c| c.via == nstrace::event::Via::Unknown)).count();
        prop_assert_eq!(unknown, 0, "nothing was lost, so everything has a cause");
        // Nobody is left, nothing is held: nothing lives.
        for tid in toy.tasks.keys().copied().filter(|&t| t != INIT).collect::<Vec<_>>() {
            if toy.tasks.contains_key(&tid) {
                toy.exit(tid);
            }
        }
        for ns in foreign(&toy) {
            while toy.spaces.get(&ns).is_some_and(|s| s.pins > 0) {
                toy.unpin(INIT, ns, nr::UMOUNT);
            }
        }
        changes.extend(apply(&mut world, &toy.records()));
        assert_same(&world, &toy);
        prop_assert_eq!(world.namespaces().len(), 8);
        assert_adds_up(&changes);
    }

    #[test]
    fn records_that_come_again_change_nothing(
        ids: bool,
        ops in prop::collection::vec(op(), 1..40),
        again in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..500_u64), 0..40),
    ) {
        let mut toy = Toy::new(ids);
        let (mut once, _) = watch(&mut toy);
        let mut toy = Toy::new(ids);
        let (mut twice, _) = watch(&mut toy);
        for op in ops {
            perform(&mut toy, op);
        }
        let records = toy.records();
        let mut repeated: Vec<Vec<Stamped>> = records.iter().map(|r| vec![r.clone()]).collect();
        if !records.is_empty() {
            for (which, when, delay) in again {
                let (a, b) = (which.index(records.len()), when.index(records.len()));
                let mut record = records[a.min(b)].clone();
                // Right after it from a second hook, with a stamp of its own, or any time later.
                if a >= b && !matches!(record.event, Event::Return { .. }) {
                    record.stamp.boot_ns += delay;
                }
                let place = if a >= b { a.min(b) } else { b };
                if a >= b {
                    repeated[place].insert(1, record);
                } else {
                    repeated[place].push(record);
                }
            }
        }
        let repeated: Vec<Stamped> = repeated.into_iter().flatten().collect();
        let (again, expected) = (told(&apply(&mut twice, &repeated)), told(&apply(&mut once, &records)));
        for (n, (a, b)) in again.iter().zip(&expected).enumerate() {
            prop_assert_eq!(a, b, "line {}", n);
        }
        prop_assert_eq!(again.len(), expected.len());
        assert_same(&twice, &toy);
        assert_nothing_forged(&mut twice, &mut toy);
    }

    #[test]
    fn a_snapshot_in_the_middle_neither_doubles_nor_misses(
        ids: bool,
        before in prop::collection::vec(op(), 0..30),
        during in prop::collection::vec((op(), any::<prop::sample::Index>()), 0..12),
        after in prop::collection::vec(op(), 0..12),
        early: bool,
    ) {
        let mut toy = Toy::new(ids);
        for op in before {
            perform(&mut toy, op);
        }
        toy.records();
        let mut world = world();
        let mut changes = apply(&mut world, &toy.start());
        // Visits one by one, with things happening in between; records come before the visits or after.
        let mut held = Vec::new();
        let mut visited = BTreeSet::new();
        let mut pins = true;
        let mut pending: Vec<_> = during;
        loop {
            let left: Vec<u32> = toy.tasks.keys().copied().filter(|t| !visited.contains(t)).collect();
            if pins || !left.is_empty() {
                let next = if pins { None } else { Some(left[0]) };
                pins = false;
                let visits = toy.visit(true).into_iter().filter(|e| match &e.event {
                    Event::SnapshotTask { task, .. } => Some(task.key.tid) == next,
                    _ => next.is_none(),
                });
                let visits: Vec<Stamped> = visits.collect();
                visited.extend(next);
                if early {
                    held.extend(visits);
                } else {
                    changes.extend(apply(&mut world, &visits));
                }
            } else if pending.is_empty() {
                break;
            }
            if let Some((op, _)) = pending.pop() {
                perform(&mut toy, op);
                held.extend(toy.records());
            }
        }
        held.push(toy.snapshot_end());
        changes.extend(apply(&mut world, &held[..held.len() - 1]));
        prop_assert!(changes.is_empty());
        changes.extend(apply(&mut world, &held[held.len() - 1..]));
        for op in after {
            perform(&mut toy, op);
            changes.extend(apply(&mut world, &toy.records()));
        }
        assert_nothing_forged(&mut world, &mut toy);
        assert_consistent(&world);
        assert_tasks(&world, &toy);
        let first_other = changes.iter().position(|c| !matches!(c.what, What::Snapshot { .. })).unwrap_or(changes.len());
        let late = changes[first_other..].iter().filter(|c| matches!(c.what, What::Snapshot { .. })).count();
        prop_assert_eq!(late, 0);
        for &ns in foreign(&toy).iter().filter(|&&ns| toy.spaces[&ns].pins > 0 || toy.nprocs(ns) > 0) {
            let known = world.find(toy.name(ns));
            prop_assert_eq!(known.and_then(nstrace::model::Namespace::nprocs), Some(toy.nprocs(ns)));
        }
    }

    #[test]
    fn from_a_checkpoint_it_goes_on_as_if_read_from_the_start(
        ids: bool,
        before in prop::collection::vec((op(), 0..4_u8), 0..60),
        after in prop::collection::vec((op(), 0..4_u8), 1..40),
    ) {
        let mut toy = Toy::new(ids);
        let (mut world, _) = watch(&mut toy);
        let perform_some = |toy: &mut Toy, ops: Vec<(Op, u8)>| {
            let mut records = Vec::new();
            for (op, luck) in ops {
                perform(toy, op);
                let all = toy.records().into_iter().enumerate();
                records.extend(all.filter(|(i, _)| luck > 0 || i % 3 == 1).map(|(_, record)| record));
            }
            records
        };
        let records = perform_some(&mut toy, before);
        apply(&mut world, &records);
        let kept = serde_json::to_string(&world.checkpoint().expect("live")).expect("it is data");
        let read = serde_json::from_str(&kept).expect("it was written so");
        let mut restored = World::restore(read, |_| None).expect("it was kept so");
        let again = serde_json::to_string(&restored.checkpoint().expect("live")).expect("it is data");
        prop_assert_eq!(&kept, &again);
        let records = perform_some(&mut toy, after);
        prop_assert_eq!(apply(&mut world, &records), apply(&mut restored, &records));
        let ends = [world, restored].map(|w| serde_json::to_string(&w.checkpoint().expect("live")).expect("it is data"));
        prop_assert_eq!(&ends[0], &ends[1]);
    }

    #[test]
    fn after_a_loss_a_new_snapshot_repairs(
        ids: bool,
        ops in prop::collection::vec((op(), 0..4_u8), 1..60),
        after in prop::collection::vec(op(), 0..10),
    ) {
        let mut toy = Toy::new(ids);
        let (mut world, mut changes) = watch(&mut toy);
        for (op, luck) in ops {
            perform(&mut toy, op);
            let records: Vec<Stamped> = toy
                .records()
                .into_iter()
                .enumerate()
                .filter(|(i, _)| luck > 0 || i % 3 == 1)
                .map(|(_, r)| r)
                .collect();
            changes.extend(apply(&mut world, &records));
            assert_consistent(&world);
        }
        let stamp = Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 };
        let mut events = vec![Stamped { stamp, event: Event::Lost { count: 1, hook: None, cgroup: None } }];
        events.extend(toy.visit(true));
        events.push(toy.snapshot_end());
        changes.extend(apply(&mut world, &events));
        prop_assert_eq!(&changes.last().expect("resynced").what, &What::Resynced);
        for op in after {
            perform(&mut toy, op);
            changes.extend(apply(&mut world, &toy.records()));
            assert_consistent(&world);
            assert_nothing_forged(&mut world, &mut toy);
        }
        assert_tasks(&world, &toy);
        let real: HashSet<NsName> = foreign(&toy).into_iter().map(|ns| toy.name(ns)).collect();
        let known: HashSet<NsName> =
            world.namespaces().into_iter().filter(|ns| !ns.is_initial()).map(nstrace::model::Namespace::name).collect();
        if ids {
            prop_assert!(known.is_subset(&real), "phantoms: {:?}", known.difference(&real).collect::<Vec<_>>());
        }
        for &ns in &foreign(&toy) {
            let known = world.find(toy.name(ns)).and_then(nstrace::model::Namespace::nprocs);
            if toy.nprocs(ns) > 0 || toy.spaces[&ns].pins > 0 {
                prop_assert_eq!(known, Some(toy.nprocs(ns)));
            }
        }
    }

    #[test]
    fn damaged_records_do_no_harm(
        ids: bool,
        ops in prop::collection::vec(op(), 1..30),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..200),
    ) {
        let mut toy = Toy::new(ids);
        let (mut world, _) = watch(&mut toy);
        for op in ops {
            perform(&mut toy, op);
        }
        let mut records = toy.bytes();
        if !records.is_empty() {
            for (record, place, byte) in damage {
                let record = record.index(records.len());
                let place = place.index(records[record].len());
                records[record][place] = byte;
            }
        }
        let mut out = Vec::new();
        for event in records.iter().filter_map(|bytes| decode(bytes).ok()) {
            world.apply(&event, &mut out);
            world.take_suspects();
            assert_consistent(&world);
        }
    }
}
