//! `iter/task` for the census: every thread with the objects it hangs on.

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_probe_read_kernel, macros::map, maps::PerCpuArray};
use nstrace_common::{
    census::{Pid, Task, kind},
    layout::ABSENT,
    slots::{PID, PID_FOR_CHILDREN, SLOTS, TIME_FOR_CHILDREN, USER},
    task::COMM_LEN,
};

use crate::{
    config::{is_others, offset},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, number},
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
static TASK_OUT: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// The record, and what was found for the last task whose namespaces were described: most tasks share all of theirs with the
/// task before.
#[repr(C)]
struct Scratch {
    record: Task,
    task: u64,
    /// Addresses of the namespaces in the slots, of which the record has the keys.
    spaces: [u64; SLOTS],
    /// When they were described. A visit that is repeated has to describe them again.
    session: u64,
    visit: u64,
    /// `struct nsproxy`, read at once.
    nsproxy: [u64; NSPROXY],
}

/// Words of `struct nsproxy`: a count and eight namespaces.
const NSPROXY: usize = 9;

impl Scratch {
    /// The pointer at `offset` of the copy of `nsproxy`.
    #[inline(always)]
    fn space(&self, offset: u32) -> u64 {
        // A constant to the verifier.
        if offset as usize > (NSPROXY - 1) * 8 {
            return 0;
        }
        // SAFETY: inside the copy.
        unsafe { (&raw const self.nsproxy).cast::<u8>().add(offset as usize).cast::<u64>().read_volatile() }
    }
}

impl TaskIteration {
    /// # Safety
    /// `self` is the context the kernel passed.
    #[inline(always)]
    pub unsafe fn visit(&self) -> Visit {
        // SAFETY: `meta` is valid while the program runs.
        unsafe { Visit { seq: (*self.meta).seq, number: (*self.meta).seq_num + 1 } }
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_task(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: the kernel passes a valid context; its pointers are loaded through the BTF-typed context.
    let visit = unsafe { (*ctx).visit() };
    // SAFETY: as above.
    unsafe { tell_task(ctx, visit) };
    describe_waiting(visit);
    0
}

/// Writes the record of the visited task, whose namespaces [`describe_waiting`] has to describe; returns its address, null: it
/// is not to be told.
///
/// # Safety
/// `ctx` is the context the kernel passed.
#[inline(always)]
pub unsafe fn tell_task(ctx: *mut TaskIteration, visit: Visit) -> Kptr {
    // SAFETY: as the caller promises.
    let (session, task) = unsafe { ((*(*ctx).meta).session_id, (*ctx).task) };
    let none = core::ptr::null();
    let Some(to) = TASK_OUT.get_ptr_mut(0) else { return none };
    // SAFETY: the scratch slot of this CPU, of whose record every field is written.
    let scratch = unsafe { &mut *to };
    if task.is_null() {
        return none;
    }
    let task = number(&mut scratch.task, task) as Kptr;
    let tgid = load_u32(task, offset!(task_tgid));
    if is_others(tgid) {
        return none;
    }
    write_task(&mut scratch.record, task, tgid);

    // SAFETY: the helper writes as many bytes as there are, zeroes when there is no nsproxy.
    unsafe {
        let nsproxy = scratch.record.nsproxy as Kptr;
        bpf_probe_read_kernel((&raw mut scratch.nsproxy).cast(), (NSPROXY * 8) as u32, nsproxy.cast());
    }
    let mut differs = 0;
    for_each_nsproxy_slot!(|SLOT, T, member| {
        let _ = T;
        let space = scratch.space(member);
        differs |= scratch.spaces[SLOT] ^ space;
        scratch.spaces[SLOT] = space;
    });
    let user = load_u64(scratch.record.real_cred as Kptr, offset!(cred_user_ns));
    let pid = active_pid_ns(task) as u64;
    differs |= (scratch.spaces[USER] ^ user) | (scratch.spaces[PID] ^ pid);
    scratch.spaces[USER] = user;
    scratch.spaces[PID] = pid;
    if differs != 0 || scratch.session != session || scratch.visit >= visit.number {
        scratch.session = session;
        scratch.visit = visit.number;
        for_each_nsproxy_slot!(|SLOT, T, member| {
            let _ = member;
            scratch.record.slots[SLOT] = describe(visit.number, scratch.spaces[SLOT] as Kptr, T as u32);
        });
        scratch.record.slots[USER] = describe(visit.number, scratch.spaces[USER] as Kptr, USER as u32);
        scratch.record.slots[PID] = describe(visit.number, scratch.spaces[PID] as Kptr, PID as u32);
    }
    visit.write(&scratch.record);
    task
}

/// Everything but the slots.
#[inline(always)]
fn write_task(record: &mut Task, task: Kptr, tgid: u32) {
    let real_cred = load_ptr(task, offset!(task_real_cred));
    record.head = head::<Task>(kind::TASK);
    record.start_boottime = load_u64(task, offset!(task_start_boottime));
    record.cgroup = cgroup_of(task);
    record.nsproxy = load_u64(task, offset!(task_nsproxy));
    record.real_cred = real_cred as u64;
    record.cred = load_u64(task, offset!(task_cred));
    record.pid = load_u64(task, offset!(task_thread_pid));
    record.ucounts = load_u64(real_cred, census!(cred_ucounts));
    let signal = load_ptr(task, census!(task_signal));
    record.group = pid_of(load_ptr(signal, census!(signal_struct_pids) + 8 * PIDTYPE_PGID));
    record.session = pid_of(load_ptr(signal, census!(signal_struct_pids) + 8 * PIDTYPE_SID));
    let mm = load_ptr(task, census!(task_mm));
    let state = census!(task_exec_state);
    let (executed, user) = if state == ABSENT {
        (mm, census!(mm_struct_user_ns))
    } else {
        (load_ptr(task, state), census!(task_exec_state_user_ns))
    };
    record.mm = executed as u64;
    record.mm_user = key(load_ptr(executed, user), USER as u32);
    let exe_cred = load_ptr(load_ptr(mm, census!(mm_struct_exe_file)), census!(file_f_cred));
    record.exe_cred = exe_cred as u64;
    record.exe_user = key(load_ptr(exe_cred, offset!(cred_user_ns)), USER as u32);
    record.tid = load_u32(task, offset!(task_pid));
    record.tgid = tgid;
    record.ppid = load_u32(load_ptr(task, census!(task_real_parent)), offset!(task_tgid));
    record.uid = load_u32(real_cred, offset!(cred_uid));
    record.flags = load_u32(task, offset!(task_flags));
    record.exit_state = load_u32(task, census!(task_exit_state));
    // SAFETY: the helper writes sixteen bytes.
    unsafe {
        let comm = task.wrapping_add(offset!(task_comm) as usize);
        bpf_probe_read_kernel((&raw mut record.comm).cast(), COMM_LEN as u32, comm.cast());
    }
}

/// `enum pid_type`.
const PIDTYPE_PGID: u32 = 2;
const PIDTYPE_SID: u32 = 3;

/// The `struct pid`, which outlives its process while the group or session does, and the pid namespace it holds.
#[inline(always)]
fn pid_of(pid: Kptr) -> Pid {
    let level = load_u32(pid, offset!(pid_level)) & 63;
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    Pid { pid: pid as u64, ns: key(ns, PID as u32) }
}

#[inline(always)]
fn cgroup_of(task: Kptr) -> u64 {
    let cgroup = load_ptr(load_ptr(task, offset!(task_cgroups)), offset!(css_set_dfl_cgrp));
    load_u64(load_ptr(cgroup, offset!(cgroup_kn)), offset!(kernfs_node_id))
}

const _: () = assert!(PID_FOR_CHILDREN == 8 && TIME_FOR_CHILDREN == 9);
