//! Offsets and plans on reduced BTF of real kernels (made by `examples/reduce_btf.rs`): Debian's 5.10, 6.1, 6.12 and 7.3 cloud kernels,
//! and a 6.18 without kprobes.

use nstrace::kernel::{
    btf::{Btf, BtfError},
    facts::{Attach, FACTS, Hook},
    layout::resolve,
    plan::{Offer, plan},
    report::{AttachMode, Coverage, FactReport},
};
use nstrace_common::{
    layout::ABSENT,
    slots::{IPC, MNT, NET, PID, USER, UTS},
};

const KERNELS: [(&str, &[u8]); 5] = [
    ("5.10", include_bytes!("btf/5.10.btf")),
    ("6.1", include_bytes!("btf/6.1.btf")),
    ("6.12", include_bytes!("btf/6.12.btf")),
    ("6.18", include_bytes!("btf/6.18.btf")),
    ("7.3", include_bytes!("btf/7.3.btf")),
];

fn btf(kernel: &str) -> Btf {
    let (_, bytes) = KERNELS.iter().find(|(name, _)| *name == kernel).expect("a fixture");
    Btf::parse(bytes.to_vec()).expect("fixtures are whole")
}

#[test]
fn every_kernel_has_every_required_member() {
    for (kernel, _) in KERNELS {
        assert_eq!(resolve(&btf(kernel)).missing, Vec::<String>::new(), "{kernel}");
    }
}

/// Values read independently with pahole-like tools from the same kernels.
#[test]
fn offsets_are_those_of_the_kernels() {
    // nsproxy of task, real_cred, thread_pid, start_boottime, ns_common.inum, net.ns, user_namespace.ns, cred.user_ns
    let expected = [
        ("5.10", [2824, 2712, 2336, 2544, 16, 120, 248, 136]),
        ("6.1", [3064, 2952, 2520, 2784, 16, 128, 240, 136]),
        ("6.12", [3064, 2952, 2536, 2784, 16, 120, 216, 144]),
        ("7.3", [3512, 3384, 2976, 3224, 88, 192, 256, 144]),
    ];
    for (kernel, offsets) in expected {
        let l = resolve(&btf(kernel)).layout;
        let found = [
            l.task_nsproxy,
            l.task_real_cred,
            l.task_thread_pid,
            l.task_start_boottime,
            l.ns_common_inum,
            l.ns_common[NET],
            l.ns_common[USER],
            l.cred_user_ns,
        ];
        assert_eq!(found, offsets, "{kernel}");
        assert_eq!([l.nsproxy_uts, l.nsproxy_net, l.nsproxy_cgroup], [8, 40, 64], "{kernel}");
        assert_eq!((l.upid_size, l.upid_nr, l.upid_ns), (16, 0, 8), "{kernel}");
    }
    let old = resolve(&btf("5.10")).layout;
    assert_eq!([old.ns_common[MNT], old.ns_common[UTS], old.ns_common[IPC], old.ns_common[PID]], [8, 416, 832, 120]);
}

#[test]
fn members_that_only_some_kernels_have_are_absent_elsewhere() {
    for (kernel, has_id) in [("5.10", false), ("6.1", false), ("6.12", false), ("6.18", true), ("7.3", true)] {
        let layout = resolve(&btf(kernel)).layout;
        assert_eq!(layout.ns_common_ns_id != ABSENT, has_id, "{kernel}: ns_id");
        assert_eq!(layout.ns_common_ns_type != ABSENT, has_id, "{kernel}: ns_type");
        assert_eq!(layout.proc_ns_operations_type != ABSENT, !has_id, "{kernel}: ops->type");
    }
}

fn offer(btf: &Btf) -> Offer {
    let mut offer = Offer::default();
    for hook in FACTS.iter().flat_map(|f| f.candidates).flat_map(|c| c.hooks) {
        let target = hook.attach.target();
        if matches!(hook.attach, Attach::TpBtf(_)) {
            if btf.has_tracepoint(target) {
                offer.tracepoints.insert(target.to_owned());
            }
        } else if btf.has_function(target) {
            offer.functions.insert(target.to_owned());
        }
    }
    if !offer.functions.contains("__ns_common_free") {
        offer.unusable.insert("nsfs handle", "this kernel has no nsfs file handles".to_owned());
    }
    offer
}

/// `fact: kind target, …` of what is attached.
fn attached(facts: &[FactReport]) -> Vec<String> {
    let line = |f: &FactReport| {
        let used: Vec<String> =
            f.hooks.iter().filter(|h| h.rejected.is_none()).map(|h| format!("{} {}", h.kind, h.target)).collect();
        format!("{}: {}", f.fact, used.join(", "))
    };
    facts.iter().map(line).collect()
}

#[test]
fn auto_takes_the_best_of_each_kernel() {
    for (kernel, freed, first_pin) in [
        ("5.10", "proc_free_inum", "__ns_get_path"),
        ("6.1", "proc_free_inum", "__ns_get_path"),
        ("6.12", "proc_free_inum", "nsfs_init_inode"),
        ("7.3", "__ns_common_free", "nsfs_init_inode"),
    ] {
        for preemptible in [false, true] {
            let plan = plan(&Offer { preemptible, ..offer(&btf(kernel)) }, None);
            assert!(plan.facts.iter().all(|f| f.coverage == Coverage::Full), "{kernel}");
            let lines = attached(&plan.facts);
            // Where tasks can be preempted inside trampoline programs kprobes are better, which they cannot be.
            let way = if preemptible { "kprobe" } else { "fentry" };
            let best = |function: &str| format!("{way} {function}");
            let both = |function: &str| {
                let other = if preemptible { "fentry" } else { "kprobe" };
                format!("{way} {function}, {other} {function}")
            };
            let again =
                if preemptible { ", fexit kernel_clone (second copy), fexit kernel_clone (third copy)" } else { "" };
            for expected in [
                format!("setns-unshare: {}", best("switch_task_namespaces")),
                format!("user-ns: {}", best("commit_creds")),
                format!("denied-clone: fexit kernel_clone{again}"),
                // Also reached in softirqs.
                format!("destroyed: {}", both(freed)),
                // At its return, when the first file can be found.
                format!("pinned: {}", best(first_pin)).replace("fentry __ns_get_path", "fexit __ns_get_path"),
                format!("unpinned: {}", best("nsfs_evict")),
            ] {
                assert!(lines.contains(&expected), "{kernel}: no {expected:?} in {lines:#?}");
            }
        }
    }
}

#[test]
fn a_forced_mode_uses_nothing_else() {
    for (kernel, _) in KERNELS {
        let offer = offer(&btf(kernel));
        for mode in AttachMode::ALL {
            let plan = plan(&offer, Some(mode));
            for hook in &plan.hooks {
                let own = hook.attach.mode().is_none_or(|m| m == mode);
                assert!(own, "{kernel} --attach {}: {hook:?}", mode.name());
            }
            let partial: Vec<&str> =
                plan.facts.iter().filter(|f| f.coverage != Coverage::Full).map(|f| f.fact).collect();
            match mode {
                AttachMode::Tracepoint => assert!(!partial.is_empty(), "{kernel}"),
                // A kprobe in an interrupt of another one is skipped, and not everywhere counted.
                AttachMode::Kprobe if ["5.10", "6.1", "6.12"].contains(&kernel) => {
                    assert_eq!(partial, ["destroyed"], "{kernel}");
                }
                AttachMode::Kprobe | AttachMode::Fentry => assert!(partial.is_empty(), "{kernel}: {partial:?}"),
            }
        }
    }
}

#[test]
fn preemptible_kernels_get_second_copies_where_no_kprobe_is() {
    let mut offer = offer(&btf("7.3"));
    offer.preemptible = true;
    let programs = |mode| -> Vec<&str> { plan(&offer, mode).hooks.iter().map(|h| h.program).collect() };
    let auto = programs(None);
    assert!(auto.contains(&"task_newtask_again") && auto.contains(&"sched_process_exit_again"), "{auto:?}");
    assert!(!auto.contains(&"fentry_commit_creds_again"), "its kprobe is enough: {auto:?}");
    let fentry = programs(Some(AttachMode::Fentry));
    assert!(fentry.contains(&"fentry_commit_creds_again") && fentry.contains(&"fentry_ns_common_free_again"));
    assert!(fentry.contains(&"fentry_commit_creds_third") && fentry.contains(&"fentry_ns_common_free_third"));
    assert!(!fentry.contains(&"fentry_proc_free_inum_again"), "its first copy is not used: {fentry:?}");
    let kprobe = programs(Some(AttachMode::Kprobe));
    assert!(!kprobe.contains(&"fentry_commit_creds_again"));
    assert!(kprobe.contains(&"sys_exit_setns_failed_again") && kprobe.contains(&"sys_exit_clone3_again"), "{kprobe:?}");
    let tracepoint = programs(Some(AttachMode::Tracepoint));
    assert!(!tracepoint.contains(&"sys_exit_setns_failed_again"), "another program is there: {tracepoint:?}");
}

#[test]
fn elsewhere_only_softirqs_need_a_second_copy() {
    let plan = plan(&offer(&btf("7.3")), Some(AttachMode::Fentry));
    let copies = |end: &str| -> Vec<&str> {
        plan.hooks.iter().map(|h| h.program).filter(|program| program.ends_with(end)).collect()
    };
    assert_eq!(copies("_again"), ["fentry_ns_common_free_again"]);
    assert!(copies("_third").is_empty());
}

#[test]
fn preemptible_kernels_look_for_births_executions_and_deaths_where_nobody_is_preempted() {
    let mut offer = offer(&btf("7.3"));
    offer.tracepoints.insert("sched_wakeup_new".to_owned());
    let elsewhere = |offer: &Offer, mode| -> Vec<Hook> {
        let hooks = plan(offer, mode).hooks.into_iter();
        hooks.filter(|h| h.program.ends_with("_elsewhere")).collect()
    };
    assert!(elsewhere(&offer, None).is_empty(), "nobody is kept inside a program");
    offer.preemptible = true;
    for mode in AttachMode::ALL.map(Some).into_iter().chain([None]) {
        let hooks = elsewhere(&offer, mode);
        assert_eq!(
            hooks.iter().map(|h| h.program).collect::<Vec<_>>(),
            ["task_newtask_elsewhere", "sched_process_exec_elsewhere", "sched_process_exit_elsewhere"]
        );
        assert!(hooks.iter().all(|h| !h.attach.is_preemptible()));
    }
}

/// The machine this was developed on: no kprobes, and trampolines refused.
#[test]
fn without_kprobes_and_trampolines_tracepoints_remain() {
    let mut offer = offer(&btf("6.18"));
    for kind in ["kprobe", "kretprobe", "fentry", "fexit"] {
        offer.unusable.insert(kind, "not here".to_owned());
    }
    let plan = plan(&offer, None);
    let lines = attached(&plan.facts);
    assert!(lines.contains(&"destroyed: nsfs handle open_by_handle_at".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"pinned: ".to_owned()), "{lines:#?}");
    let by_name = |name| plan.facts.iter().find(|f| f.fact == name).expect("in the table");
    assert_eq!(by_name("setns-unshare").coverage, Coverage::Full);
    assert_eq!(by_name("destroyed").coverage, Coverage::Partial);
    assert_eq!(by_name("pinned").coverage, Coverage::None);
    assert!(by_name("pinned").invisible.as_deref().is_some_and(|t| t.contains("kprobes")));
    let refused = &by_name("user-ns").hooks[0];
    assert_eq!(refused.rejected.as_deref(), Some("not here"));
}

#[test]
fn a_refused_hook_is_replaced_by_the_next_candidate() {
    let mut offer = offer(&btf("7.3"));
    let first = plan(&offer, None);
    let hook = *first.hooks.iter().find(|h| h.program == "fentry_ns_common_free").expect("planned");
    offer.refused.insert(hook, "EBUSY".to_owned());
    let second = plan(&offer, None);
    let lines = attached(&second.facts);
    assert!(lines.contains(&"destroyed: fentry proc_free_inum, kprobe proc_free_inum".to_owned()), "{lines:#?}");
}

#[test]
fn damaged_btf_is_an_error_not_a_panic() {
    assert!(matches!(Btf::parse(vec![0; 64]), Err(BtfError::Magic)));
    assert!(matches!(Btf::parse(vec![0x9f, 0xeb]), Err(BtfError::Truncated(_))));
    let whole = KERNELS[0].1;
    for cut in (0..whole.len()).step_by(97) {
        // Either refused, or used without panic.
        if let Ok(btf) = Btf::parse(whole[..cut].to_vec()) {
            let _ = resolve(&btf);
        }
    }
    let mut state = 7_u32;
    for _ in 0..2000 {
        let mut bytes = whole.to_vec();
        for _ in 0..8 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] = (state >> 3) as u8;
        }
        if let Ok(btf) = Btf::parse(bytes) {
            let _ = resolve(&btf);
        }
    }
}
