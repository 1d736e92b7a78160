//! What the model says of single calls: records in, lines out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;

use model_support::{CLONE_THREAD, INIT, IPC, MNT, NET, PID, TIME, Toy, USER, UTS, nr};
use nstrace::{
    decode::decode,
    event::{Call, Event, NsFacts, Stamp, Stamped, TransitionAt, Via},
    model::{Change, Container, What, World},
    ns::{NsName, NsType},
};
use nstrace_common::record::{hook, kind};

fn no_container(_: &str) -> Option<Container> {
    None
}

/// One line per change: `what type via task`, numbers left out.
fn line(change: &Change) -> String {
    let via = change.cause.map_or("-", |c| c.via.name());
    let tid = change.task.map_or_else(|| "-".to_owned(), |t| t.key.tid.to_string());
    let ns = |verb: &str, ns: &nstrace::model::NsSeen| {
        let initial = if ns.initial { "initial " } else { "" };
        format!("{verb} {initial}{} {via} {tid}", ns.name.ns_type)
    };
    match &change.what {
        What::Snapshot { ns: seen, nprocs, holders } => {
            format!("{} procs={nprocs} holders={}", ns("snapshot", seen), holders.len())
        }
        What::Created { ns: seen, .. } => ns("created", seen),
        What::Joined { ns: seen } => ns("joined", seen),
        What::Left { ns: seen } => ns("left", seen),
        What::Destroyed { ns: seen, lifetime_ns } => {
            format!("{}{}", ns("destroyed", seen), if lifetime_ns.is_some() { " lifetime" } else { "" })
        }
        What::Pinned { ns: seen } => ns("pinned", seen),
        What::Unpinned { ns: seen } => ns("unpinned", seen),
        What::Denied { ns_type, ns } => {
            let errno = change.cause.and_then(|c| c.errno).unwrap_or_default();
            let ns_type = ns_type.map_or("?", NsType::name);
            format!("denied {ns_type} {via} {tid} errno={errno} named={}", ns.is_some())
        }
        What::Lost { count, .. } => format!("lost {count}"),
        What::Resynced => "resynced".to_owned(),
        What::Deed(deed) => format!("deed {}", deed.act),
        What::Finding(finding) => format!("finding {}", finding.rule),
    }
}

struct Watch {
    toy: Toy,
    world: World,
}

impl Watch {
    /// A host on which init runs alone, watched.
    fn new(ids: bool) -> Self {
        let mut watch = Self { toy: Toy::new(ids), world: World::new(no_container) };
        let mut events = watch.toy.start();
        events.extend(watch.toy.visit(true));
        events.push(watch.toy.snapshot_end());
        let lines = watch.apply(&events);
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "snapshot initial mnt - 1 procs=1 holders=0");
        watch
    }

    fn changes(&mut self, events: &[Stamped]) -> Vec<Change> {
        let mut out = Vec::new();
        for event in events {
            self.world.apply(event, &mut out);
        }
        out
    }

    fn apply(&mut self, events: &[Stamped]) -> Vec<String> {
        self.changes(events).iter().map(line).collect()
    }

    fn lines(&mut self) -> Vec<String> {
        let records = self.toy.records();
        self.apply(&records)
    }
}

#[test]
fn clone_creates_for_the_parent_and_joins_the_child() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        assert_eq!(w.toy.clone(INIT, NET | PID | UTS), 2);
        assert_eq!(
            w.lines(),
            ["created pid clone3 1", "created net clone3 1", "created uts clone3 1"]
                .into_iter()
                .chain(["joined pid clone3 2", "joined net clone3 2", "joined uts clone3 2"])
                .collect::<Vec<_>>()
        );
        w.toy.exit(2);
        assert_eq!(
            w.lines(),
            [
                "left pid exit 2",
                "left net exit 2",
                "left uts exit 2",
                "destroyed pid exit 2 lifetime",
                "destroyed net exit 2 lifetime",
                "destroyed uts exit 2 lifetime"
            ]
        );
        assert_eq!(w.world.namespaces().len(), 8);
        assert!(w.world.tasks().is_empty());
    }
}

#[test]
fn a_plain_fork_joins_what_is_not_initial() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    w.toy.clone(a, 0);
    assert_eq!(w.lines(), ["joined net fork 3"]);
    w.toy.exit(3);
    assert_eq!(w.lines(), ["left net exit 3"]);
    // Also where the kernel side tells of everybody.
    w.toy.filter = false;
    w.toy.clone(INIT, 0);
    w.toy.exec(4);
    w.toy.exit(4);
    assert_eq!(w.lines(), [""; 0]);
}

#[test]
fn unshare_leaves_and_joins_in_the_order_of_the_kernel() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, 0);
    w.toy.unshare(a, USER | NET | MNT);
    assert_eq!(
        w.lines(),
        [
            "created mnt unshare 2",
            "created net unshare 2",
            "left initial mnt unshare 2",
            "left initial net unshare 2",
            "joined mnt unshare 2",
            "joined net unshare 2",
            "created user unshare 2",
            "left initial user unshare 2",
            "joined user unshare 2",
        ]
    );
    let user = w.toy.of_type(a, NsType::User);
    let net = w.world.find(w.toy.name(w.toy.of_type(a, NsType::Net))).unwrap();
    assert_eq!(net.owner(), Some(w.toy.name(user)));
    assert_eq!(net.creation().unwrap().task().key.tid, a);
    let user = w.world.find(w.toy.name(user)).unwrap();
    assert_eq!(user.parent(), Some(w.toy.name(w.toy.of_type(INIT, NsType::User))));
}

#[test]
fn for_children_makes_no_member() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, 0);
    w.toy.unshare(a, PID | TIME);
    assert_eq!(w.lines(), ["created pid unshare 2", "created time unshare 2"]);
    let pid = w.toy.name(w.toy.tasks[&a].slots[8]);
    assert_eq!(w.world.find(pid).unwrap().nprocs(), Some(0));
    assert!(w.world.take_suspects().contains(&pid), "a pid namespace without members may end unseen");
    assert!(w.world.take_suspects().is_empty());
    w.toy.clone(a, 0);
    assert_eq!(w.lines(), ["joined pid fork 3", "joined time fork 3"]);
    w.toy.exec(a);
    assert_eq!(w.lines(), ["left initial time exec 2", "joined time exec 2"]);
    w.toy.exit(3);
    assert_eq!(w.lines(), ["left pid exit 3", "left time exit 3"]);
    w.toy.exit(a);
    assert_eq!(w.lines(), ["left time exit 2", "destroyed pid exit 2 lifetime", "destroyed time exit 2 lifetime"]);
}

#[test]
fn setns_goes_there_and_back() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, NET);
        let (there, back) = (w.toy.of_type(a, NsType::Net), w.toy.of_type(INIT, NsType::Net));
        let b = w.toy.clone(INIT, 0);
        w.lines();
        w.toy.setns(b, there);
        assert_eq!(w.lines(), ["left initial net setns 3", "joined net setns 3"]);
        assert_eq!(w.world.find(w.toy.name(there)).unwrap().nprocs(), Some(2));
        w.toy.setns(b, there);
        assert_eq!(w.lines(), [""; 0], "it is there already");
        w.toy.setns(b, back);
        assert_eq!(w.lines(), ["left net setns 3", "joined initial net setns 3"]);
        assert_eq!(w.world.tasks().len(), 1, "tasks in the initial namespaces are not kept");
    }
}

#[test]
fn the_same_record_from_two_hooks_counts_once() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, 0);
        let home = w.toy.of_type(INIT, NsType::Net);
        w.toy.unshare(a, NET | USER | PID);
        w.toy.clone(a, UTS);
        w.toy.setns(a, home);
        w.toy.exit(3);
        w.toy.exit(a);
        let records = w.toy.records();
        let mut twice = Vec::new();
        for record in &records {
            twice.push(record.clone());
            let mut again = record.clone();
            again.stamp.boot_ns += 300;
            twice.push(again);
        }
        let mut once = Watch::new(ids);
        assert_eq!(w.apply(&twice), once.apply(&records));
        // And when all of it comes again much later.
        assert_eq!(w.apply(&records), [""; 0]);
        assert_eq!(w.world.namespaces().len(), 8);
    }
}

#[test]
fn threads_count_as_their_process() {
    let mut w = Watch::new(true);
    let p = w.toy.clone(INIT, NET);
    w.lines();
    let t = w.toy.clone(p, CLONE_THREAD);
    assert_eq!(w.lines(), [""; 0]);
    w.toy.unshare(t, UTS);
    assert_eq!(w.lines(), ["created uts unshare 3", "joined uts unshare 3"], "the leader stays in the initial one");
    let home = w.toy.of_type(INIT, NsType::Net);
    w.toy.setns(t, home);
    assert_eq!(w.lines(), ["joined initial net setns 3"]);
    w.toy.exit(t);
    assert_eq!(w.lines(), ["left uts exit 3", "destroyed uts exit 3 lifetime"]);
    w.toy.exit(p);
    assert_eq!(w.lines(), ["left net exit 2", "destroyed net exit 2 lifetime"]);
}

#[test]
fn a_thread_of_an_ordinary_process_leaves_nothing() {
    let mut w = Watch::new(true);
    let p = w.toy.clone(INIT, 0);
    let t = w.toy.clone(p, CLONE_THREAD);
    w.toy.unshare(t, NET);
    assert_eq!(w.lines(), ["created net unshare 3", "joined net unshare 3"]);
    let home = w.toy.of_type(INIT, NsType::Net);
    w.toy.setns(t, home);
    assert_eq!(w.lines(), ["left net setns 3", "destroyed net setns 3 lifetime"]);
}

#[test]
fn exec_by_a_thread_takes_the_leaders_place() {
    let mut w = Watch::new(true);
    let p = w.toy.clone(INIT, NET);
    let t = w.toy.clone(p, CLONE_THREAD);
    let net = w.toy.of_type(p, NsType::Net);
    w.lines();
    w.toy.exec(t);
    assert_eq!(w.lines(), [""; 0], "the process is where it was");
    assert_eq!(w.world.tasks().len(), 1);
    assert_eq!(w.world.tasks()[0].0.key.tid, p);
    assert_eq!(w.world.find(w.toy.name(net)).unwrap().nprocs(), Some(1));
    w.toy.exit(p);
    assert_eq!(w.lines(), ["left net exit 2", "destroyed net exit 2 lifetime"]);
}

/// The switch to the new time namespace is told, and the old one freed, before the exec itself.
#[test]
fn exec_by_a_thread_leaves_a_time_namespace() {
    let mut w = Watch::new(true);
    let p = w.toy.clone(INIT, TIME);
    let t = w.toy.clone(p, CLONE_THREAD);
    w.toy.unshare(t, TIME);
    w.lines();
    w.toy.exec(t);
    assert_eq!(w.lines(), ["left time exec 2", "joined time exec 2", "destroyed time exec 2 lifetime"]);
}

#[test]
fn a_time_namespace_may_end_before_the_exec_is_told() {
    let mut w = Watch::new(true);
    let p = w.toy.clone(INIT, TIME);
    w.toy.unshare(p, TIME);
    w.lines();
    w.toy.exec(p);
    let mut records = w.toy.records();
    // 6.12 has no place left where exec_task_namespaces could be hooked.
    records.retain(|record| !matches!(record.event, Event::Transition { .. }));
    assert_eq!(w.apply(&records), ["left time exec 2", "joined time exec 2", "destroyed time exec 2 lifetime"]);
}

#[test]
fn a_call_that_fails_half_way_made_nothing() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, 0);
        w.toy.unshare_fails(a, UTS | NET, 28);
        assert_eq!(
            w.lines(),
            ["denied net unshare 2 errno=28 named=false", "denied uts unshare 2 errno=28 named=false"]
        );
        assert_eq!(w.world.namespaces().len(), 8);
    }
}

#[test]
fn a_call_that_a_signal_interrupted_was_not_refused() {
    const ERESTARTNOINTR: i32 = 513;
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    w.toy.unshare_fails(a, IPC, ERESTARTNOINTR);
    assert_eq!(w.lines(), [""; 0]);
    w.toy.unshare_fails(a, IPC, 1);
    assert_eq!(w.lines(), ["denied ipc unshare 2 errno=1 named=false"]);
}

#[test]
fn a_refused_setns_names_the_namespace() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let b = w.toy.clone(INIT, 0);
    let net = w.toy.of_type(a, NsType::Net);
    w.lines();
    w.toy.install(b, net, 1);
    w.toy.ret(b, Toy::call(nr::SETNS, 0, -1));
    assert_eq!(w.lines(), ["denied net setns 3 errno=1 named=true"]);
    w.toy.ret(b, Toy::call(nr::SETNS, 0, -9));
    assert_eq!(w.lines(), ["denied ? setns 3 errno=9 named=false"], "EBADF: nobody knows what was meant");
    w.toy.ret(b, Toy::call(nr::SETNS, NET | IPC, -22));
    assert_eq!(w.lines().len(), 2);
    // No attempt on namespaces: unshare(CLONE_FILES), a fork without a free PID, a call that succeeds.
    w.toy.ret(b, Toy::call(nr::UNSHARE, 0x400, -1));
    w.toy.ret(b, Toy::call(nr::CLONE, 17 | 0x80, -11));
    w.toy.ret(b, Toy::call(nr::UNSHARE, NET, 0));
    assert_eq!(w.lines(), [""; 0]);
}

#[test]
fn a_bind_mount_keeps_it_and_its_end_ends_it() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, 0);
    w.toy.unshare(a, NET);
    let net = w.toy.of_type(a, NsType::Net);
    w.lines();
    w.toy.pin(a, net, nr::STAT);
    assert_eq!(w.lines(), [""; 0]);
    w.toy.unpin(a, net, nr::STAT);
    assert_eq!(w.lines(), [""; 0]);
    w.toy.pin(a, net, nr::OPEN);
    assert_eq!(w.lines(), ["pinned net open 2"]);
    w.toy.exit(a);
    assert_eq!(w.lines(), ["left net exit 2"]);
    assert_eq!(w.world.take_suspects(), [w.toy.name(net)]);
    let b = w.toy.clone(INIT, 0);
    w.toy.unpin(b, net, nr::UMOUNT);
    assert_eq!(w.lines(), ["unpinned net umount 3", "destroyed net umount 3 lifetime"]);
    assert!(w.world.take_suspects().is_empty());
}

#[test]
fn an_owner_ends_with_what_it_owned() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, USER);
    w.toy.unshare(a, NET);
    let (user, net) = (w.toy.of_type(a, NsType::User), w.toy.of_type(a, NsType::Net));
    w.toy.pin(a, net, nr::OPEN);
    w.toy.exit(a);
    w.lines();
    assert!(w.world.take_suspects().contains(&w.toy.name(user)));
    w.toy.unpin(INIT, net, nr::CLOSE);
    assert_eq!(
        w.lines(),
        ["unpinned net close 1", "destroyed net close 1 lifetime", "destroyed user close 1 lifetime"]
    );
}

#[test]
fn a_mount_namespace_may_begin_without_a_task() {
    let mut w = Watch::new(true);
    // open_tree(2) with OPEN_TREE_NAMESPACE: described, then held by the file it returns.
    let mut other = Toy::new(true);
    let a = other.clone(INIT, MNT);
    let mnt = other.of_type(a, NsType::Mnt);
    let described: Vec<Stamped> =
        other.records().into_iter().filter(|r| matches!(r.event, Event::Namespace(_))).collect();
    let pinned = decode(&other.pin_record(kind::PINNED, nr::OPEN_TREE, INIT, mnt)).unwrap();
    assert_eq!(w.apply(&described), [""; 0]);
    assert_eq!(w.apply(&[pinned]), ["created mnt mount 1", "pinned mnt mount 1"]);
}

/// A census after a loss shows a namespace before the record of the call that made it is read; then it is bind-mounted.
#[test]
fn a_bind_mount_makes_no_namespace() {
    let mut w = Watch::new(false);
    let a = w.toy.clone(INIT, 0);
    w.lines();
    w.toy.unshare(a, USER);
    let late = w.toy.records();
    let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
    w.apply(&[Stamped { stamp, event: Event::Lost { count: 1, hook: None, cgroup: None } }]);
    let mut census = w.toy.visit(false);
    census.push(w.toy.snapshot_end());
    assert!(w.apply(&census).contains(&"created user unknown -".to_owned()));
    w.apply(&late);
    let user = w.toy.of_type(a, NsType::User);
    w.toy.pin(a, user, nr::MOUNT);
    assert_eq!(w.lines(), ["pinned user mount 2"]);
}

#[test]
fn a_reused_number_is_another_namespace() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let mut keys = Vec::new();
        for flag in [NET, NET, UTS, NET] {
            let a = w.toy.clone(INIT, flag);
            let records = w.toy.records();
            let lines = w.changes(&records);
            let What::Created { ns, .. } = lines[0].what else { panic!("{lines:?}") };
            keys.push((ns.key, ns.name.inum));
            w.toy.exit(a);
            assert_eq!(w.lines().len(), 2);
        }
        let inum = keys[0].1;
        assert!(keys.iter().all(|(_, i)| *i == inum), "the toy gives the lowest free number");
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }
}

#[test]
fn the_end_of_a_namespace_shows_when_its_number_does() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, NET);
        w.lines();
        w.toy.exit(a);
        let unseen_end: Vec<Stamped> =
            w.toy.records().into_iter().filter(|r| !matches!(r.event, Event::Freed { .. })).collect();
        assert_eq!(w.apply(&unseen_end), ["left net exit 2"]);
        let b = w.toy.clone(INIT, 0);
        w.toy.unshare(b, NET);
        // Its last release was seen, only the moment of the end was not.
        assert_eq!(w.lines()[..2], ["destroyed net exit 2 lifetime".to_owned(), "created net unshare 3".to_owned()]);
        // Nobody saw this one's members go.
        w.toy.exit(b);
        w.toy.records();
        w.toy.clone(INIT, UTS);
        assert_eq!(
            w.lines()[..3],
            [
                "left net unknown 3".to_owned(),
                "destroyed net unknown - lifetime".to_owned(),
                "created uts clone3 1".to_owned()
            ]
        );
    }
}

/// Who made the first one was lost, and that it ended is not seen (tracepoint mode before 6.18).
#[test]
fn a_number_of_unknown_origin_that_was_left_is_used_again() {
    let again = |act: fn(&mut Watch, u32), entered_later: Option<i64>| {
        let mut w = Watch::new(false);
        let a = w.toy.clone(INIT, NET);
        w.toy.records();
        w.toy.unshare(a, UTS);
        assert!(w.lines().contains(&"created net unknown -".to_owned()));
        let shown = w.toy.now;
        w.toy.exit(a);
        let records = w.toy.records();
        w.apply(&records.into_iter().filter(|r| !matches!(r.event, Event::Freed { .. })).collect::<Vec<_>>());
        let b = w.toy.clone(INIT, 0);
        w.lines();
        act(&mut w, b);
        let mut records = w.toy.records();
        for record in &mut records {
            if let (Some(later), Event::Transition { at, entered_boot_ns, .. }) = (entered_later, &mut record.event) {
                (*at, *entered_boot_ns) = (TransitionAt::Return, shown.checked_add_signed(later));
            }
        }
        w.apply(&records)
    };
    let unshare = |w: &mut Watch, task| w.toy.unshare(task, NET);
    let clone = |w: &mut Watch, task| {
        w.toy.clone(task, NET);
    };
    let lines = ["destroyed net exit 2", "created net unshare 3", "left initial net unshare 3", "joined net unshare 3"];
    assert_eq!(again(unshare, None), lines);
    assert_eq!(again(unshare, Some(1)), lines);
    // Somebody may have joined, and left, while the maker was in its call; but not before the child of a clone was there.
    assert_eq!(again(unshare, Some(-1_000_000)), lines[2..]);
    assert_eq!(again(clone, None), ["destroyed net exit 2", "created net clone3 3", "joined net clone3 4"]);
}

/// Who made the first one was lost, a census found it held, and that it was let go of is not seen (tracepoint mode).
#[test]
fn a_number_of_unknown_origin_that_was_held_is_used_again() {
    let mut w = Watch::new(false);
    let holder = w.toy.clone(INIT, 0);
    w.lines();
    let member = w.toy.clone(INIT, NET);
    let net = w.toy.of_type(member, NsType::Net);
    w.toy.pin(holder, net, nr::OPEN);
    w.toy.exit(member);
    w.toy.records();
    let mut census = w.toy.visit(true);
    census.push(w.toy.snapshot_end());
    assert_eq!(w.apply(&census), ["created net unknown -", "pinned net unknown -", "resynced"]);
    w.toy.unpin(holder, net, nr::CLOSE);
    w.toy.records();
    w.toy.clone(INIT, NET);
    let lines = ["unpinned net unknown -", "destroyed net unknown -", "created net clone3 1", "joined net clone3 4"];
    assert_eq!(w.lines(), lines);
}

/// As above, but what held it is not known either: the census found it as the owner of another one.
#[test]
fn a_number_that_only_a_census_named_is_used_again() {
    let mut w = Watch::new(false);
    let [a, b] = [w.toy.clone(INIT, NET), w.toy.clone(INIT, 0)];
    let net = w.toy.of_type(a, NsType::Net);
    w.toy.pin(b, net, nr::OPEN);
    w.toy.exit(a);
    // The records of all this are lost.
    w.toy.records();
    w.lines();
    let mut census = w.toy.visit(true);
    census.retain(|found| !matches!(found.event, Event::SnapshotPin { .. }));
    let name = w.toy.name(net);
    census.push(found(&mut w, name));
    census.push(w.toy.snapshot_end());
    assert_eq!(w.apply(&census), ["created net unknown -", "resynced"]);
    w.toy.unpin(b, net, nr::CLOSE);
    w.toy.unshare(b, NET);
    let mut records = w.toy.records();
    records.retain(|record| !matches!(record.event, Event::Freed { .. } | Event::Unpinned { .. }));
    let lines =
        ["destroyed net unknown -", "created net unshare 3", "left initial net unshare 3", "joined net unshare 3"];
    assert_eq!(w.apply(&records), lines);
}

/// A hook at the return of unshare(2) speaks after the old namespace was freed, and its number may be in use by then.
#[test]
fn a_number_used_again_before_the_call_that_freed_it_returned() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let b = w.toy.clone(INIT, 0);
    w.lines();
    w.toy.unshare(a, NET);
    let mut late: Vec<Stamped> =
        w.toy.records().into_iter().filter(|r| !matches!(r.event, Event::Freed { .. })).collect();
    w.toy.unshare(b, UTS);
    let lines = [
        "left net unknown 2",
        "destroyed net unknown - lifetime",
        "created uts unshare 3",
        "left initial uts unshare 3",
        "joined uts unshare 3",
    ];
    assert_eq!(w.lines(), lines);
    for record in &mut late {
        record.stamp.boot_ns = w.toy.tick();
    }
    // It was never in the initial one.
    assert_eq!(w.apply(&late), ["created net unshare 2", "joined net unshare 2"]);
}

#[test]
fn a_used_tid_is_another_task() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    // clone3 with set_tid, microseconds after an exit that was lost.
    w.toy.exit(a);
    w.toy.records();
    let b = w.toy.clone(INIT, UTS);
    let mut records = w.toy.records();
    for record in &mut records {
        if let Event::Fork { child, .. } = &mut record.event {
            assert_eq!(child.key.tid, b);
            (child.key.tid, child.tgid) = (a, a);
        }
    }
    let lines = w.apply(&records);
    assert_eq!(lines[0], "left net unknown 2");
    assert_eq!(lines.last().unwrap(), "joined uts clone3 2");
    assert_eq!(w.world.tasks().len(), 1);
}

#[test]
fn a_join_may_come_before_the_creator_is_heard() {
    for ids in [true, false] {
        // Tracepoint mode: state is told when a call returns, and another task may have joined by then.
        let mut w = Watch::new(ids);
        let (a, b) = (w.toy.clone(INIT, 0), w.toy.clone(INIT, 0));
        let before = w.toy.tasks[&a].slots;
        w.toy.unshare(a, NET);
        let after = w.toy.tasks[&a].slots;
        let described: Vec<Stamped> =
            w.toy.records().into_iter().filter(|r| matches!(r.event, Event::Namespace(_))).collect();
        w.toy.setns(b, w.toy.of_type(a, NsType::Net));
        assert_eq!(w.apply(&described), [""; 0]);
        assert_eq!(w.lines(), ["created net unknown -", "left initial net setns 3", "joined net setns 3"]);
        let late = w.toy.transition(hook::UNSHARE, Toy::call(nr::UNSHARE, NET, 0), a, &before, &after);
        let late = decode(&late).unwrap();
        assert_eq!(w.apply(&[late]), ["left initial net unshare 2", "joined net unshare 2"]);
        let net = w.world.find(w.toy.name(w.toy.of_type(a, NsType::Net))).unwrap();
        assert_eq!(net.creation().unwrap().task().key.tid, a, "the maker is known now");
        assert_eq!(net.nprocs(), Some(2));
    }
}

#[test]
fn what_copy_namespaces_made_may_never_be() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let (before, after) = (w.toy.tasks[&INIT].slots, w.toy.tasks[&a].slots);
    w.toy.records();
    let copy = w.toy.transition(hook::COPY_NAMESPACES, Toy::call(nr::CLONE3, NET, 0), INIT, &before, &after);
    let copy = decode(&copy).unwrap();
    assert!(matches!(copy.event, Event::Transition { at: TransitionAt::Copy, .. }));
    assert_eq!(w.apply(&[copy]), [""; 0]);
}

#[test]
fn events_during_the_snapshot_come_after_its_lines() {
    let mut toy = Toy::new(true);
    let a = toy.clone(INIT, NET);
    let t = toy.clone(a, CLONE_THREAD);
    let net = toy.of_type(a, NsType::Net);
    toy.pin(INIT, net, nr::MOUNT);
    toy.records(); // before the watch
    let mut w = Watch { toy, world: World::new(no_container) };
    let mut events = w.toy.start();
    w.toy.unshare(a, UTS); // attached, not yet visited: the snapshot shows the result
    events.extend(w.toy.records());
    events.extend(w.toy.visit(true));
    w.toy.unshare(a, IPC); // visited before: news
    w.toy.exit(t);
    events.extend(w.toy.records());
    assert_eq!(w.apply(&events), [""; 0]);
    let end = w.toy.snapshot_end();
    let changes = w.changes(&[end]);
    let lines: Vec<String> = changes.iter().map(line).collect();
    assert_eq!(lines[..10].iter().filter(|l| l.starts_with("snapshot ")).count(), 10);
    assert!(lines.contains(&"snapshot net - 2 procs=1 holders=1".to_owned()));
    assert!(lines.contains(&"snapshot uts - 2 procs=1 holders=0".to_owned()));
    assert!(lines.contains(&"snapshot initial uts - 1 procs=2 holders=0".to_owned()), "init and the other thread");
    assert_eq!(lines[10..], ["created ipc unshare 2", "joined ipc unshare 2", "left initial ipc exit 3"][..2]);
    assert!(changes.iter().zip(1..).all(|(c, n)| c.seq == n));
    let uts = w.world.find(w.toy.name(w.toy.of_type(a, NsType::Uts))).unwrap();
    assert_eq!(uts.creation().unwrap().via, Via::Unshare, "made while the snapshot ran, so its birth is known");
}

#[test]
fn stale_events_do_not_apply() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    let home = w.toy.of_type(INIT, NsType::Net);
    w.toy.setns(a, home);
    let late = w.toy.records();
    w.toy.unshare(a, UTS);
    let lines = [
        "left net unknown 2",
        "destroyed net unknown - lifetime",
        "created uts unshare 2",
        "left initial uts unshare 2",
        "joined initial net unknown 2",
        "joined uts unshare 2",
    ];
    assert_eq!(w.lines(), lines, "the lost move shows in the next record, the end in the reused number");
    assert_eq!(w.apply(&late), [""; 0]);
}

#[test]
fn what_happened_unseen_is_not_put_on_the_next_call() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    w.toy.unshare(a, NET);
    w.toy.records();
    w.toy.unshare(a, UTS);
    assert_eq!(
        w.lines(),
        [
            "created net unknown -",
            // The new namespace has the number of the first one.
            "left net unknown 2",
            "destroyed net unknown - lifetime",
            "created uts unshare 2",
            "left initial uts unshare 2",
            "joined net unknown 2",
            "joined uts unshare 2",
        ]
    );
}

#[test]
fn a_resync_finds_what_was_lost() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let (a, b) = (w.toy.clone(INIT, NET), w.toy.clone(INIT, UTS));
        let c = w.toy.clone(a, 0);
        w.toy.filter = false;
        w.lines();
        w.toy.exit(b);
        w.toy.unshare(c, IPC);
        w.toy.clone(c, 0);
        w.toy.records();
        let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
        let lost = Stamped { stamp, event: Event::Lost { count: 9, hook: None, cgroup: None } };
        assert_eq!(w.apply(&[lost]), ["lost 9"]);
        let events = w.toy.visit(true);
        assert_eq!(w.apply(&events), [""; 0]);
        w.toy.exit(a); // meanwhile
        let mut events = w.toy.records();
        events.push(w.toy.snapshot_end());
        let lines = w.apply(&events);
        let mut sorted = lines.clone();
        sorted.sort();
        let mut expected = [
            "created ipc unknown -",
            "joined ipc unknown 4",
            "joined ipc unknown 5",
            "joined net unknown 5",
            "left initial ipc unknown 4",
            "left net exit 2",
            "left uts unknown 3",
            // The number of its uts namespace is that of the ipc namespace now.
            "destroyed uts unknown - lifetime",
            "resynced",
        ];
        expected.sort_unstable();
        assert_eq!(sorted, expected);
        assert_eq!(lines.last().unwrap(), "resynced");
        assert_eq!(w.world.find(w.toy.name(w.toy.of_type(a.max(c), NsType::Net))).unwrap().nprocs(), Some(2));
    }
}

/// What the census says of a namespace, without its owner.
fn found(w: &mut Watch, ns: NsName) -> Stamped {
    let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
    let facts = NsFacts { ns, owner: None, parent: None, level: None, owner_uid: None };
    Stamped { stamp, event: Event::Namespace(facts) }
}

#[test]
fn a_resync_leaves_what_the_census_found() {
    for seen in [true, false] {
        let mut w = Watch::new(true);
        let a = w.toy.clone(INIT, 0);
        w.toy.unshare(a, NET);
        let net = w.toy.name(w.toy.of_type(a, NsType::Net));
        w.toy.exit(a);
        // The toy has ended it; the kernel keeps it, by a socket.
        let mut records = w.toy.records();
        records.retain(|record| !matches!(record.event, Event::Freed { .. }));
        w.apply(&records);
        let mut events = w.toy.visit(true);
        if seen {
            events.push(found(&mut w, net));
        }
        events.push(w.toy.snapshot_end());
        let ended = ["destroyed net exit 2 lifetime", "resynced"];
        assert_eq!(w.apply(&events), if seen { &ended[1..] } else { &ended });
    }
}

#[test]
fn a_record_from_before_the_census_may_come_after_it() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, 0);
        w.lines();
        let mut events = w.toy.visit(true);
        w.toy.unshare(a, NET);
        let net = w.toy.name(w.toy.of_type(a, NsType::Net));
        events.extend([found(&mut w, net), w.toy.snapshot_end()]);
        assert_eq!(w.apply(&events), ["created net unknown -", "resynced"]);
        assert_eq!(w.lines(), ["left initial net unshare 2", "joined net unshare 2"]);
    }
}

#[test]
fn what_was_held_before_a_census_that_did_not_find_it_is_held_no_more() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    w.lines();
    let net = w.toy.of_type(a, NsType::Net);
    w.toy.pin(a, net, nr::OPEN);
    let pinned = w.toy.records();
    w.toy.unpin(a, net, nr::CLOSE);
    w.toy.records();
    // Its record lies in the ring still when the census is taken; that of the end was lost.
    let mut events = w.toy.visit(true);
    events.extend(pinned);
    events.push(w.toy.snapshot_end());
    assert_eq!(w.apply(&events), ["pinned net open 2", "unpinned net unknown -", "resynced"]);
}

#[test]
fn what_is_held_does_not_end() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let net = w.toy.of_type(a, NsType::Net);
    w.toy.pin(a, net, nr::OPEN);
    w.toy.exit(a);
    w.lines();
    w.toy.unpin(INIT, net, nr::CLOSE);
    let mut records = w.toy.records();
    records.retain(|record| !matches!(record.event, Event::Unpinned { .. }));
    // Its last release was not seen, so nobody is blamed for its end.
    assert_eq!(w.apply(&records), ["unpinned net unknown -", "destroyed net unknown - lifetime"]);
}

#[test]
fn unknown_tasks_are_told_from_their_records() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let b = w.toy.clone(a, 0);
    w.toy.records();
    w.toy.exit(b);
    // Who leaves has joined.
    assert_eq!(w.lines(), ["created net unknown -", "joined net unknown 3", "left net exit 3"]);
    w.toy.unshare(a, NET);
    let lines = w.lines();
    // How it came into the old one was lost, and no line but this will say that it was there.
    assert_eq!(lines[0], "joined net unknown 2");
    assert_eq!(lines[1..4], ["created net unshare 2", "left net unshare 2", "joined net unshare 2"]);
    assert_eq!(lines[4], "destroyed net unshare 2", "its birth is not known");
    // Also when the record itself changes nothing.
    let c = w.toy.clone(a, 0);
    w.toy.records();
    let slots = w.toy.tasks[&c].slots;
    let record = w.toy.transition(hook::SETNS, Toy::call(nr::SETNS, NET, 0), c, &slots, &slots);
    let record = decode(&record).unwrap();
    assert_eq!(w.apply(&[record]), ["joined net unknown 4"]);
}

#[test]
fn time_of_day_comes_from_the_anchor() {
    let mut w = Watch::new(true);
    w.toy.clone(INIT, NET);
    let records = w.toy.records();
    let changes = w.changes(&records);
    let since_start = changes[0].stamp.boot_ns - 1_000_001_000;
    assert_eq!(changes[0].utc_ns, 1_700_000_000_000_000_000 + i64::try_from(since_start).unwrap());
    let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
    w.apply(&[Stamped { stamp, event: Event::Clock { utc_ns: 5 } }]);
    w.toy.exit(2);
    let records = w.toy.records();
    let changes = w.changes(&records);
    assert_eq!(changes[0].utc_ns, 5 + i64::try_from(changes[0].stamp.boot_ns - stamp.boot_ns).unwrap());
}

#[test]
fn containers_come_from_cgroup_paths() {
    fn test_container(path: &str) -> Option<Container> {
        path.strip_prefix("/c/").map(|id| Container { runtime: "runc", id: id.to_owned(), pod: None })
    }
    let mut w = Watch::new(true);
    w.world = World::new(test_container);
    let mut events = w.toy.start();
    events.push(w.toy.snapshot_end());
    let stamp = events[0].stamp;
    events.push(Stamped { stamp, event: Event::CgroupPath { cgroup: 7, path: "/c/abc".to_owned() } });
    events.push(Stamped { stamp, event: Event::CgroupPath { cgroup: 1, path: "/system".to_owned() } });
    w.apply(&events);
    let a = w.toy.clone(INIT, NET);
    let records = w.toy.records();
    assert!(w.changes(&records).iter().all(|c| c.container.is_none()));
    w.toy.tasks.get_mut(&a).unwrap().cgroup = 7;
    w.toy.exit(a);
    let records = w.toy.records();
    let changes = w.changes(&records);
    assert!(changes.iter().all(|c| c.container.as_ref().is_some_and(|c| c.id == "abc")), "{changes:?}");
    let b = w.toy.clone(INIT, 0);
    let task = Toy::info(&w.toy.tasks[&b]).key;
    w.apply(&[Stamped { stamp, event: Event::TaskCgroupPath { task, path: "/c/v1".to_owned() } }]);
    w.toy.unshare(b, NET);
    let records = w.toy.records();
    let changes = w.changes(&records);
    assert!(changes.iter().all(|c| c.container.as_ref().is_some_and(|c| c.id == "v1")));
}

#[test]
fn the_flags_of_setns_make_nothing() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, NET);
    let net = w.toy.of_type(a, NsType::Net);
    w.toy.records();
    let b = w.toy.clone(INIT, 0);
    w.toy.setns(b, net);
    let records = w.toy.records();
    let Some(Event::Transition { call: Call { via: Via::Setns, flags, .. }, .. }) =
        records.iter().map(|r| &r.event).find(|e| matches!(e, Event::Transition { .. }))
    else {
        panic!("{records:?}")
    };
    assert_eq!(*flags, NET);
    assert_eq!(w.apply(&records)[0], "created net unknown -");
}

#[test]
fn tracepoint_mode_tells_a_call_in_one_record() {
    let mut w = Watch::new(true);
    let a = w.toy.clone(INIT, 0);
    let before = w.toy.tasks[&a].slots;
    w.toy.unshare(a, USER | NET | PID);
    let after = w.toy.tasks[&a].slots;
    w.toy.records();
    let call = Toy::call(nr::UNSHARE, USER | NET | PID, 0);
    let record = decode(&w.toy.transition(hook::UNSHARE, call, a, &before, &after)).unwrap();
    assert_eq!(
        w.apply(&[record]),
        [
            "created net unshare 2",
            "created user unshare 2",
            "created pid unshare 2",
            "left initial net unshare 2",
            "left initial user unshare 2",
            "joined net unshare 2",
            "joined user unshare 2",
        ]
    );
    let call = Toy::call(nr::UNSHARE, NET | UTS, -28);
    let record = decode(&w.toy.transition(hook::UNSHARE, call, a, &after, &after)).unwrap();
    assert_eq!(
        w.apply(&[record]),
        ["denied net unshare 2 errno=28 named=false", "denied uts unshare 2 errno=28 named=false"]
    );
    // The end is found by polling, who ended it was seen.
    let (net, inum) = (w.toy.of_type(a, NsType::Net), w.toy.spaces[&after[2]].inum);
    let name = w.toy.name(net);
    w.toy.exit(a);
    let records: Vec<Stamped> =
        w.toy.records().into_iter().filter(|r| !matches!(r.event, Event::Freed { .. })).collect();
    assert_eq!(w.apply(&records), ["left net exit 2", "left user exit 2"]);
    assert_eq!(w.world.take_suspects().len(), 3, "the pid namespace never had members");
    let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
    let other = Event::Freed { inum, id: Some(1), ns_type: Some(NsType::Net) };
    let freed = Event::Freed { inum, id: name.id, ns_type: Some(NsType::Net) };
    let polled = [other, freed].map(|event| Stamped { stamp, event });
    assert_eq!(w.apply(&polled), ["destroyed net exit 2 lifetime"]);
}

#[test]
fn the_return_of_a_call_confirms_it() {
    for ids in [true, false] {
        let mut w = Watch::new(ids);
        let a = w.toy.clone(INIT, 0);
        let before = w.toy.tasks[&a].slots;
        w.toy.unshare(a, USER | NET);
        let after = w.toy.tasks[&a].slots;
        assert_eq!(w.lines().len(), 6);
        let call = Toy::call(nr::UNSHARE, USER | NET, 0);
        let record = decode(&w.toy.transition(hook::UNSHARE, call, a, &before, &after)).unwrap();
        assert_eq!(w.apply(&[record]), [""; 0]);
    }
}

#[test]
fn a_loss_during_the_snapshot_is_told_after_it() {
    let mut toy = Toy::new(true);
    let mut w = Watch { world: World::new(no_container), toy: Toy::new(true) };
    let mut events = toy.start();
    let stamp = Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 };
    events.push(Stamped { stamp, event: Event::Lost { count: 3, hook: Some("setns".into()), cgroup: None } });
    events.extend(toy.visit(false));
    events.push(toy.snapshot_end());
    let lines = w.apply(&events);
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[8], "lost 3");
}

#[test]
fn a_loss_during_a_resync_is_not_repaired_by_it() {
    let mut w = Watch::new(true);
    let mut census = w.toy.visit(true);
    let stamp = Stamp { boot_ns: w.toy.tick(), cpu: 0, seq: 0 };
    census.push(Stamped { stamp, event: Event::Lost { count: 3, hook: Some("setns".into()), cgroup: None } });
    census.push(w.toy.snapshot_end());
    assert_eq!(w.apply(&census), ["lost 3"]);
    let mut next = w.toy.visit(true);
    next.push(w.toy.snapshot_end());
    assert_eq!(w.apply(&next), ["resynced"]);
}
