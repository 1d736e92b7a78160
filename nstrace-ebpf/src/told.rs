//! Which facts have been told, on kernels where several programs stand at the place of one: see [`crate::life`]. Whichever comes
//! first tells, so that neither the ring nor the model is given everything twice.

use aya_ebpf::{helpers::generated::bpf_get_current_pid_tgid, macros::map, maps::LruHashMap};

use crate::{config::doubled, emit::now};

/// By hook and number of the task. LRU: what is pushed out is told twice, which the model knows how to take.
#[map]
static TOLD: LruHashMap<u64, u64> = LruHashMap::with_max_entries(8192, 0);

/// The call of a task that was told last, by hook and number of the task.
#[map]
static TOLD_CALLS: LruHashMap<u64, ToldCall> = LruHashMap::with_max_entries(4096, 0);

#[derive(Clone, Copy)]
#[repr(C)]
struct ToldCall {
    boot_ns: u64,
    what: u64,
}

/// All programs see one call within this time, nanoseconds; a mark that is older was left when the last one was skipped.
const ONE_CALL: u64 = 1_000_000_000;

/// Which of several programs at one place. The order in which they run is the kernel's: of a tracepoint the one that was attached
/// first comes first (`bpf_prog_array_copy`), of a trampoline last (`__bpf_trampoline_link_prog`).
#[derive(Clone, Copy)]
pub enum Copy {
    Earliest,
    Middle,
    Last,
}

#[inline(always)]
fn key(by: u16, tid: u32) -> u64 {
    u64::from(by) << 32 | u64::from(tid)
}

/// Whether the fact `by`, which comes once in the life of a task, has been told about this one. `incarnation`: no other task has
/// the same together with `tid`.
#[inline(always)]
pub fn is_told(by: u16, tid: u32, incarnation: u64) -> bool {
    // SAFETY: read at once.
    doubled() && unsafe { TOLD.get(&key(by, tid)) }.is_some_and(|told| *told == incarnation)
}

/// It has been told now.
#[inline(always)]
pub fn tell(by: u16, tid: u32, incarnation: u64) {
    if doubled() {
        let _ = TOLD.insert(&key(by, tid), &incarnation, 0);
    }
}

/// Whether another program has told of the call that `current` is in, given that `this` one sees it; if not, this one has to, now.
/// `what` tells one call from another, as far as it can.
///
/// A call is lost only when all are skipped; or when the last one was skipped in the task's call before, the earliest one in this, and
/// both calls are the same.
#[inline(always)]
pub fn is_told_by_other(by: u16, this: Copy, what: impl FnOnce() -> u64) -> bool {
    if !doubled() {
        return false;
    }
    // SAFETY: no preconditions.
    let key = key(by, unsafe { bpf_get_current_pid_tgid() } as u32);
    let (boot_ns, what) = (now(), what());
    if !matches!(this, Copy::Earliest) {
        // SAFETY: read at once.
        let told = unsafe { TOLD_CALLS.get(&key) }.map(|told| *told);
        if matches!(this, Copy::Last) {
            let _ = TOLD_CALLS.remove(&key);
        }
        if told.is_some_and(|told| told.what == what && boot_ns.wrapping_sub(told.boot_ns) < ONE_CALL) {
            return true;
        }
    }
    if !matches!(this, Copy::Last) {
        let _ = TOLD_CALLS.insert(&key, &ToldCall { boot_ns, what }, 0);
    }
    false
}
