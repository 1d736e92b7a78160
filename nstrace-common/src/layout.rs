//! Where things lie in this kernel: read from its BTF by the collector, seen as constants by the verifier.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::slots::TYPES;

/// Offset of a member that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets of kernel structure members (`ABSENT` where there is none), as one read-only global.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Layout {
    pub task_pid: u32,
    pub task_tgid: u32,
    pub task_start_boottime: u32,
    pub task_nsproxy: u32,
    pub task_real_cred: u32,
    pub task_cred: u32,
    pub task_thread_pid: u32,
    pub task_comm: u32,
    pub task_flags: u32,
    pub task_cgroups: u32,
    pub task_stack: u32,
    pub cred_uid: u32,
    pub cred_euid: u32,
    pub cred_cap_effective: u32,
    pub cred_user_ns: u32,
    pub pid_level: u32,
    pub pid_numbers: u32,
    /// `sizeof(struct upid)`.
    pub upid_size: u32,
    pub upid_nr: u32,
    pub upid_ns: u32,
    pub nsproxy_uts: u32,
    pub nsproxy_ipc: u32,
    pub nsproxy_mnt: u32,
    pub nsproxy_pid_for_children: u32,
    pub nsproxy_net: u32,
    pub nsproxy_time: u32,
    pub nsproxy_time_for_children: u32,
    pub nsproxy_cgroup: u32,
    /// `ns_common` inside the structure of each type, indexed as `slots::{MNT…TIME}`.
    pub ns_common: [u32; TYPES],
    /// `user_ns` (owner) inside the structure of each type; of a user namespace: its `parent`.
    pub ns_owner: [u32; TYPES],
    pub ns_common_inum: u32,
    pub ns_common_ns_id: u32,
    pub ns_common_ns_type: u32,
    pub ns_common_ops: u32,
    /// The dentry of the namespace's nsfs file, while there is one.
    pub ns_common_stashed: u32,
    pub proc_ns_operations_type: u32,
    pub pid_namespace_parent: u32,
    pub pid_namespace_level: u32,
    pub user_namespace_level: u32,
    pub user_namespace_owner: u32,
    pub css_set_dfl_cgrp: u32,
    pub cgroup_kn: u32,
    pub kernfs_node_id: u32,
    pub inode_i_private: u32,
    pub pt_regs_orig_ax: u32,
    pub pt_regs_di: u32,
    pub pt_regs_si: u32,
    pub kernel_clone_args_flags: u32,
    pub thread_info_status: u32,
    /// Distance from `task->stack` to the saved user registers, for kernels without `bpf_task_pt_regs`.
    pub stack_to_pt_regs: u32,
}
const _: () = assert!(size_of::<Layout>() == (28 + 2 * TYPES + 20) * 4);

impl Layout {
    /// Nothing known yet; what the object holds until the collector overrides it.
    pub const UNKNOWN: Self = Self {
        task_pid: ABSENT,
        task_tgid: ABSENT,
        task_start_boottime: ABSENT,
        task_nsproxy: ABSENT,
        task_real_cred: ABSENT,
        task_cred: ABSENT,
        task_thread_pid: ABSENT,
        task_comm: ABSENT,
        task_flags: ABSENT,
        task_cgroups: ABSENT,
        task_stack: ABSENT,
        cred_uid: ABSENT,
        cred_euid: ABSENT,
        cred_cap_effective: ABSENT,
        cred_user_ns: ABSENT,
        pid_level: ABSENT,
        pid_numbers: ABSENT,
        upid_size: ABSENT,
        upid_nr: ABSENT,
        upid_ns: ABSENT,
        nsproxy_uts: ABSENT,
        nsproxy_ipc: ABSENT,
        nsproxy_mnt: ABSENT,
        nsproxy_pid_for_children: ABSENT,
        nsproxy_net: ABSENT,
        nsproxy_time: ABSENT,
        nsproxy_time_for_children: ABSENT,
        nsproxy_cgroup: ABSENT,
        ns_common: [ABSENT; TYPES],
        ns_owner: [ABSENT; TYPES],
        ns_common_inum: ABSENT,
        ns_common_ns_id: ABSENT,
        ns_common_ns_type: ABSENT,
        ns_common_ops: ABSENT,
        ns_common_stashed: ABSENT,
        proc_ns_operations_type: ABSENT,
        pid_namespace_parent: ABSENT,
        pid_namespace_level: ABSENT,
        user_namespace_level: ABSENT,
        user_namespace_owner: ABSENT,
        css_set_dfl_cgrp: ABSENT,
        cgroup_kn: ABSENT,
        kernfs_node_id: ABSENT,
        inode_i_private: ABSENT,
        pt_regs_orig_ax: ABSENT,
        pt_regs_di: ABSENT,
        pt_regs_si: ABSENT,
        kernel_clone_args_flags: ABSENT,
        thread_info_status: ABSENT,
        stack_to_pt_regs: ABSENT,
    };
}

/// The number of no helper, called in place of `bpf_rdonly_cast`: which number that has is known when the object is loaded.
pub const RDONLY_CAST: usize = 0x4e53_0001;

/// As [`RDONLY_CAST`], in place of `bpf_preempt_disable`.
pub const PREEMPT_DISABLE: usize = 0x4e53_0002;

/// As [`RDONLY_CAST`], in place of `bpf_preempt_enable`.
pub const PREEMPT_ENABLE: usize = 0x4e53_0003;

/// What the programs may do on this kernel, and whom they leave out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Config {
    /// The tracer's own tgid in the initial pid namespace: nothing is reported about it. 0 = nobody.
    pub self_tgid: u32,
    /// 1: read memory by plain loads from BTF pointers (works in lockdown); 0: by `bpf_probe_read_kernel`.
    pub typed: u32,
    /// 1: `bpf_get_current_task_btf` and `bpf_task_pt_regs` exist (5.15+).
    pub pt_regs_helper: u32,
    /// `inum` of the initial namespaces, indexed as `slots::{MNT…TIME}`: a task whose ten slots hold only these, and
    /// keep holding them, is not reported.
    pub initial: [u32; TYPES],
    /// 1: the census reads memory by loads from addresses that `bpf_rdonly_cast` makes pointers (6.17+), which takes a fraction
    /// of the time of `bpf_probe_read_kernel`.
    pub casts: u32,
    /// Whose tasks and files the census reports: 0 of all processes, 1 of every other block of ids, 2 of the others.
    pub share: u32,
    /// 1: tasks can be preempted inside programs, so several of them stand where one would do elsewhere.
    pub doubled: u32,
    /// 1: they keep themselves from being preempted while they write a record, by `bpf_preempt_disable` (6.10+).
    pub preempt_disable: u32,
}
const _: () = assert!(size_of::<Config>() == 60);

impl Config {
    pub const DEFAULT: Self = Self {
        self_tgid: 0,
        typed: 0,
        pt_regs_helper: 0,
        initial: [0; TYPES],
        casts: 0,
        share: 0,
        doubled: 0,
        preempt_disable: 0,
    };
}
