//! The posture of containers at a moment that was recorded: what the kernel told is judged, what nobody recorded is unknown.

mod model_support;

use model_support::{CGROUP, HOST_ROOT, INIT, IPC, MNT, NET, PID, Toy, UTS};
use nstrace::{
    audit::{from_world, report::Report, verdict::Verdict},
    engine::Engines,
    event::{Event, Stamp, Stamped},
    model::World,
};

#[test]
fn what_was_recorded_is_judged_and_the_rest_is_unknown() {
    let mut toy = Toy::new(true);
    let mut world = World::new(nstrace::container::from_cgroup_path);
    let stamp = Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 };
    let start: Vec<_> = toy.start().into_iter().chain([Stamped { stamp, event: Event::SnapshotEnd }]).collect();
    let shell = toy.clone(INIT, MNT | IPC | UTS | NET | CGROUP); // not PID
    toy.runs(shell, 500);
    let child = toy.clone(shell, 0);
    let service = toy.clone(INIT, MNT | PID);
    toy.runs(service, HOST_ROOT);
    for event in start.into_iter().chain(toy.records()) {
        world.apply(&event, &mut Vec::new());
    }
    let facts = from_world::facts(&world, &Engines::default());
    assert_eq!((facts.containers.len(), facts.sandboxes.len()), (1, 1));
    let pids: Vec<u32> = facts.containers[0].processes.iter().map(|process| process.pid).collect();
    assert_eq!((facts.containers[0].init.pid, pids), (shell, vec![shell, child]));
    let report = Report::new(&facts);
    let verdict = |id: &str| {
        let verdicts = &report.containers[0].verdicts;
        let row = verdicts.iter().find(|row| row.id == id);
        row.unwrap_or_else(|| panic!("{id} is judged: {verdicts:?}")).verdict
    };
    assert!(matches!(verdict("NST-021.host-pid"), Verdict::Finding(_)));
    assert_eq!(verdict("NST-021.host-net"), Verdict::Pass);
    let of_mounts = ["NST-021.host-path", "NST-021.control-socket", "NST-021.memory-limit"];
    assert_eq!(of_mounts.map(verdict), [Verdict::Unknown; 3]);
}
