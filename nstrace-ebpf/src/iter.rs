//! `iter/task`: every task that exists, in the same words as the live records.

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write, macros::map, maps::PerCpuArray};
use nstrace_common::{
    deed::Placed,
    record::{Namespace, TaskState, hook, kind},
    slots::{PID, USER},
};

use crate::{
    config::{initial, offset},
    emit::{now, write_header},
    initial::{all_initial, remember_host_root, remember_kthreadd},
    kernel_memory::{Kptr, load_ptr, load_u32},
    namespace::write_namespace,
    placed::write_placed,
    slots::{for_each_nsproxy_slot, inum, write_task_slots},
    task::{active_pid_ns, write_task},
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
    seq: *mut seq_file,
}

/// Too large for the stack together with what the compiler spills.
#[map]
static TASK_OUT: PerCpuArray<TaskState> = PerCpuArray::with_max_entries(1, 0);
#[map]
static PLACED_OUT: PerCpuArray<Placed> = PerCpuArray::with_max_entries(1, 0);
#[map]
static NAMESPACE_OUT: PerCpuArray<Namespace> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn iter_task(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: the kernel passes a valid context; its pointers are loaded through the BTF-typed context.
    let (seq, task) = unsafe { ((*(*ctx).meta).seq, (*ctx).task) };
    if task.is_null() {
        return 0;
    }
    remember_kthreadd(task);
    remember_host_root(task);
    if load_u32(task, offset!(task_tgid)) == load_u32(task, offset!(task_pid)) {
        describe_all(seq, task);
    }
    let Some(to) = TASK_OUT.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch slot of this CPU; an iterator is not re-entered on it.
    unsafe {
        write_header((&raw mut (*to).header).cast(), now(), kind::TASK, hook::ITER_TASK, 0);
        write_task(&raw mut (*to).task, task);
        write_task_slots(&raw mut (*to).slots, task);
        bpf_seq_write(seq, to.cast_const().cast(), size_of::<TaskState>() as u32);
    }
    if all_initial(task) {
        return 0;
    }
    let Some(to) = PLACED_OUT.get_ptr_mut(0) else { return 0 };
    // SAFETY: as above.
    unsafe {
        write_header((&raw mut (*to).header).cast(), now(), kind::PLACED, hook::ITER_TASK, 0);
        write_placed(to, task, 0);
        bpf_seq_write(seq, to.cast_const().cast(), size_of::<Placed>() as u32);
    }
    0
}

/// Writes a [`Namespace`] for each non-initial namespace of the task.
#[inline(always)]
fn describe_all(seq: *mut seq_file, task: Kptr) {
    let nsproxy = load_ptr(task, offset!(task_nsproxy));
    for_each_nsproxy_slot!(|SLOT, T, member| {
        describe::<T>(seq, load_ptr(nsproxy, member));
    });
    describe::<PID>(seq, active_pid_ns(task));
    let cred = load_ptr(task, offset!(task_real_cred));
    describe::<USER>(seq, load_ptr(cred, offset!(cred_user_ns)));
}

#[inline(always)]
fn describe<const T: usize>(seq: *mut seq_file, ns: Kptr) {
    let number = inum::<T>(ns);
    if number == 0 || number == initial(T) {
        return;
    }
    let Some(to) = NAMESPACE_OUT.get_ptr_mut(0) else { return };
    // SAFETY: as in `iter_task`.
    unsafe {
        write_header((&raw mut (*to).header).cast(), now(), kind::NAMESPACE, hook::ITER_TASK, 0);
        write_namespace::<T>(to, ns);
        bpf_seq_write(seq, to.cast_const().cast(), size_of::<Namespace>() as u32);
    }
}
