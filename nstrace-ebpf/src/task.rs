//! A task's identity and credentials, from `struct task_struct`.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf};
use nstrace_common::task::{PID_LEVELS, Task};

use crate::{
    config::{has_pt_regs_helper, offset, self_tgid, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, read_bytes},
};

/// `current`.
#[inline(always)]
pub fn current() -> Kptr {
    if has_pt_regs_helper() {
        // SAFETY: no preconditions.
        unsafe { bpf_get_current_task_btf().cast_const().cast() }
    } else {
        // SAFETY: no preconditions.
        unsafe { bpf_get_current_task() as Kptr }
    }
}

/// `current` belongs to the tracer itself.
#[inline(always)]
pub fn is_self() -> bool {
    // SAFETY: no preconditions.
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    tgid as u32 == self_tgid()
}

/// Together with its number this is one task and no other: after execve(2) by a thread that is not the leader there are two in
/// turn that share number and start, but not the stack. (The address of the task itself the verifier lets nobody calculate with.)
#[inline(always)]
pub fn incarnation(task: Kptr) -> u64 {
    load_u64(task, offset!(task_start_boottime)) ^ load_u64(task, offset!(task_stack))
}

/// Writes every field of `to`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_task(to: *mut Task, task: Kptr) {
    let cred = load_ptr(task, offset!(task_real_cred));
    let comm = offset!(task_comm);
    let cgroup = load_ptr(load_ptr(task, offset!(task_cgroups)), offset!(css_set_dfl_cgrp));
    // SAFETY: `to` is writable as the caller promises.
    unsafe {
        (*to).start_boottime = load_u64(task, offset!(task_start_boottime));
        (*to).cgroup = load_u64(load_ptr(cgroup, offset!(cgroup_kn)), offset!(kernfs_node_id));
        (*to).cap_effective = load_u64(cred, offset!(cred_cap_effective));
        (*to).tid = load_u32(task, offset!(task_pid));
        (*to).tgid = load_u32(task, offset!(task_tgid));
        (*to).uid = load_u32(cred, offset!(cred_uid));
        (*to).euid = load_u32(cred, offset!(cred_euid));
        (*to).flags = load_u32(task, offset!(task_flags));
        (*to).former_tid = 0;
        let name = (&raw mut (*to).comm).cast::<u8>();
        if typed() {
            name.cast::<u64>().write_unaligned(load_u64(task, comm));
            name.cast::<u64>().add(1).write_unaligned(load_u64(task, comm + 8));
        } else {
            read_bytes(name, 16, task, comm);
        }
        (*to).level = write_pids(&raw mut (*to).pids, load_ptr(task, offset!(task_thread_pid)));
    }
}

/// Expands `$body` once per pid namespace level with `$level` a constant, because typed loads want constant offsets.
macro_rules! for_each_level {
    ($level:ident => $body:block) => {
        for_each_level!(@ $level $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    (@ $level:ident $body:block $($n:literal)+) => {
        $( { const $level: u32 = $n; $body } )+
    };
}

/// Writes the number in each level of `struct pid`, 0 beyond; returns its level.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
unsafe fn write_pids(to: *mut [u32; PID_LEVELS], pid: Kptr) -> u32 {
    let level = load_u32(pid, offset!(pid_level));
    let numbers = offset!(pid_numbers);
    let size = offset!(upid_size);
    let nr = offset!(upid_nr);
    let to = to.cast::<u32>();
    for i in 0..PID_LEVELS {
        // SAFETY: inside the array.
        unsafe { to.add(i).write_volatile(0) };
    }
    'levels: {
        for_each_level!(LEVEL => {
            if LEVEL > level {
                break 'levels;
            }
            // SAFETY: LEVEL < PID_LEVELS.
            unsafe { *to.add(LEVEL as usize) = load_u32(pid, numbers + LEVEL * size + nr) };
        });
    }
    level
}

/// The pid namespace a task lives in: `numbers[level].ns` of its `struct pid`; null after its release.
#[inline(always)]
pub fn active_pid_ns(task: Kptr) -> Kptr {
    let pid = load_ptr(task, offset!(task_thread_pid));
    let level = load_u32(pid, offset!(pid_level));
    let numbers = offset!(pid_numbers);
    let size = offset!(upid_size);
    let ns = offset!(upid_ns);
    if !typed() {
        return load_ptr(pid, numbers + level * size + ns);
    }
    for_each_level!(LEVEL => {
        if LEVEL == level {
            return load_ptr(pid, numbers + LEVEL * size + ns);
        }
    });
    core::ptr::null()
}
