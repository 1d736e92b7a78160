//! Namespaces that outlive their members, and what a container makes for the first time.

mod model_support;

use model_support::{CGROUP, INIT, IPC, MNT, NET, PID, Toy, UTS, nr};
use nstrace::{
    detect::Finding,
    event::{Event, Stamp, Stamped},
    model::{What, World},
};

/// What is found of this rule in what the toy has done since.
fn found(toy: &mut Toy, world: &mut World, rule: &str) -> Vec<Finding> {
    let findings = toy.told(world).into_iter().filter_map(|change| match change.what {
        What::Finding(finding) => Some(*finding),
        _ => None,
    });
    findings.filter(|finding| finding.rule == rule).collect()
}

/// A clock event so much later.
fn wait(toy: &mut Toy, world: &mut World, seconds: u64) -> usize {
    let stamp = Stamp { boot_ns: toy.tick() + seconds * 1_000_000_000, cpu: 0, seq: 0 };
    let mut changes = Vec::new();
    world.apply(&Stamped { stamp, event: Event::Clock { utc_ns: 0 } }, &mut changes);
    changes.iter().filter(|change| matches!(&change.what, What::Finding(found) if found.rule == "NST-022")).count()
}

fn container(toy: &mut Toy) -> u32 {
    let pid = toy.clone(INIT, MNT | PID | IPC | UTS | NET | CGROUP);
    toy.runs(pid, 500);
    pid
}

#[test]
fn what_a_container_keeps_is_told_at_once() {
    let mut toy = Toy::new(true);
    let mut world = toy.watched();
    let shell = container(&mut toy);
    let child = toy.clone(shell, NET);
    let net = toy.tasks[&child].slots[2];
    toy.pin(shell, net, nr::MOUNT);
    assert_eq!(found(&mut toy, &mut world, "NST-022"), []);
    toy.exit(child);
    let told = found(&mut toy, &mut world, "NST-022");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].ns.map(|ns| ns.name.inum), Some(toy.name(net).inum));
    // Entered and left again: it is told once.
    let visitor = toy.clone(shell, 0);
    toy.setns(visitor, net);
    toy.exit(visitor);
    assert_eq!(found(&mut toy, &mut world, "NST-022"), []);
}

#[test]
fn the_host_is_given_time_to_clean_up() {
    let mut toy = Toy::new(true);
    let mut world = toy.watched();
    for cleans_up in [true, false] {
        let service = toy.clone(INIT, NET);
        let net = toy.tasks[&service].slots[2];
        toy.pin(INIT, net, nr::MOUNT);
        toy.exit(service);
        if cleans_up {
            toy.unpin(INIT, net, nr::UMOUNT);
        }
        assert_eq!(found(&mut toy, &mut world, "NST-022"), []);
        assert_eq!(wait(&mut toy, &mut world, 1), 0);
        assert_eq!(wait(&mut toy, &mut world, 20), usize::from(!cleans_up));
        assert_eq!(wait(&mut toy, &mut world, 40), 0, "once");
    }
}

#[test]
fn the_first_namespace_of_a_type_that_a_container_makes() {
    let mut toy = Toy::new(true);
    let mut world = toy.watched();
    let shell = container(&mut toy);
    assert_eq!(found(&mut toy, &mut world, "NST-023"), [], "it started with those");
    let types = |told: Vec<Finding>| told.iter().filter_map(|f| f.ns.map(|ns| ns.name.ns_type.to_string())).collect();
    toy.clone(shell, PID | NET);
    let told: Vec<String> = types(found(&mut toy, &mut world, "NST-023"));
    assert_eq!(told, ["pid"]);
    toy.clone(shell, PID | MNT);
    let told: Vec<String> = types(found(&mut toy, &mut world, "NST-023"));
    assert_eq!(told, ["mnt"], "the other one was told");
    toy.clone(INIT, PID | MNT);
    assert_eq!(found(&mut toy, &mut world, "NST-023"), [], "the host may");
}
