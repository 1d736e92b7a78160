//! Who is contained, and which of its moves leave the container: escapes and what looks like them, on a toy kernel.

mod model_support;

use model_support::{CGROUP, HOST_ROOT, INIT, IPC, MNT, NET, Ns, PID, Toy, USER, UTS};
use nstrace::{
    decode::decode,
    detect::{Direction, Finding, Severity},
    model::{Change, What, World},
};
use nstrace_common::{deed::what, record::hook, task::PF_KTHREAD};

/// What a runtime asks for.
const OWN: u64 = MNT | PID | IPC | UTS | NET | CGROUP;
const ROOT: u64 = 500;
const PROC: u32 = 0x9fa0;

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

    /// What is found in what the toy has done since.
    fn found(&mut self) -> Vec<Finding> {
        let changes = self.toy.told(&mut self.world);
        let finding = |change: Change| match change.what {
            What::Finding(finding) => Some(*finding),
            _ => None,
        };
        // What a container starts with is told in policy_exceptions.rs, what it makes in detect_outlived.rs.
        let is_meant = |finding: &Finding| !matches!(finding.rule.as_ref(), "NST-021" | "NST-022" | "NST-023");
        changes.into_iter().filter_map(finding).filter(is_meant).collect()
    }

    /// Rule and type of namespace of each of them.
    fn rules(&mut self) -> Vec<(String, Option<String>)> {
        let short = |f: Finding| (f.rule.into_owned(), f.ns.map(|ns| ns.name.ns_type.to_string()));
        self.found().into_iter().map(short).collect()
    }

    /// A runtime makes a container: the pid of its first task, which has executed its program.
    fn container(&mut self, creator: u32, root: u64) -> u32 {
        let pid = self.toy.clone(creator, OWN);
        self.toy.runs(pid, root);
        pid
    }

    fn slot(&self, tid: u32, slot: usize) -> Ns {
        self.toy.tasks[&tid].slots[slot]
    }
}

fn rule(id: &str, ns: Option<&str>) -> (String, Option<String>) {
    (id.to_owned(), ns.map(str::to_owned))
}

#[test]
fn a_contained_task_that_enters_the_host_leaves() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let child = bench.toy.clone(shell, 0);
    assert_eq!(bench.found(), [], "a container is no finding");
    for slot in [0, 2, 3, 4] {
        let host = bench.slot(INIT, slot);
        bench.toy.setns(child, host);
    }
    let found = bench.found();
    let left: Vec<_> = found.iter().map(|f| (f.rule.as_ref(), f.ns.map(|ns| ns.initial), f.direction)).collect();
    assert_eq!(left, [("NST-001", Some(true), Some(Direction::Leave)); 4]);
    assert!(found.iter().all(|f| !f.evidence.is_empty() && f.from.is_some()), "{found:?}");
    assert!(found[0].explain.contains("without CAP_SYS_ADMIN over user:["), "{}", found[0].explain);
}

#[test]
fn whoever_comes_from_the_host_enters_and_may_go_back() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let admin = bench.toy.clone(INIT, 0);
    for slot in [2, 0] {
        let theirs = bench.slot(shell, slot);
        bench.toy.setns(admin, theirs);
    }
    let home = bench.slot(INIT, 2);
    bench.toy.setns(admin, home);
    assert_eq!(bench.found(), []);
}

#[test]
fn what_an_administrator_executes_inside_is_of_the_container() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let exec = bench.toy.clone(INIT, 0);
    for slot in [2, 3, 4, 0] {
        let theirs = bench.slot(shell, slot);
        bench.toy.setns(exec, theirs);
    }
    bench.toy.runs(exec, ROOT);
    assert_eq!(bench.found(), []);
    let host = bench.slot(INIT, 2);
    bench.toy.setns(exec, host);
    assert_eq!(bench.rules(), [rule("NST-001", Some("net"))]);
}

#[test]
fn a_runtime_in_the_middle_of_its_work_is_not_contained() {
    let mut bench = Bench::new();
    let runtime = bench.toy.clone(INIT, 0);
    bench.toy.unshare(runtime, MNT | NET);
    // A program of the host, executed in the container's mount namespace before that has a root of its own: a hook.
    let (mnt, host) = (bench.slot(runtime, 0), bench.slot(INIT, 0));
    bench.toy.exec(runtime);
    bench.toy.placed(runtime, HOST_ROOT, host, mnt);
    let home = bench.slot(INIT, 2);
    bench.toy.setns(runtime, home);
    assert_eq!(bench.found(), []);
}

#[test]
fn a_container_whose_first_program_is_the_hosts_is_one() {
    let mut bench = Bench::new();
    let shell = bench.toy.clone(INIT, OWN);
    let (own, host) = (bench.slot(shell, 0), bench.slot(INIT, 0));
    bench.toy.exec(shell);
    bench.toy.placed(shell, ROOT, host, own);
    let found = bench.found();
    assert_eq!(found.iter().map(|f| (f.rule.as_ref(), f.severity)).collect::<Vec<_>>(), [("NST-003", Severity::Low)]);
    let net = bench.slot(INIT, 2);
    bench.toy.setns(shell, net);
    assert_eq!(bench.rules(), [rule("NST-001", Some("net"))]);
    // Whoever enters it with a program of the host is not of it.
    let admin = bench.toy.clone(INIT, 0);
    bench.toy.setns(admin, own);
    bench.toy.exec(admin);
    bench.toy.placed(admin, ROOT, host, own);
    bench.toy.setns(admin, net);
    assert_eq!(bench.found(), []);
}

#[test]
fn a_service_in_a_sandbox_goes_back() {
    let mut bench = Bench::new();
    let service = bench.toy.clone(INIT, 0);
    bench.toy.unshare(service, MNT | NET);
    bench.toy.runs(service, HOST_ROOT);
    for slot in [0, 2] {
        let host = bench.slot(INIT, slot);
        bench.toy.setns(service, host);
    }
    assert_eq!(bench.found(), []);
}

#[test]
fn a_container_that_is_made_step_by_step_is_one_too() {
    let mut bench = Bench::new();
    let script = bench.toy.clone(INIT, MNT | NET);
    bench.toy.runs(script, HOST_ROOT); // a shell, that mounts this and that
    let shell = bench.toy.clone(script, 0);
    bench.toy.runs(shell, ROOT); // after pivot_root(2)
    bench.toy.runs(shell, ROOT + 7); // chroot(2) inside a container makes no other one
    let own = bench.slot(script, 2);
    bench.toy.setns(shell, own);
    let other = bench.toy.clone(script, 0);
    bench.toy.runs(other, ROOT);
    assert_eq!(bench.found(), []);
    let host = bench.slot(INIT, 2);
    bench.toy.setns(script, host);
    assert_eq!(bench.found(), [], "the sandbox around it goes back");
    bench.toy.setns(shell, host);
    bench.toy.setns(other, host);
    assert_eq!(bench.rules(), [rule("NST-001", Some("net")), rule("NST-001", Some("net"))]);
}

#[test]
fn a_container_goes_about_among_what_it_made() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let maker = bench.toy.clone(shell, 0);
    let (old, old_mnt) = (bench.slot(shell, 2), bench.slot(shell, 0));
    bench.toy.unshare(maker, NET);
    let made = bench.slot(maker, 2);
    bench.toy.pin(shell, made, model_support::nr::MOUNT);
    bench.toy.setns(maker, old);
    bench.toy.unshare(maker, MNT);
    bench.toy.runs(maker, ROOT);
    bench.toy.setns(maker, old_mnt);
    bench.toy.setns(shell, made);
    assert_eq!(bench.found(), []);
}

#[test]
fn one_container_in_another() {
    let mut bench = Bench::new();
    let outer = bench.container(INIT, ROOT);
    let inner = bench.container(outer, ROOT + 1);
    bench.toy.clone(outer, 0); // stays where it is
    let (inner_net, outer_net) = (bench.slot(inner, 2), bench.slot(outer, 2));
    bench.toy.setns(outer, inner_net);
    bench.toy.setns(outer, outer_net);
    assert_eq!(bench.found(), [], "the outer one may look into what it holds");
    bench.toy.setns(inner, outer_net);
    assert_eq!(bench.rules(), [rule("NST-001", Some("net"))]);
    let host = bench.slot(INIT, 3);
    bench.toy.setns(outer, host);
    assert_eq!(bench.rules(), [rule("NST-001", Some("ipc"))]);
}

#[test]
fn neighbours_are_lateral_unless_they_share_from_birth() {
    let mut bench = Bench::new();
    let a = bench.container(INIT, ROOT);
    let b = bench.container(INIT, ROOT + 1);
    // A sidecar: born into the network namespace of a.
    let side = bench.toy.clone(INIT, 0);
    let a_net = bench.slot(a, 2);
    bench.toy.setns(side, a_net);
    bench.toy.unshare(side, MNT | IPC);
    bench.toy.runs(side, ROOT + 2);
    let side_ipc = bench.slot(side, 3);
    bench.toy.unshare(side, NET);
    bench.toy.setns(side, a_net);
    assert_eq!(bench.found(), []);
    bench.toy.setns(b, a_net);
    bench.toy.setns(b, side_ipc);
    assert_eq!(bench.rules(), [rule("NST-017", Some("net")), rule("NST-017", Some("ipc"))]);
}

#[test]
fn refused_attempts_are_no_escapes() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    bench.toy.unshare_fails(shell, USER, 1);
    let host = bench.slot(INIT, 2);
    bench.toy.install(shell, host, 1);
    assert_eq!(bench.found(), []);
}

#[test]
fn a_switch_that_no_call_makes_is_forged() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    bench.found();
    let host = bench.slot(INIT, 2);
    let before = bench.toy.tasks[&shell].slots;
    let mut after = before;
    after[2] = host;
    let call = Toy::call(16, 0, 0); // ioctl(2)
    let record = bench.toy.transition(hook::SWITCH_TASK_NAMESPACES, call, shell, &before, &after);
    let mut changes = Vec::new();
    bench.world.apply(&decode(&record).expect("a record"), &mut changes);
    let found = |change: &Change| matches!(&change.what, What::Finding(found) if found.rule == "NST-012");
    assert!(changes.iter().any(found), "{changes:?}");
}

#[test]
fn a_foreign_handle_is_found_and_an_own_one_is_not() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let (own, host) = (bench.slot(shell, 2), bench.slot(INIT, 2));
    bench.toy.deed(shell, what::OPEN, |toy, deed| deed.ns = toy.named(own));
    assert_eq!(bench.found(), []);
    bench.toy.deed(shell, what::OPEN, |toy, deed| deed.ns = toy.named(host));
    assert_eq!(bench.rules(), [rule("NST-002", Some("net"))]);
    bench.toy.deed(shell, what::OPEN, |toy, deed| deed.ns = toy.named(host));
    assert_eq!(bench.found(), [], "told once");
}

#[test]
fn sinks_are_told_by_file_system_and_entry_whoever_is_contained_or_tricked() {
    let mut bench = Bench::new();
    let sink = |toy: &Toy, mnt, deed: &mut nstrace_common::deed::Deed| {
        deed.place = toy.place(mnt, PROC);
        deed.number = 2;
        deed.name[..12].copy_from_slice(b"core_pattern");
        deed.detail[..6].copy_from_slice(b"kernel");
    };
    let shell = bench.container(INIT, ROOT);
    let mnt = bench.slot(shell, 0);
    bench.toy.deed(shell, what::OPEN, |toy, deed| sink(toy, mnt, deed));
    assert_eq!(bench.rules(), [rule("NST-005", None)]);
    let runtime = bench.toy.clone(INIT, MNT);
    let mnt = bench.slot(runtime, 0);
    bench.toy.deed(runtime, what::OPEN, |toy, deed| sink(toy, mnt, deed));
    assert_eq!(bench.rules(), [rule("NST-005", None)]);
    let service = bench.toy.clone(INIT, MNT);
    let mnt = bench.slot(service, 0);
    bench.toy.runs(service, HOST_ROOT);
    bench.toy.deed(service, what::OPEN, |toy, deed| sink(toy, mnt, deed));
    assert_eq!(bench.found(), [], "a service of the host may");
}

#[test]
fn a_program_that_a_container_could_name_is_run() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let helper = |toy: &mut Toy, path: &[u8]| {
        toy.deed(INIT, what::HELPER, |_, deed| {
            deed.task.flags = PF_KTHREAD; // a work queue
            deed.detail[..path.len()].copy_from_slice(path);
        });
    };
    helper(&mut bench.toy, b"/sbin/modprobe");
    assert_eq!(bench.found(), []);
    let mnt = bench.slot(shell, 0);
    bench.toy.deed(shell, what::OPEN, |toy, deed| {
        deed.place = toy.place(mnt, 0x0027_e0eb);
        deed.number = 2;
        deed.name[..13].copy_from_slice(b"release_agent");
    });
    helper(&mut bench.toy, b"/sbin/modprobe");
    assert_eq!(bench.rules(), [rule("NST-005", None)]);
    // Of a task that wants a module: another file names the program for that.
    bench.toy.deed(shell, what::HELPER, |_, deed| deed.detail[..14].copy_from_slice(b"/sbin/modprobf"));
    assert_eq!(bench.found(), []);
    helper(&mut bench.toy, b"/some/where/pwn");
    assert_eq!(bench.rules(), [rule("NST-006", None)]);
    helper(&mut bench.toy, b"/some/where/pwn");
    assert_eq!(bench.found(), [], "the same again");
    helper(&mut bench.toy, b"/some/where/else");
    assert_eq!(bench.rules(), [rule("NST-006", None)], "another program is another finding");
}

#[test]
fn files_of_another_mount_namespace() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let (own, host) = (bench.slot(shell, 0), bench.slot(INIT, 0));
    bench.toy.deed(shell, what::OPEN, |toy, deed| deed.place = toy.place(own, 0xef53));
    assert_eq!(bench.found(), []);
    bench.toy.deed(shell, what::OPEN, |toy, deed| {
        deed.place = toy.place(host, 0xef53);
        deed.number = 2;
    });
    assert_eq!(bench.rules(), [rule("NST-003", Some("mnt")), rule("NST-014", None)]);
    // A program that starts with its working directory on the host: a leaked descriptor.
    let exec = bench.toy.clone(shell, 0);
    bench.toy.exec(exec);
    bench.toy.placed(exec, ROOT, own, host);
    assert_eq!(bench.rules(), [rule("NST-003", Some("mnt"))]);
}

#[test]
fn tasks_of_the_host_are_out_of_reach_and_those_inside_are_not() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let child = bench.toy.clone(shell, 0);
    for (other, mode, expected) in [(child, 0x12, false), (INIT, 0x0d, false), (INIT, 0x09, true), (INIT, 0x12, true)] {
        bench.toy.deed(shell, what::ACCESS, |toy, deed| {
            (deed.other, deed.other_slots) = toy.as_other(other);
            deed.flags = mode;
        });
        let found = bench.found();
        assert_eq!(found.iter().map(|f| f.rule.as_ref()).collect::<Vec<_>>(), vec!["NST-004"; usize::from(expected)]);
    }
    bench.toy.deed(INIT, what::ACCESS, |toy, deed| {
        (deed.other, deed.other_slots) = toy.as_other(shell);
        deed.flags = 0x12;
    });
    assert_eq!(bench.found(), [], "from outside");
}

#[test]
fn whoever_looks_at_all_tasks_is_told_once_and_whoever_changes_something_by_way_of_one_is_worse() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let others = [INIT, bench.toy.clone(INIT, NET), bench.toy.clone(INIT, NET)];
    let mut severities = |nr: i32, others: &[u32]| {
        for &other in others {
            bench.toy.deed(shell, what::ACCESS, |toy, deed| {
                (deed.other, deed.other_slots) = toy.as_other(other);
                deed.flags = 0x09;
                deed.call = Toy::call(nr, 0, 0);
            });
        }
        bench.found().iter().map(|found| found.severity).collect::<Vec<_>>()
    };
    const OPENAT: i32 = 257;
    const MKDIR: i32 = 83;
    assert_eq!(severities(OPENAT, &others), [Severity::Low]);
    assert_eq!(severities(MKDIR, &others[..1]), [Severity::High]);
}

#[test]
fn what_is_mounted_for_others_to_see() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let (own, host) = (bench.slot(shell, 0), bench.slot(INIT, 0));
    for elsewhere in [own, host] {
        bench.toy.deed(shell, what::PROPAGATED, |toy, deed| {
            deed.place = toy.place(own, 0xef53);
            deed.ns = toy.named(elsewhere);
        });
    }
    let found = bench.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].rule.as_ref(), found[0].direction), ("NST-019", Some(Direction::Leave)));
    assert_eq!(found[0].ns.map(|ns| ns.initial), Some(true));
}

#[test]
fn the_host_executes_a_file_of_a_container() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let admin = bench.toy.clone(INIT, 0);
    let (theirs, host) = (bench.slot(shell, 0), bench.slot(INIT, 0));
    bench.toy.placed(admin, HOST_ROOT, theirs, host);
    let found = bench.found();
    assert_eq!(
        found.iter().map(|f| (f.rule.as_ref(), f.severity)).collect::<Vec<_>>(),
        [("NST-020", Severity::Critical)]
    );
}

#[test]
fn a_node_of_no_device_is_no_device() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    let own = bench.slot(shell, 0);
    for (device, expected) in [(42, 0), (8 << 20 | 1, 1)] {
        bench.toy.deed(shell, what::MKNOD, |toy, deed| {
            deed.place = toy.place(own, 0xef53);
            (deed.place.mode, deed.place.rdev) = (0o060_600, device);
        });
        assert_eq!(bench.rules(), vec![rule("NST-007", None); expected]);
    }
}

#[test]
fn a_checkpoint_keeps_who_is_contained() {
    let mut bench = Bench::new();
    let shell = bench.container(INIT, ROOT);
    bench.found();
    let kept = serde_json::to_vec(&bench.world.checkpoint().expect("it is live")).expect("it is data");
    let kept = serde_json::from_slice(&kept).expect("it was written so");
    bench.world = World::restore(kept, nstrace::container::from_cgroup_path).expect("it was a world");
    let host = bench.slot(INIT, 2);
    bench.toy.setns(shell, host);
    assert_eq!(bench.rules(), [rule("NST-001", Some("net"))]);
}

#[test]
fn network_capabilities_over_an_own_user_namespace_open_what_was_closed() {
    /// `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_ADMIN` (linux/capability.h).
    const NET_ADMIN: u32 = 12;
    const NET_RAW: u32 = 13;
    const SYS_ADMIN: u32 = 21;
    for (permitted, used, severity) in [
        (0, NET_RAW, Severity::Medium),
        (0, NET_ADMIN, Severity::Low),
        (1 << SYS_ADMIN, NET_RAW, Severity::Info),
        (1 << SYS_ADMIN, NET_ADMIN, Severity::Info),
    ] {
        let mut bench = Bench::new();
        bench.toy.permitted = permitted;
        let shell = bench.container(INIT, ROOT);
        let child = bench.toy.clone(shell, USER | NET);
        assert_eq!(bench.found(), []);
        let user = bench.slot(child, 5);
        for capability in [SYS_ADMIN, used] {
            bench.toy.deed(child, what::CAPABILITY, |toy, deed| {
                deed.flags = capability;
                deed.ns = toy.named(user);
            });
        }
        let found = bench.found();
        let seen: Vec<(&str, Severity)> = found.iter().map(|f| (f.rule.as_ref(), f.severity)).collect();
        assert_eq!(seen, [("NST-015", severity)], "{permitted:#x}");
        assert_eq!(found[0].ns.map(|ns| ns.name), Some(bench.toy.name(user)));
    }
}
