//! The table of facts: what the model wants to know, and the hooks that can tell it, best first.
//!
//! Source of every row: kernel-hooks.md, verified in guests on 5.10 to 7.3. A row changes only together with the eBPF
//! program it names.

use super::{deed_facts::DEED_FACTS, report::AttachMode};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attach {
    /// BTF tracepoint: needs only BTF.
    TpBtf(&'static str),
    /// Entry of a kernel function through a BPF trampoline.
    Fentry(&'static str),
    /// Return of a kernel function, with its arguments and result.
    Fexit(&'static str),
    Kprobe(&'static str),
    Kretprobe(&'static str),
    /// `syscalls/NAME` of tracefs.
    Syscall(&'static str),
    /// `CATEGORY/NAME` of tracefs.
    Event(&'static str),
    /// No program: user space asks by nsfs file handle whether a namespace without members is still there (6.18+).
    NsfsHandle,
}

impl Attach {
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TpBtf(_) => "tp_btf",
            Self::Fentry(_) => "fentry",
            Self::Fexit(_) => "fexit",
            Self::Kprobe(_) => "kprobe",
            Self::Kretprobe(_) => "kretprobe",
            Self::Syscall(_) | Self::Event(_) => "tracepoint",
            Self::NsfsHandle => "nsfs handle",
        }
    }

    pub const fn target(self) -> &'static str {
        match self {
            Self::TpBtf(t)
            | Self::Fentry(t)
            | Self::Fexit(t)
            | Self::Kprobe(t)
            | Self::Kretprobe(t)
            | Self::Syscall(t)
            | Self::Event(t) => t,
            Self::NsfsHandle => "open_by_handle_at",
        }
    }

    /// The mode it belongs to; None: serves every mode.
    pub const fn mode(self) -> Option<AttachMode> {
        match self {
            Self::Fentry(_) | Self::Fexit(_) => Some(AttachMode::Fentry),
            Self::Kprobe(_) | Self::Kretprobe(_) => Some(AttachMode::Kprobe),
            Self::TpBtf(_) | Self::Syscall(_) | Self::Event(_) | Self::NsfsHandle => None,
        }
    }

    /// On a preemptible kernel a task can be preempted inside the program. Not in kprobes, nor where perf calls it (the callbacks of
    /// tracepoints other than those of system calls), nor where interrupts are off.
    pub fn is_preemptible(self) -> bool {
        !matches!(self, Self::Kprobe(_) | Self::Kretprobe(_) | Self::Event(_) | Self::TpBtf(WAKEUP_NEW))
    }
}

/// The scheduler's tracepoint of a new task, passed with interrupts off.
const WAKEUP_NEW: &str = "sched_wakeup_new";

/// One program at one place. `program` is its name in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    pub program: &'static str,
    pub attach: Attach,
}

impl Hook {
    /// A program that tells what contained tasks do; it runs at places that most tasks pass without anything to tell.
    pub fn is_deed(self) -> bool {
        self.program.contains("_deed_")
    }

    /// The third copy of a program.
    pub fn is_third(self) -> bool {
        self.program.ends_with("_third")
    }

    /// Both programs tell the same, alone or together: `fentry_X`, `fexit_X`, `kprobe_X`, `kretprobe_X`, `X_again`, `X_third` and
    /// `X_elsewhere` for the same X.
    pub fn is_copy_of(self, other: Self) -> bool {
        self.program != other.program && self.bare() == other.bare()
    }

    /// X of [`Self::is_copy_of`].
    pub fn bare(self) -> &'static str {
        let ends = ["_again", "_third", "_elsewhere"];
        let program = ends.iter().find_map(|end| self.program.strip_suffix(end)).unwrap_or(self.program);
        let ways = ["fentry_", "fexit_", "kprobe_", "kretprobe_"];
        ways.iter().find_map(|way| program.strip_prefix(way)).unwrap_or(program)
    }
}

/// Hooks that together tell a fact: all or none.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Modes in which it may be used.
    pub modes: &'static [AttachMode],
    pub hooks: &'static [Hook],
    /// What it leaves unseen when no other way is attached beside it; None = nothing.
    pub invisible: Option<&'static str>,
}

/// What is attached of a fact that both trampolines and kprobes can tell, where either may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto {
    /// The candidate that comes first.
    First,
    /// On a preemptible kernel the kprobe: a task can be preempted inside a trampoline program, which the kernel then skips for
    /// every other task of that CPU.
    Unpreempted,
    /// Both, as each misses what the other sees: the place is also reached in softirqs, which interrupt either, and for a kprobe
    /// any other one. The model merges what both report.
    Both,
}

/// Something the model wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Best first.
    pub candidates: &'static [Candidate],
    pub auto: Auto,
    /// For preemptible kernels, where a BTF tracepoint or trampoline program is skipped while another task was preempted inside
    /// it (since 7.x also one at a system call's tracepoint): second and third copies, each for a hook of the candidates at the same
    /// place (not needed beside a kprobe there); and another place that tells the same.
    pub again: &'static [Hook],
    /// What is unseen when no candidate can be used.
    pub without: &'static str,
    /// Detectors (`NST-…`) that judge by it.
    pub detectors: &'static [&'static str],
}

use Attach::{Event, Fentry, Fexit, Kprobe, Kretprobe, NsfsHandle, Syscall, TpBtf};
use AttachMode as Mode;

const ANY: &[Mode] = &Mode::ALL;
const FENTRY: &[Mode] = &[Mode::Fentry];
const KPROBE: &[Mode] = &[Mode::Kprobe];
const TRACEPOINT: &[Mode] = &[Mode::Tracepoint];
const NOT_FENTRY: &[Mode] = &[Mode::Kprobe, Mode::Tracepoint];

pub(super) const fn hook(program: &'static str, attach: Attach) -> Hook {
    Hook { program, attach }
}

pub(super) const fn full(modes: &'static [Mode], hooks: &'static [Hook]) -> Candidate {
    Candidate { modes, hooks, invisible: None }
}

/// One of the programs that keep what a call began with for those at its return.
pub const CALL_ENTRY: &str = "sys_enter_setns";

const CALL_EXITS: &[Hook] = &[
    hook(CALL_ENTRY, Syscall("sys_enter_setns")),
    hook("sys_exit_setns", Syscall("sys_exit_setns")),
    hook("sys_enter_unshare", Syscall("sys_enter_unshare")),
    hook("sys_exit_unshare", Syscall("sys_exit_unshare")),
];

const CLONE_EXITS: &[Hook] =
    &[hook("sys_exit_clone", Syscall("sys_exit_clone")), hook("sys_exit_clone3", Syscall("sys_exit_clone3"))];

/// Every fact, in the order in which `doctor` lists them: the life of namespaces, then what detectors judge by.
pub const FACTS: &[Fact] = &{
    let mut all = [LIFE[0]; LIFE.len() + DEED_FACTS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < LIFE.len() { LIFE[at] } else { DEED_FACTS[at - LIFE.len()] };
        at += 1;
    }
    all
};

const LIFE: &[Fact] = &[
    Fact {
        name: "task-born",
        meaning: "a task is born, with the namespaces it starts in (io_uring workers too)",
        candidates: &[full(ANY, &[hook("task_newtask", TpBtf("task_newtask"))])],
        auto: Auto::First,
        again: &[hook("task_newtask_again", TpBtf("task_newtask")), hook("task_newtask_elsewhere", TpBtf(WAKEUP_NEW))],
        without: "members that join by fork and clone; needs a kernel with BTF tracepoints (5.5, CONFIG_DEBUG_INFO_BTF)",
        detectors: &["NST-023"],
    },
    Fact {
        name: "exec",
        meaning: "a task executes a program, and enters its time namespace (6.12+)",
        candidates: &[full(ANY, &[hook("sched_process_exec", TpBtf("sched_process_exec"))])],
        auto: Auto::First,
        again: &[
            hook("sched_process_exec_again", TpBtf("sched_process_exec")),
            hook("sched_process_exec_elsewhere", Event("sched/sched_process_exec")),
        ],
        without: "time namespaces entered by exec",
        detectors: &[],
    },
    Fact {
        name: "exit",
        meaning: "a task dies and leaves its namespaces",
        candidates: &[full(ANY, &[hook("sched_process_exit", TpBtf("sched_process_exit"))])],
        auto: Auto::First,
        again: &[
            hook("sched_process_exit_again", TpBtf("sched_process_exit")),
            hook("sched_process_exit_elsewhere", Event("sched/sched_process_exit")),
        ],
        without: "members that leave by exiting",
        detectors: &[],
    },
    Fact {
        name: "setns-unshare",
        meaning: "setns or unshare moves a task",
        candidates: &[
            full(FENTRY, &[hook("fentry_switch_task_namespaces", Fentry("switch_task_namespaces"))]),
            full(KPROBE, &[hook("kprobe_switch_task_namespaces", Kprobe("switch_task_namespaces"))]),
            full(TRACEPOINT, CALL_EXITS),
        ],
        auto: Auto::Unpreempted,
        again: &[
            hook("fentry_switch_task_namespaces_again", Fentry("switch_task_namespaces")),
            hook("fentry_switch_task_namespaces_third", Fentry("switch_task_namespaces")),
            hook("sys_enter_setns_again", Syscall("sys_enter_setns")),
            hook("sys_exit_setns_again", Syscall("sys_exit_setns")),
            hook("sys_exit_setns_third", Syscall("sys_exit_setns")),
            hook("sys_enter_unshare_again", Syscall("sys_enter_unshare")),
            hook("sys_exit_unshare_again", Syscall("sys_exit_unshare")),
            hook("sys_exit_unshare_third", Syscall("sys_exit_unshare")),
        ],
        without: "setns and unshare; mount tracefs, or use a kernel with kprobes or BPF trampolines",
        detectors: &["NST-001", "NST-012", "NST-017"],
    },
    Fact {
        name: "user-ns",
        meaning: "a task changes its user namespace",
        candidates: &[
            full(FENTRY, &[hook("fentry_commit_creds", Fentry("commit_creds"))]),
            full(KPROBE, &[hook("kprobe_commit_creds", Kprobe("commit_creds"))]),
            full(TRACEPOINT, CALL_EXITS),
        ],
        auto: Auto::Unpreempted,
        again: &[
            hook("fentry_commit_creds_again", Fentry("commit_creds")),
            hook("fentry_commit_creds_third", Fentry("commit_creds")),
        ],
        without: "user namespaces entered by setns and unshare",
        detectors: &["NST-001", "NST-012", "NST-015"],
    },
    Fact {
        name: "clone-copy",
        meaning: "clone makes namespaces for a child, even one that is never born",
        candidates: &[
            full(FENTRY, &[hook("fexit_copy_namespaces", Fexit("copy_namespaces"))]),
            // The birth of the child tells of them as well. A kretprobe here would miss what runs while another clone sleeps.
            full(NOT_FENTRY, &[hook("task_newtask", TpBtf("task_newtask"))]),
        ],
        auto: Auto::First,
        again: &[],
        without: "namespaces made by clone",
        detectors: &["NST-015", "NST-023"],
    },
    Fact {
        name: "denied-setns-unshare",
        meaning: "setns or unshare fails",
        candidates: &[
            full(
                FENTRY,
                &[hook("fexit_ksys_unshare", Fexit("ksys_unshare")), hook("fexit_sys_setns", Fexit("__x64_sys_setns"))],
            ),
            // No kretprobes: before 6.1 they miss a failure while another task sleeps in the same call.
            full(
                KPROBE,
                &[
                    hook("sys_exit_setns_failed", Syscall("sys_exit_setns")),
                    hook("sys_exit_unshare_failed", Syscall("sys_exit_unshare")),
                    // Tells the calls that succeed. Without it tracepoint mode's programs tell both, each refusal once.
                    hook("kprobe_switch_task_namespaces", Kprobe("switch_task_namespaces")),
                ],
            ),
            full(TRACEPOINT, CALL_EXITS),
        ],
        auto: Auto::First,
        again: &[
            hook("fexit_ksys_unshare_again", Fexit("ksys_unshare")),
            hook("fexit_ksys_unshare_third", Fexit("ksys_unshare")),
            hook("fexit_sys_setns_again", Fexit("__x64_sys_setns")),
            hook("fexit_sys_setns_third", Fexit("__x64_sys_setns")),
            hook("sys_exit_setns_failed_again", Syscall("sys_exit_setns")),
            hook("sys_exit_setns_failed_third", Syscall("sys_exit_setns")),
            hook("sys_exit_unshare_failed_again", Syscall("sys_exit_unshare")),
            hook("sys_exit_unshare_failed_third", Syscall("sys_exit_unshare")),
        ],
        without: "failed setns and unshare attempts; mount tracefs",
        detectors: &[],
    },
    Fact {
        name: "denied-clone",
        meaning: "a clone that asked for namespaces fails",
        candidates: &[
            full(FENTRY, &[hook("fexit_kernel_clone", Fexit("kernel_clone"))]),
            // No kretprobe of copy_process: each fork would pass two kprobes more, and a kprobe that is hit in a softirq there
            // (the end of a namespace) is passed over.
            full(NOT_FENTRY, CLONE_EXITS),
        ],
        auto: Auto::First,
        again: &[
            hook("fexit_kernel_clone_again", Fexit("kernel_clone")),
            hook("fexit_kernel_clone_third", Fexit("kernel_clone")),
            hook("sys_exit_clone_again", Syscall("sys_exit_clone")),
            hook("sys_exit_clone_third", Syscall("sys_exit_clone")),
            hook("sys_exit_clone3_again", Syscall("sys_exit_clone3")),
            hook("sys_exit_clone3_third", Syscall("sys_exit_clone3")),
        ],
        without: "failed clone attempts; mount tracefs",
        detectors: &[],
    },
    Fact {
        name: "setns-target",
        meaning: "which namespace a setns aimed at, permitted or not",
        candidates: &[
            full(
                FENTRY,
                &[
                    hook("fexit_mntns_install", Fexit("mntns_install")),
                    hook("fexit_pidns_install", Fexit("pidns_install")),
                    hook("fexit_netns_install", Fexit("netns_install")),
                    hook("fexit_ipcns_install", Fexit("ipcns_install")),
                    hook("fexit_utsns_install", Fexit("utsns_install")),
                    hook("fexit_userns_install", Fexit("userns_install")),
                    hook("fexit_cgroupns_install", Fexit("cgroupns_install")),
                    hook("fexit_timens_install", Fexit("timens_install")),
                ],
            ),
            full(
                KPROBE,
                &[
                    hook("kprobe_ns_install", Kprobe("mntns_install")),
                    hook("kprobe_ns_install", Kprobe("pidns_install")),
                    hook("kprobe_ns_install", Kprobe("netns_install")),
                    hook("kprobe_ns_install", Kprobe("ipcns_install")),
                    hook("kprobe_ns_install", Kprobe("utsns_install")),
                    hook("kprobe_ns_install", Kprobe("userns_install")),
                    hook("kprobe_ns_install", Kprobe("cgroupns_install")),
                    hook("kprobe_ns_install", Kprobe("timens_install")),
                    hook("kretprobe_ns_install", Kretprobe("mntns_install")),
                    hook("kretprobe_ns_install", Kretprobe("pidns_install")),
                    hook("kretprobe_ns_install", Kretprobe("netns_install")),
                    hook("kretprobe_ns_install", Kretprobe("ipcns_install")),
                    hook("kretprobe_ns_install", Kretprobe("utsns_install")),
                    hook("kretprobe_ns_install", Kretprobe("userns_install")),
                    hook("kretprobe_ns_install", Kretprobe("cgroupns_install")),
                    hook("kretprobe_ns_install", Kretprobe("timens_install")),
                ],
            ),
        ],
        auto: Auto::Unpreempted,
        again: &[],
        without: "the target of a setns that failed; needs kprobes or BPF trampolines",
        detectors: &[],
    },
    Fact {
        name: "destroyed",
        meaning: "a namespace is freed",
        candidates: &[
            full(FENTRY, &[hook("fentry_ns_common_free", Fentry("__ns_common_free"))]),
            full(FENTRY, &[hook("fentry_proc_free_inum", Fentry("proc_free_inum"))]),
            full(KPROBE, &[hook("kprobe_ns_common_free", Kprobe("__ns_common_free"))]),
            Candidate {
                modes: KPROBE,
                hooks: &[hook("kprobe_proc_free_inum", Kprobe("proc_free_inum"))],
                invisible: Some(
                    "an end in a softirq that interrupts another kprobe's program: the kernel skips it, and counts it (told as lost) from 6.7 on only; BPF trampolines beside the kprobe see it (--attach auto)",
                ),
            },
            Candidate {
                modes: TRACEPOINT,
                hooks: &[hook("", NsfsHandle)],
                invisible: Some(
                    "the exact moment of destruction: asked for by polling, so seen some milliseconds late, and from 6.19 on too early if only a socket or the like still holds the namespace; needs kprobes or BPF trampolines",
                ),
            },
        ],
        auto: Auto::Both,
        again: &[
            hook("fentry_ns_common_free_again", Fentry("__ns_common_free")),
            hook("fentry_ns_common_free_third", Fentry("__ns_common_free")),
            hook("fentry_proc_free_inum_again", Fentry("proc_free_inum")),
            hook("fentry_proc_free_inum_third", Fentry("proc_free_inum")),
        ],
        without: "destruction of namespaces; needs kprobes, BPF trampolines, or nsfs file handles (6.18)",
        detectors: &["NST-022"],
    },
    Fact {
        name: "pinned",
        meaning: "the first file descriptor or bind mount holds a namespace",
        candidates: &[
            full(FENTRY, &[hook("fentry_nsfs_init_inode", Fentry("nsfs_init_inode"))]),
            full(FENTRY, &[hook("fexit_ns_get_path", Fexit("__ns_get_path"))]),
            full(KPROBE, &[hook("kprobe_nsfs_init_inode", Kprobe("nsfs_init_inode"))]),
            full(KPROBE, &[hook("kprobe_ns_get_path", Kprobe("__ns_get_path"))]),
        ],
        auto: Auto::Unpreempted,
        again: &[
            hook("fentry_nsfs_init_inode_again", Fentry("nsfs_init_inode")),
            hook("fentry_nsfs_init_inode_third", Fentry("nsfs_init_inode")),
        ],
        without: "namespaces being held open or bind-mounted; needs kprobes or BPF trampolines",
        detectors: &["NST-022"],
    },
    Fact {
        name: "unpinned",
        meaning: "the last file descriptor and bind mount of a namespace is gone",
        candidates: &[
            full(FENTRY, &[hook("fentry_nsfs_evict", Fentry("nsfs_evict"))]),
            full(KPROBE, &[hook("kprobe_nsfs_evict", Kprobe("nsfs_evict"))]),
        ],
        auto: Auto::Unpreempted,
        again: &[
            hook("fentry_nsfs_evict_again", Fentry("nsfs_evict")),
            hook("fentry_nsfs_evict_third", Fentry("nsfs_evict")),
        ],
        without: "the release of held namespaces; needs kprobes or BPF trampolines",
        detectors: &["NST-022"],
    },
];
