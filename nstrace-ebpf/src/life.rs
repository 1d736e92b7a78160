//! exec and exit of tasks.
//!
//! On a preemptible kernel a task can be preempted inside a BTF tracepoint or trampoline program, and the kernel then
//! skips that program for every other task of the CPU. So there the collector attaches a second copy of each (`*_again`),
//! which has a counter of its own; the model merges what both report. That is not enough for births and deaths, of which there
//! are many: while one task is kept inside the first copy and another one inside the second, a third one is missed by both.
//! They are looked for at a second place, by a kprobe if kprobes are allowed: those run without being preempted.

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use nstrace_common::record::{TaskState, hook, kind};

use crate::{
    config::offset,
    emit::{crowded, debug, reserve},
    initial::{all_initial, all_initial_untyped},
    kernel_memory::{Kptr, load_u32},
    preempt::uninterrupted,
    slots::write_task_slots,
    task::{current, incarnation, is_self, write_task},
    told,
};

/// `sched_process_exec(p, old_pid, bprm)`: after the new program is in place, and after `exec_task_namespaces` (6.12+).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    let old_pid: u32 = ctx.arg(1);
    let _guard = uninterrupted();
    executed(task, old_pid);
    0
}

/// `sched_process_exit(p)`: the task is dying but still has its namespaces.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    debug!(&ctx, "sched_process_exit {}", load_u32(task, offset!(task_pid)));
    if !all_initial(task) {
        let _guard = uninterrupted();
        dies(task);
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_again(ctx: BtfTracePointContext) -> u32 {
    let _guard = uninterrupted();
    executed(ctx.arg(0), ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_again(ctx: BtfTracePointContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    if !all_initial(task) {
        let _guard = uninterrupted();
        dies(task);
    }
    0
}

/// `exit_files(tsk)`: what every dying task passes after `sched_process_exit`, with its namespaces.
#[kprobe]
pub fn kprobe_sched_process_exit(ctx: ProbeContext) -> u32 {
    let task = ctx.arg::<u64>(0).unwrap_or(0) as Kptr;
    // Another one: a clone that failed half-way.
    if task as u64 == current() as u64 && !all_initial_untyped(task) {
        dies(task);
    }
    0
}

/// As [`kprobe_sched_process_exit`].
#[fentry(function = "exit_files")]
pub fn fentry_sched_process_exit(ctx: FEntryContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    if task as u64 == current() as u64 && !all_initial(task) {
        let _guard = uninterrupted();
        dies(task);
    }
    0
}

#[inline(always)]
fn executed(task: Kptr, old_pid: u32) {
    if all_initial(task) {
        return;
    }
    let former = if old_pid == load_u32(task, offset!(task_pid)) { 0 } else { old_pid };
    state(task, kind::EXEC, hook::SCHED_PROCESS_EXEC, former);
}

#[inline(always)]
fn dies(task: Kptr) {
    let (tid, incarnation) = (load_u32(task, offset!(task_pid)), incarnation(task));
    if !told::is_told(hook::SCHED_PROCESS_EXIT, tid, incarnation)
        && state(task, kind::EXIT, hook::SCHED_PROCESS_EXIT, 0)
    {
        told::tell(hook::SCHED_PROCESS_EXIT, tid, incarnation);
    }
}

/// Whether it is in the ring.
#[inline(always)]
fn state(task: Kptr, kind: u16, by: u16, former_tid: u32) -> bool {
    if is_self() || crowded(by) {
        return false;
    }
    let Some(mut entry) = reserve::<TaskState>(kind, by) else { return false };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `TaskState`.
    unsafe {
        write_task(&raw mut (*to).task, task);
        (*to).task.former_tid = former_tid;
        write_task_slots(&raw mut (*to).slots, task);
    }
    entry.submit(0);
    true
}
