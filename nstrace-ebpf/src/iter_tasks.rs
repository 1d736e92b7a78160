//! `iter/task` for the census: every thread with the objects it hangs on.

use aya_ebpf::{bindings::seq_file, macros::map, maps::PerCpuArray};
use nstrace_common::{
    census::{Pid, Task, kind},
    slots::{PID, PID_FOR_CHILDREN, TIME_FOR_CHILDREN, USER},
};

use crate::{
    config::{offset, self_tgid, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_waiting, head, key},
    slots::for_each_nsproxy_slot,
    task::active_pid_ns,
};

/// `struct bpf_iter__task`: two BTF-typed pointers.
#[repr(C)]
pub struct TaskIteration {
    meta: *const IterationMeta,
    /// NULL in the last call.
    task: Kptr,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
pub struct IterationMeta {
    pub seq: *mut seq_file,
    pub session_id: u64,
    pub seq_num: u64,
}

/// Too large for the stack together with what the compiler spills.
#[map]
static TASK_OUT: PerCpuArray<Task> = PerCpuArray::with_max_entries(1, 0);

impl TaskIteration {
    /// # Safety
    /// `self` is the context the kernel passed.
    #[inline(always)]
    pub unsafe fn visit(&self) -> Visit {
        // SAFETY: `meta` is valid while the program runs.
        unsafe { Visit { seq: (*self.meta).seq, number: (*self.meta).seq_num + 1 } }
    }

    /// The visited task.
    #[inline(always)]
    pub fn task(&self) -> Kptr {
        self.task
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_task(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: the kernel passes a valid context; its pointers are loaded through the BTF-typed context.
    let (visit, task) = unsafe {
        let meta = (*ctx).meta;
        (Visit { seq: (*meta).seq, number: (*meta).seq_num + 1 }, (*ctx).task)
    };
    if task.is_null() {
        describe_waiting(visit);
        return 0;
    }
    let tgid = load_u32(task, offset!(task_tgid));
    if tgid == self_tgid() {
        return 0;
    }
    let nsproxy = load_ptr(task, offset!(task_nsproxy));
    let real_cred = load_ptr(task, offset!(task_real_cred));
    let pid = load_ptr(task, offset!(task_thread_pid));
    let signal = load_ptr(task, census!(task_signal));
    let comm = offset!(task_comm);
    let Some(to) = TASK_OUT.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch slot of this CPU, of which every field is written.
    let record = unsafe { &mut *to };
    record.head = head::<Task>(kind::TASK);
    record.start_boottime = load_u64(task, offset!(task_start_boottime));
    record.cgroup = cgroup_of(task);
    record.nsproxy = nsproxy as u64;
    record.real_cred = real_cred as u64;
    record.cred = load_u64(task, offset!(task_cred));
    record.pid = pid as u64;
    record.ucounts = load_u64(real_cred, census!(cred_ucounts));
    let mm = load_ptr(task, census!(task_mm));
    let exe_cred = load_ptr(load_ptr(mm, census!(mm_struct_exe_file)), census!(file_f_cred));
    record.group = pid_of(load_ptr(signal, census!(signal_struct_pids) + 8 * PIDTYPE_PGID));
    record.session = pid_of(load_ptr(signal, census!(signal_struct_pids) + 8 * PIDTYPE_SID));
    record.mm = mm as u64;
    record.mm_user = key(load_ptr(mm, census!(mm_struct_user_ns)), USER as u32);
    record.exe_cred = exe_cred as u64;
    record.exe_user = key(load_ptr(exe_cred, offset!(cred_user_ns)), USER as u32);
    record.tid = load_u32(task, offset!(task_pid));
    record.tgid = tgid;
    record.ppid = load_u32(load_ptr(task, census!(task_real_parent)), offset!(task_tgid));
    record.uid = load_u32(real_cred, offset!(cred_uid));
    record.flags = load_u32(task, offset!(task_flags));
    record.exit_state = load_u32(task, census!(task_exit_state));
    // SAFETY: inside the sixteen bytes.
    unsafe {
        let name = (&raw mut record.comm).cast::<u64>();
        name.write_unaligned(load_u64(task, comm));
        name.add(1).write_unaligned(load_u64(task, comm + 8));
    }
    // What a thread shares with its leader was described with the leader.
    let leader = load_ptr(task, census!(task_group_leader));
    let shares = leader != task && load_ptr(leader, offset!(task_nsproxy)) == nsproxy;
    for_each_nsproxy_slot!(|SLOT, T, member| {
        let ns = load_ptr(nsproxy, member);
        record.slots[SLOT] = if shares { key(ns, T as u32) } else { describe(visit, ns, T as u32) };
    });
    let user = load_ptr(real_cred, offset!(cred_user_ns));
    record.slots[USER] = describe(visit, user, USER as u32);
    record.slots[PID] = describe(visit, active_pid_ns(task), PID as u32);
    describe_waiting(visit);
    visit.write(record);
    0
}

/// `enum pid_type`.
const PIDTYPE_PGID: u32 = 2;
const PIDTYPE_SID: u32 = 3;

/// The `struct pid`, which outlives its process while the group or session does, and the pid namespace it holds.
#[inline(always)]
fn pid_of(pid: Kptr) -> Pid {
    // Constant offsets only go with typed loads.
    let level = if typed() { 0 } else { load_u32(pid, offset!(pid_level)) & 63 };
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    Pid { pid: pid as u64, ns: key(ns, PID as u32) }
}

#[inline(always)]
fn cgroup_of(task: Kptr) -> u64 {
    let cgroup = load_ptr(load_ptr(task, offset!(task_cgroups)), offset!(css_set_dfl_cgrp));
    load_u64(load_ptr(cgroup, offset!(cgroup_kn)), offset!(kernfs_node_id))
}

const _: () = assert!(PID_FOR_CHILDREN == 8 && TIME_FOR_CHILDREN == 9);
