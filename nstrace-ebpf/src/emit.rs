//! The ring buffer, its per-CPU numbering and its losses.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE},
    helpers::generated::{bpf_get_current_cgroup_id, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
    macros::map,
    maps::{Array, LruPerCpuHashMap, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use nstrace_common::record::{Header, hook};

/// Replaced by the collector's `--ring-size`.
const RING_BYTES: u32 = 8 << 20;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Record number of this CPU.
#[map]
static SEQ: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Records that were not written, per hook, processor by processor: the collector makes it as large as that takes, and reads it
/// by mmap. While a task asks for an entry by bpf(2), the kernel skips every kprobe and tracepoint program of that CPU
/// (`bpf_disable_instrumentation`), and on a preemptible kernel the task may be put aside in the middle of it.
#[map]
static DROPS: Array<u64> = Array::with_max_entries(hook::COUNT as u32, BPF_F_MMAPABLE);

/// The same by cgroup of whoever ran, and hook: who floods the ring. What does not fit here is in [`DROPS`] all the same.
#[map]
static FLOODS: LruPerCpuHashMap<[u64; 2], u64> = LruPerCpuHashMap::with_max_entries(1024, 0);

/// `debug!` of aya-log in objects built with the `log` feature, nothing in shipped ones.
macro_rules! debug {
    ($ctx:expr, $($format:tt)+) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($ctx, $($format)+);
    };
}
pub(crate) use debug;

/// Reserves a record and writes its header. None: the ring is full, and the loss is counted.
#[inline(always)]
pub fn reserve<T: 'static>(kind: u16, by: u16) -> Option<RingBufEntry<T>> {
    reserve_if(kind, by, || true)
}

/// As [`reserve`], if `so` holds once the record has its place in the ring: what other tasks do after that is told after it.
#[inline(always)]
pub fn reserve_if<T: 'static>(kind: u16, by: u16, so: impl FnOnce() -> bool) -> Option<RingBufEntry<T>> {
    // Before the place in the ring is taken: every record in an earlier place then has a time at which it was not taken
    // yet, so that the reader, who gives each record at least the time of those before it, never puts it after the fact.
    let boot_ns = now();
    let entry = EVENTS.reserve::<T>(0);
    if !so() {
        if let Some(entry) = entry {
            entry.discard(0);
        }
        return None;
    }
    // Numbered after the reservation, so that an interrupting program rarely gets a number out of ring order; a failed
    // reservation takes a number too, so that the reader sees the gap.
    let Some(mut entry) = entry else {
        lose(by);
        return None;
    };
    let seq = next_seq();
    // SAFETY: every record starts with a `Header`, and the entry is as large as `T`.
    unsafe { write_header(entry.as_mut_ptr().cast(), boot_ns, kind, by, seq) };
    Some(entry)
}

/// Writes every field of the header at `to`.
///
/// # Safety
/// `to` points to writable memory of at least the size of a `Header`.
#[inline(always)]
pub unsafe fn write_header(to: *mut Header, boot_ns: u64, kind: u16, by: u16, seq: u64) {
    // SAFETY: `to` is writable as the caller promises; the helper has no preconditions.
    unsafe {
        (*to).seq = seq;
        (*to).boot_ns = boot_ns;
        (*to).kind = kind;
        (*to).hook = by;
        (*to).cpu = bpf_get_smp_processor_id();
    }
}

/// Nanoseconds since boot, suspends included (CLOCK_BOOTTIME).
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn next_seq() -> u64 {
    let Some(counter) = SEQ.get_ptr_mut(0) else { return 0 };
    // SAFETY: the slot of this CPU; an interrupting program may at worst repeat a number, never skip one.
    unsafe {
        let seq = *counter + 1;
        *counter = seq;
        seq
    }
}

/// The ring is so full that records which say only who forked, executed or died are no longer written: the last quarter is for
/// the lives of namespaces, so that no crowd of processes keeps them out. The loss is counted; the census that follows it
/// tells who is where.
#[inline(always)]
pub fn crowded(by: u16) -> bool {
    let size = EVENTS.query(u64::from(BPF_RB_RING_SIZE));
    let crowded = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > size - size / 4;
    if crowded {
        lose(by);
    }
    crowded
}

/// Counts a record that is not written, and leaves a gap in the numbers for it.
#[inline(always)]
pub fn lose(by: u16) {
    next_seq();
    // SAFETY: no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    if let Some(drops) = DROPS.get_ptr_mut(cpu * hook::COUNT as u32 + u32::from(by)) {
        // SAFETY: the slot of this CPU.
        unsafe { *drops += 1 };
    }
    // A namespace is freed in whatever context: nobody's doing.
    if by == hook::PROC_FREE_INUM {
        return;
    }
    // SAFETY: no preconditions.
    let key = [unsafe { bpf_get_current_cgroup_id() }, u64::from(by)];
    match FLOODS.get_ptr_mut(&key) {
        // SAFETY: the slot of this CPU.
        Some(count) => unsafe { *count += 1 },
        None => {
            let _ = FLOODS.insert(&key, &1, 0);
        }
    }
}
