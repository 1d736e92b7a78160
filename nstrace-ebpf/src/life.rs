//! exec and exit of tasks.
//!
//! On a preemptible kernel a task can be preempted inside a BTF tracepoint or trampoline program, and the kernel then
//! skips that program for every other task of the CPU. So there the collector attaches a second copy of each (`*_again`),
//! which has a counter of its own; the model merges what both report.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use nstrace_common::record::{TaskState, hook, kind};

use crate::{
    config::offset,
    emit::{crowded, debug, reserve},
    initial::all_initial,
    kernel_memory::{Kptr, load_u32},
    slots::write_task_slots,
    task::{is_self, write_task},
};

/// `sched_process_exec(p, old_pid, bprm)`: after the new program is in place, and after `exec_task_namespaces` (6.12+).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    let old_pid: u32 = ctx.arg(1);
    state(task, kind::EXEC, hook::SCHED_PROCESS_EXEC, old_pid);
    0
}

/// `sched_process_exit(p)`: the task is dying but still has its namespaces.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> u32 {
    let task: Kptr = ctx.arg(0);
    debug!(&ctx, "sched_process_exit {}", load_u32(task, offset!(task_pid)));
    state(task, kind::EXIT, hook::SCHED_PROCESS_EXIT, 0);
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_again(ctx: BtfTracePointContext) -> u32 {
    state(ctx.arg(0), kind::EXEC, hook::SCHED_PROCESS_EXEC, ctx.arg(1));
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_again(ctx: BtfTracePointContext) -> u32 {
    state(ctx.arg(0), kind::EXIT, hook::SCHED_PROCESS_EXIT, 0);
    0
}

#[inline(always)]
fn state(task: Kptr, kind: u16, by: u16, old_pid: u32) {
    if all_initial(task) || is_self() || crowded(by) {
        return;
    }
    let Some(mut entry) = reserve::<TaskState>(kind, by) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `TaskState`.
    unsafe {
        write_task(&raw mut (*to).task, task);
        (*to).task.former_tid = if old_pid == load_u32(task, offset!(task_pid)) { 0 } else { old_pid };
        write_task_slots(&raw mut (*to).slots, task);
    }
    entry.submit(0);
}
