//! setns and unshare in tracepoint mode: the task's slots at a call's entry against those at its exit.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{map, tracepoint},
    maps::LruHashMap,
    programs::TracePointContext,
};
use nstrace_common::{
    entered::Entered,
    record::hook,
};

use crate::{
    calls::{asked, tell_failure, tracepoint_ret},
    config::{doubled, offset},
    emit::{lose, now},
    kernel_memory::load_ptr,
    namespace::{describe_changed, describe_user},
    preempt::uninterrupted,
    slots::{empty_slots, write_task_slots},
    task::{current, is_self},
    told::{self, Copy},
    transition::{Change, tell_transition},
};

/// By tid. LRU: what is pushed out is told as lost at the return.
#[map]
static ENTERED: LruHashMap<u32, Entered> = LruHashMap::with_max_entries(4096, 0);

/// What a new entry is copied from. Two sets of slots leave the stack too small before 6.8, where each frame counts 32 bytes at least.
static NOTHING: Entered = Entered { before: empty_slots(), after: empty_slots(), boot_ns: 0, by: 0, seen_by_last: 0 };

/// A new entry for `current`.
#[inline(always)]
fn enter(tid: u32) -> Option<*mut Entered> {
    let _ = ENTERED.insert(&tid, &NOTHING, 0);
    ENTERED.get_ptr_mut(&tid)
}

#[tracepoint]
pub fn sys_enter_setns(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::SETNS, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_enter_setns_again(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::SETNS, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_enter_unshare(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::UNSHARE, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_enter_unshare_again(_ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    entered(hook::UNSHARE, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_setns(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::SETNS, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_setns_again(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::SETNS, Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_setns_third(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::SETNS, Copy::Last);
    0
}

#[tracepoint]
pub fn sys_exit_unshare(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Earliest);
    0
}

#[tracepoint]
pub fn sys_exit_unshare_again(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Middle);
    0
}

#[tracepoint]
pub fn sys_exit_unshare_third(ctx: TracePointContext) -> u32 {
    let _guard = uninterrupted();
    returned(tracepoint_ret(&ctx), hook::UNSHARE, Copy::Last);
    0
}

#[inline(always)]
fn entered(by: u16, this: Copy) {
    if is_self() {
        return;
    }
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    let is_last = matches!(this, Copy::Last);
    if doubled()
        && let Some(call) = ENTERED.get_ptr_mut(&tid)
    {
        // SAFETY: an element of the map; only this task writes its own.
        let of_this_call = is_last && unsafe { (*call).seen_by_last } == 0;
        if !of_this_call {
            forget_call(tid);
        }
    }
    let Some(call) = enter(tid) else { return };
    // SAFETY: as above.
    unsafe {
        write_task_slots(&raw mut (*call).before, current());
        (*call).boot_ns = now();
        (*call).by = u32::from(by);
        (*call).seen_by_last = u32::from(is_last);
    }
}

/// A task is past its last setns or unshare. Every return takes away what the entry left, so if it is there still, all programs at
/// the return were skipped.
#[inline(always)]
pub fn forget_call(tid: u32) {
    if !doubled() {
        return;
    }
    if let Some(call) = ENTERED.get_ptr_mut(&tid) {
        // SAFETY: an element of the map; only this task writes its own.
        let by = unsafe { (*call).by };
        let _ = ENTERED.remove(&tid);
        lose(by as u16);
    }
}

#[inline(always)]
fn returned(ret: i32, by: u16, this: Copy) {
    if is_self() {
        return;
    }
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    let told = told::is_told_by_other(by, this, || asked(ret));
    let call = ENTERED.get_ptr_mut(&tid);
    // Who tells takes the entry away: if it is there, the mark is of another call.
    if told && call.is_none() {
        return;
    }
    if ret < 0 {
        let _ = ENTERED.remove(&tid);
        tell_failure(ret, by);
        return;
    }
    let call = match call {
        Some(call) => call,
        // The entry was pushed out of the map, or its program was skipped: what the call changed cannot be told.
        None => {
            lose(by);
            let Some(call) = enter(tid) else { return };
            call
        }
    };
    let task = current();
    // SAFETY: an element of the map is writable; only this task writes its own.
    let call = unsafe {
        write_task_slots(&raw mut (*call).after, task);
        &*call
    };
    let (before, after) = (&call.before, &call.after);
    describe_changed(load_ptr(task, offset!(task_nsproxy)), before, after, by);
    describe_user(load_ptr(task, offset!(task_real_cred)), before, after, by);
    let change = Change { before, after, entered_boot_ns: call.boot_ns };
    tell_transition(task, &change, ret, by);
    let _ = ENTERED.remove(&tid);
}
