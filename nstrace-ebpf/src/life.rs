//! exec and exit of tasks.
//!
//! On a preemptible kernel a task can be preempted inside a BTF tracepoint or trampoline program, and the kernel then skips
//! that program for every other task of the CPU. So there the collector attaches a second copy of each (`*_again`), which has a
//! counter of its own; the model merges what both report (refusals, of which it cannot know how many there were, have three and
//! a mark: [`crate::told`]). That is not enough for births, executions and deaths, of which there are many: while one task is kept
//! inside the first copy and another one inside the second, a third one is missed by both. They are looked for by a third program,
//! which cannot be preempted.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use nstrace_common::record::{TaskState, hook, kind};

use crate::{
    config::offset,
    emit::{crowded, debug, reserve},
    entered::forget_call,
    initial::all_initial,
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

/// `sched/sched_process_exec`: 8 bytes of common fields, where the file's name lies, the task's number, and the one it had before.
const EXEC_OLD_PID: usize = 16;

/// The same by perf, which is not preempted.
#[tracepoint]
pub fn sched_process_exec_elsewhere(ctx: TracePointContext) -> u32 {
    // SAFETY: the record of the tracepoint is 20 bytes long; context loads need no helper.
    let old_pid = unsafe { ctx.as_ptr().cast::<u8>().add(EXEC_OLD_PID).cast::<u32>().read_volatile() };
    executed(current(), old_pid);
    0
}

/// As [`sched_process_exec_elsewhere`].
#[tracepoint]
pub fn sched_process_exit_elsewhere(_ctx: TracePointContext) -> u32 {
    let task = current();
    if !all_initial(task) {
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
        forget_call(tid);
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
