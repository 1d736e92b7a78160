//! The facts that detectors judge by; the other half of [`super::facts`]. None is doubled: a run that the kernel skips is counted.

use super::{
    facts::{
        Attach::{Fentry, Fexit, Kprobe, Kretprobe, TpBtf},
        Auto, Fact, Hook, full, hook,
    },
    report::AttachMode as Mode,
};

const ANY: &[Mode] = &Mode::ALL;
const FENTRY: &[Mode] = &[Mode::Fentry];
const KPROBE: &[Mode] = &[Mode::Kprobe];

macro_rules! deed {
    ($name:literal, $meaning:literal, [$($detector:literal)*], fentry $fentry:expr, kprobe $kprobe:expr, without $without:literal) => {{
        const BY_FENTRY: &[Hook] = $fentry;
        const BY_KPROBE: &[Hook] = $kprobe;
        Fact {
            name: $name,
            meaning: $meaning,
            candidates: &[full(FENTRY, BY_FENTRY), full(KPROBE, BY_KPROBE)],
            auto: Auto::First,
            again: &[],
            without: concat!($without, "; needs kprobes or BPF trampolines"),
            detectors: &[$($detector),*],
        }
    }};
}

macro_rules! entry_deed {
    ($name:literal, $meaning:literal, [$($detector:literal)*], [$($function:literal: $fentry:literal $kprobe:literal),+], without $without:literal) => {
        deed!($name, $meaning, [$($detector)*],
            fentry &[$(hook($fentry, Fentry($function))),+],
            kprobe &[$(hook($kprobe, Kprobe($function))),+],
            without $without)
    };
}

macro_rules! return_deed {
    ($name:literal, $meaning:literal, [$($detector:literal)*], [$($function:literal: $fexit:literal $kprobe:literal $kretprobe:literal),+], without $without:literal) => {
        deed!($name, $meaning, [$($detector)*],
            fentry &[$(hook($fexit, Fexit($function))),+],
            kprobe &[$(hook($kprobe, Kprobe($function)), hook($kretprobe, Kretprobe($function))),+],
            without $without)
    };
}

/// Name of the fact that changes of namespaces are seen where they take effect.
pub(super) const SWITCHES: &str = "switches";

/// In the order in which `doctor` lists them, after the life of namespaces.
pub(super) const DEED_FACTS: &[Fact] = &[
    Fact {
        name: SWITCHES,
        meaning: "namespaces and credentials of a task change, by whatever way",
        // The programs of setns-unshare and user-ns: what no call asked for is seen by these only.
        candidates: &[
            full(
                FENTRY,
                &[
                    hook("fentry_switch_task_namespaces", Fentry("switch_task_namespaces")),
                    hook("fentry_commit_creds", Fentry("commit_creds")),
                ],
            ),
            full(
                KPROBE,
                &[
                    hook("kprobe_switch_task_namespaces", Kprobe("switch_task_namespaces")),
                    hook("kprobe_commit_creds", Kprobe("commit_creds")),
                ],
            ),
        ],
        auto: Auto::First,
        again: &[],
        without: "changes that no call asked for; needs kprobes or BPF trampolines",
        detectors: &["NST-012", "NST-013"],
    },
    Fact {
        name: "placed",
        meaning: "a contained task executes a program: its root, its working directory and its program",
        candidates: &[full(ANY, &[hook("placed_process_exec", TpBtf("sched_process_exec"))])],
        auto: Auto::First,
        again: &[hook("placed_process_exec_again", TpBtf("sched_process_exec"))],
        without: "where contained tasks stand, and with it when a container is complete",
        detectors: &["NST-003", "NST-020", "NST-021"],
    },
    entry_deed!(
        "opens",
        "a contained task opens a namespace, a file of elsewhere, a device, or a file of the kernel's for writing",
        ["NST-002" "NST-003" "NST-005" "NST-007" "NST-014"],
        ["security_file_open": "fentry_deed_file_open" "kprobe_deed_file_open"],
        without "files that contained tasks open"
    ),
    entry_deed!(
        "receives",
        "a contained task is passed a namespace or a directory of elsewhere",
        ["NST-002" "NST-003"],
        ["security_file_receive": "fentry_deed_file_receive" "kprobe_deed_file_receive"],
        without "files that contained tasks are passed"
    ),
    return_deed!(
        "handle-opens",
        "a contained task opens a file by its handle",
        ["NST-009"],
        ["do_handle_open": "fexit_deed_handle_open" "kprobe_deed_handle_open" "kretprobe_deed_handle_open"],
        without "files opened by handle"
    ),
    return_deed!(
        "accesses",
        "a contained task accesses a task of other namespaces",
        ["NST-004"],
        [
            "security_ptrace_access_check": "fexit_deed_ptrace_access" "kprobe_deed_ptrace_access"
                "kretprobe_deed_ptrace_access"
        ],
        without "accesses to tasks of other namespaces"
    ),
    return_deed!(
        "mounts",
        "a contained task mounts a file system",
        ["NST-007" "NST-008"],
        ["vfs_get_tree": "fexit_deed_get_tree" "kprobe_deed_get_tree" "kretprobe_deed_get_tree"],
        without "file systems that contained tasks mount"
    ),
    entry_deed!(
        "binds",
        "a contained task bind-mounts a namespace or moves a mount",
        ["NST-002" "NST-003"],
        [
            "clone_mnt": "fentry_deed_clone_mnt" "kprobe_deed_clone_mnt",
            "security_move_mount": "fentry_deed_move_mount" "kprobe_deed_move_mount"
        ],
        without "namespaces that contained tasks bind-mount"
    ),
    entry_deed!(
        "propagation",
        "a contained task changes the propagation of a mount",
        ["NST-019"],
        [
            "security_sb_mount": "fentry_deed_sb_mount" "kprobe_deed_sb_mount",
            "change_mnt_propagation": "fentry_deed_change_propagation" "kprobe_deed_change_propagation"
        ],
        without "changes of mount propagation"
    ),
    entry_deed!(
        "propagated",
        "what a contained task mounts shows in another mount namespace",
        ["NST-019"],
        ["propagate_mnt": "fentry_deed_propagate" "kprobe_deed_propagate"],
        without "mounts of contained tasks that show elsewhere"
    ),
    entry_deed!(
        "roots",
        "a contained task changes its root directory, or its working directory to one of elsewhere",
        ["NST-003" "NST-019"],
        [
            "set_fs_root": "fentry_deed_fs_root" "kprobe_deed_fs_root",
            "set_fs_pwd": "fentry_deed_fs_pwd" "kprobe_deed_fs_pwd",
            "security_sb_pivotroot": "fentry_deed_pivot_root" "kprobe_deed_pivot_root"
        ],
        without "changes of root and working directories between two executions"
    ),
    entry_deed!(
        "nodes",
        "a contained task makes a device node",
        ["NST-007"],
        ["security_inode_mknod": "fentry_deed_mknod" "kprobe_deed_mknod"],
        without "device nodes that contained tasks make"
    ),
    entry_deed!(
        "connects",
        "a contained task connects to a unix socket of somebody in other namespaces",
        ["NST-010"],
        ["security_unix_stream_connect": "fentry_deed_unix_connect" "kprobe_deed_unix_connect"],
        without "control sockets that contained tasks reach"
    ),
    MODULES,
    entry_deed!(
        "kexec",
        "a contained task loads another kernel",
        ["NST-011"],
        [
            "security_kernel_load_data": "fentry_deed_load_data" "kprobe_deed_load_data",
            "security_kernel_read_file": "fentry_deed_read_file" "kprobe_deed_read_file"
        ],
        without "kernels that contained tasks load"
    ),
    entry_deed!(
        "bpf",
        "a contained task gets a BPF program",
        ["NST-011"],
        ["security_bpf_prog": "fentry_deed_bpf_prog" "kprobe_deed_bpf_prog"],
        without "BPF programs of contained tasks"
    ),
    entry_deed!(
        "helpers",
        "the kernel runs a program in user space",
        ["NST-006" "NST-020"],
        ["call_usermodehelper_exec": "fentry_deed_helper" "kprobe_deed_helper"],
        without "programs that the kernel runs"
    ),
    Fact {
        name: "cgroups",
        meaning: "a contained task moves a task to another cgroup",
        candidates: &[full(ANY, &[hook("deed_cgroup_attach", TpBtf("cgroup_attach_task"))])],
        auto: Auto::First,
        again: &[],
        without: "moves between cgroups",
        detectors: &["NST-018"],
    },
    return_deed!(
        "id-maps",
        "a contained task writes an id map",
        ["NST-016"],
        [
            "proc_uid_map_write": "fexit_deed_uid_map" "kprobe_deed_uid_map" "kretprobe_deed_uid_map",
            "proc_gid_map_write": "fexit_deed_gid_map" "kprobe_deed_gid_map" "kretprobe_deed_gid_map"
        ],
        without "id maps that are written"
    ),
    entry_deed!(
        "credentials",
        "a contained task gains capabilities outside the calls that are there for it",
        ["NST-012"],
        ["commit_creds": "fentry_deed_commit_creds" "kprobe_deed_commit_creds"],
        without "credentials that were switched by nobody's call"
    ),
    entry_deed!(
        "capabilities",
        "a capability over another user namespace than the initial one is first used",
        ["NST-015"],
        ["ns_capable": "fentry_deed_ns_capable" "kprobe_deed_ns_capable"],
        without "what user namespaces are used for"
    ),
];

/// A kernel without `do_init_module` cannot load modules: attached there are the hooks of kexec, which need not tell anything more.
const MODULES: Fact = Fact {
    name: "modules",
    meaning: "a contained task loads a kernel module",
    candidates: &[
        full(FENTRY, &[hook("fentry_deed_init_module", Fentry("do_init_module"))]),
        full(KPROBE, &[hook("kprobe_deed_init_module", Kprobe("do_init_module"))]),
        full(FENTRY, &[hook("fentry_deed_load_data", Fentry("security_kernel_load_data"))]),
        full(KPROBE, &[hook("kprobe_deed_load_data", Kprobe("security_kernel_load_data"))]),
    ],
    auto: Auto::First,
    again: &[],
    without: "modules that contained tasks load; needs kprobes or BPF trampolines",
    detectors: &["NST-011"],
};
