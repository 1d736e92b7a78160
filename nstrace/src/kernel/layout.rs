//! Byte offsets of this kernel's structures, looked up in its BTF.

use nstrace_common::{
    layout::{ABSENT, Layout},
    slots::{CGROUP, IPC, MNT, NET, PID, TIME, TYPES, USER, UTS},
};

use super::btf::Btf;

/// `THREAD_SIZE` of x86-64 (arch/x86/include/asm/page_64_types.h) without KASAN.
const THREAD_SIZE: u32 = 16384;

/// Structure of each namespace type, indexed as `slots::{MNT…TIME}`; `ns` is its `ns_common`.
const NS_STRUCT: [(usize, &str); TYPES] = [
    (MNT, "mnt_namespace"),
    (PID, "pid_namespace"),
    (NET, "net"),
    (IPC, "ipc_namespace"),
    (UTS, "uts_namespace"),
    (USER, "user_namespace"),
    (CGROUP, "cgroup_namespace"),
    (TIME, "time_namespace"),
];

/// The layout, and the members that this kernel does not have although every supported one should.
#[derive(Debug)]
pub struct Resolved {
    pub layout: Layout,
    /// `structure.member` names.
    pub missing: Vec<String>,
}

/// Every member that [`resolve`] asks for, as (structure, path).
pub fn members() -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    resolve_with(
        |structure, member| {
            all.push((structure, member));
            None
        },
        |_| None,
    );
    all
}

/// Looks every member up. Members that only some kernels have (`ns_id`, `ops->type`) are absent without complaint.
pub fn resolve(btf: &Btf) -> Resolved {
    resolve_with(|structure, member| btf.offset_of(structure, member), |structure| btf.size_of(structure))
}

fn resolve_with(
    offset_of: impl FnMut(&'static str, &'static str) -> Option<u32>,
    size_of: impl Fn(&'static str) -> Option<u32>,
) -> Resolved {
    let offset_of = std::cell::RefCell::new(offset_of);
    let mut missing = Vec::new();
    let optional = |structure, member| offset_of.borrow_mut()(structure, member).unwrap_or(ABSENT);
    let mut required = |structure, member| {
        offset_of.borrow_mut()(structure, member).unwrap_or_else(|| {
            missing.push(format!("{structure}.{member}"));
            ABSENT
        })
    };
    let mut ns_common = [ABSENT; TYPES];
    let mut ns_owner = [ABSENT; TYPES];
    for (t, structure) in NS_STRUCT {
        ns_common[t] = required(structure, "ns");
        ns_owner[t] = required(structure, if t == USER { "parent" } else { "user_ns" });
    }
    let layout = Layout {
        task_pid: required("task_struct", "pid"),
        task_tgid: required("task_struct", "tgid"),
        task_start_boottime: required("task_struct", "start_boottime"),
        task_nsproxy: required("task_struct", "nsproxy"),
        task_real_cred: required("task_struct", "real_cred"),
        task_cred: required("task_struct", "cred"),
        task_thread_pid: required("task_struct", "thread_pid"),
        task_comm: required("task_struct", "comm"),
        task_flags: required("task_struct", "flags"),
        task_cgroups: required("task_struct", "cgroups"),
        task_stack: required("task_struct", "stack"),
        cred_uid: required("cred", "uid"),
        cred_euid: required("cred", "euid"),
        cred_cap_effective: required("cred", "cap_effective"),
        cred_user_ns: required("cred", "user_ns"),
        pid_level: required("pid", "level"),
        pid_numbers: required("pid", "numbers"),
        upid_size: size_of("upid").unwrap_or(ABSENT),
        upid_nr: required("upid", "nr"),
        upid_ns: required("upid", "ns"),
        nsproxy_uts: required("nsproxy", "uts_ns"),
        nsproxy_ipc: required("nsproxy", "ipc_ns"),
        nsproxy_mnt: required("nsproxy", "mnt_ns"),
        nsproxy_pid_for_children: required("nsproxy", "pid_ns_for_children"),
        nsproxy_net: required("nsproxy", "net_ns"),
        nsproxy_time: required("nsproxy", "time_ns"),
        nsproxy_time_for_children: required("nsproxy", "time_ns_for_children"),
        nsproxy_cgroup: required("nsproxy", "cgroup_ns"),
        ns_common,
        ns_owner,
        ns_common_inum: required("ns_common", "inum"),
        ns_common_ns_id: optional("ns_common", "ns_id"),
        ns_common_ns_type: optional("ns_common", "ns_type"),
        ns_common_ops: required("ns_common", "ops"),
        ns_common_stashed: optional("ns_common", "stashed"),
        proc_ns_operations_type: optional("proc_ns_operations", "type"),
        pid_namespace_parent: required("pid_namespace", "parent"),
        pid_namespace_level: required("pid_namespace", "level"),
        user_namespace_level: required("user_namespace", "level"),
        user_namespace_owner: required("user_namespace", "owner"),
        css_set_dfl_cgrp: required("css_set", "dfl_cgrp"),
        cgroup_kn: required("cgroup", "kn"),
        kernfs_node_id: required("kernfs_node", "id"),
        inode_i_private: required("inode", "i_private"),
        pt_regs_orig_ax: required("pt_regs", "orig_ax"),
        pt_regs_di: required("pt_regs", "di"),
        pt_regs_si: required("pt_regs", "si"),
        kernel_clone_args_flags: required("kernel_clone_args", "flags"),
        thread_info_status: required("task_struct", "thread_info.status"),
        stack_to_pt_regs: size_of("pt_regs").map_or(ABSENT, |size| THREAD_SIZE - size.min(THREAD_SIZE)),
    };
    Resolved { layout, missing }
}
