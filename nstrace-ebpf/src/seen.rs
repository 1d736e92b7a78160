//! Namespaces as the iterators meet them: each is described once, before the first record that names it.
//!
//! [`census_describe`] and [`census_next`] are global functions (with `no_mangle`): the verifier walks those once by
//! themselves, and not again in the state of every caller. That is what makes a census load in a few milliseconds.

use aya_ebpf::{
    bindings::seq_file,
    helpers::generated::bpf_seq_write,
    macros::map,
    maps::{Array, HashMap},
};
use nstrace_common::{
    census::{CensusLayout, Head, Namespace, kind},
    layout::ABSENT,
    slots::{CLONE_FLAG, PID, TYPES, USER},
};

use crate::{
    config::{LAYOUT, constant, offset},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::numbers_of,
};

#[unsafe(no_mangle)]
pub static CENSUS: CensusLayout = CensusLayout::UNKNOWN;

/// One member of [`CENSUS`].
macro_rules! census {
    ($($member:tt)+) => {
        $crate::config::constant(&$crate::seen::CENSUS.$($member)+)
    };
}
pub(crate) use census;

/// Namespaces described in one visit: a task can bring ten and their owners.
const DESCRIBED: u32 = 16;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;

/// Key of a described namespace → visit in which it was. A visit whose output found the buffer full is repeated by
/// the kernel with the same number, so what was described in it must be described again.
#[map]
static SEEN: HashMap<u64, u64> = HashMap::with_max_entries(1 << 18, NO_PREALLOC);

/// Where an iterator's records go.
#[derive(Clone, Copy)]
pub struct Visit {
    pub seq: *mut seq_file,
    /// Number of the visited object, from 1.
    pub number: u64,
}

impl Visit {
    /// Appends a record.
    #[inline(always)]
    pub fn write<T>(self, record: &T) {
        // SAFETY: the helper copies `size_of::<T>()` initialised bytes.
        unsafe { bpf_seq_write(self.seq, (&raw const *record).cast(), size_of::<T>() as u32) };
    }
}

/// The head of a record of type `T`.
pub const fn head<T>(kind: u32) -> Head {
    Head { kind, len: size_of::<T>() as u32 }
}

/// An entry of a table of [`LAYOUT`] or [`CENSUS`] by namespace type.
#[inline(always)]
fn entry(table: &[u32; TYPES], t: u32) -> u32 {
    // SAFETY: the index is below TYPES, which is a power of two.
    constant(unsafe { &*table.as_ptr().add(t as usize & (TYPES - 1)) })
}

/// The key of the namespace structure at `ns`; 0 for none.
#[inline(always)]
fn key_of(ns: Kptr, t: u32) -> u64 {
    key_of_common(ns.wrapping_add(entry(&LAYOUT.ns_common, t) as usize))
}

/// The key of the namespace structure at `ns`, which is not described; 0 for none.
#[inline(always)]
pub fn key(ns: Kptr, t: u32) -> u64 {
    census_describe(0, ns as u64, t)
}

/// The key of the namespace of an `ns_common`; 0 for none.
#[inline(always)]
fn key_of_common(common: Kptr) -> u64 {
    let inum = load_u32(common, offset!(ns_common_inum));
    if inum == 0 { 0 } else { common as u64 ^ u64::from(inum) << 32 }
}

/// Lets the namespace of an `ns_common` be described by [`describe_waiting`] of this visit; returns its key.
#[inline(always)]
pub fn describe_later(visit: u64, common: Kptr) -> u64 {
    census_describe(visit, common as u64, UNKNOWN)
}

/// In place of a type: what waits is an `ns_common`.
const UNKNOWN: u32 = u32::MAX;

/// The structure that an `ns_common` is part of, and its type; null when the type is unknown.
#[inline(always)]
fn of_common(common: Kptr) -> (Kptr, u32) {
    let ns_type = offset!(ns_common_ns_type);
    let flag = if ns_type == ABSENT {
        load_u32(load_ptr(common, offset!(ns_common_ops)), offset!(proc_ns_operations_type))
    } else {
        load_u32(common, ns_type)
    };
    let mut t = 0;
    while t < TYPES as u32 {
        if flag_of(t) == flag {
            return ((common as u64 - u64::from(entry(&LAYOUT.ns_common, t))) as Kptr, t);
        }
        t += 1;
    }
    (core::ptr::null(), 0)
}

#[inline(always)]
fn flag_of(t: u32) -> u32 {
    static FLAGS: [u32; TYPES] = {
        let mut flags = [0; TYPES];
        let mut t = 0;
        while t < TYPES {
            flags[t] = CLONE_FLAG[t] as u32;
            t += 1;
        }
        flags
    };
    entry(&FLAGS, t)
}

/// Whether `key` has to be described in this visit.
#[inline(always)]
fn is_new(key: u64, visit: u64) -> bool {
    // SAFETY: a plain number is copied out.
    match unsafe { SEEN.get(&key) } {
        Some(&seen) => seen == visit,
        None => {
            // When the map is full the namespace is described again, no more.
            let _ = SEEN.insert(&key, &visit, 0);
            true
        }
    }
}

/// Lets `ns`, a structure of type `t`, be described by [`describe_waiting`] unless it is described already; returns its key.
#[inline(always)]
pub fn describe(visit: u64, ns: Kptr, t: u32) -> u64 {
    census_describe(visit, ns as u64, t)
}

/// As [`describe`], in numbers, as a global function wants it. In visit 0 nothing is described.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_describe(visit: u64, ns: u64, t: u32) -> u64 {
    let ns = ns as Kptr;
    let key = if t == UNKNOWN { key_of_common(ns) } else { key_of(ns, t) };
    if key != 0 && visit != 0 && has_room() && is_new(key, visit) {
        wait(ns, t);
    }
    key
}

/// Namespaces to describe. One loop at the end of a visit instead of code at every place that meets a namespace: the
/// verifier walks each of them.
#[repr(C)]
struct Waiting {
    /// The visit that started at `from`; when it is repeated it starts there again.
    visit: u64,
    from: u32,
    head: u32,
    tail: u32,
    types: [u32; WAITING],
    structures: [u64; WAITING],
}

const WAITING: usize = 1024;

/// The description that is to be written next.
#[map]
static NAMESPACE_OUT: Array<Namespace> = Array::with_max_entries(1, 0);

#[map]
static QUEUE: Array<Waiting> = Array::with_max_entries(1, 0);

/// What finds no room is not marked as seen, so that a later pass describes it.
#[inline(always)]
fn has_room() -> bool {
    let Some(waiting) = QUEUE.get_ptr_mut(0) else { return false };
    // SAFETY: as in `wait`.
    unsafe { (*waiting).tail - (*waiting).head < WAITING as u32 }
}

#[inline(always)]
fn wait(ns: Kptr, t: u32) {
    let Some(waiting) = QUEUE.get_ptr_mut(0) else { return };
    // SAFETY: the map's only element, one reader runs at a time; indices are cut to the length of the arrays.
    unsafe {
        let at = (*waiting).tail as usize & (WAITING - 1);
        *(&raw mut (*waiting).types).cast::<u32>().add(at) = t;
        *(&raw mut (*waiting).structures).cast::<u64>().add(at) = ns as u64;
        (*waiting).tail += 1;
    }
}

/// Describes what was met, and the owners and parents of that. What is beyond [`DESCRIBED`] is left to the next visit.
#[inline(always)]
pub fn describe_waiting(visit: Visit) {
    let Some(record) = NAMESPACE_OUT.get_ptr(0) else { return };
    for round in 0..DESCRIBED {
        if census_next(visit.number, u32::from(round == 0)) == 0 {
            return;
        }
        // SAFETY: the map's only element, which has just been written; one reader runs at a time.
        visit.write(unsafe { &*record });
    }
}

/// Writes the description of the first that waits to [`NAMESPACE_OUT`]; 0: none waits. `first`: of this visit, which may
/// be a repetition.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_next(visit: u64, first: u32) -> u32 {
    let Some(waiting) = QUEUE.get_ptr_mut(0) else { return 0 };
    // SAFETY: as in `wait`.
    let (t, ns) = unsafe {
        if first != 0 {
            if (*waiting).visit == visit {
                (*waiting).head = (*waiting).from;
            } else {
                (*waiting).visit = visit;
                (*waiting).from = (*waiting).head;
            }
        }
        if (*waiting).head == (*waiting).tail {
            return 0;
        }
        let place = (*waiting).head as usize & (WAITING - 1);
        (*waiting).head += 1;
        let t = *(&raw const (*waiting).types).cast::<u32>().add(place);
        (t, *(&raw const (*waiting).structures).cast::<u64>().add(place) as Kptr)
    };
    let (ns, t) = if t == UNKNOWN { of_common(ns) } else { (ns, t) };
    let Some(to) = NAMESPACE_OUT.get_ptr_mut(0) else { return 0 };
    let common = entry(&LAYOUT.ns_common, t);
    let id = offset!(ns_common_ns_id);
    let count = entry(&CENSUS.ns_count, t);
    let active = census!(ns_common_active);
    // SAFETY: the map's only element; one reader runs at a time.
    let record = unsafe { &mut *to };
    record.head = head::<Namespace>(kind::NAMESPACE);
    record.key = key_of(ns, t);
    record.id = if id == ABSENT { 0 } else { load_u64(ns, common + id) };
    record.owner = census_describe(visit, load_u64(ns, entry(&LAYOUT.ns_owner, t)), USER as u32);
    // Of a pid namespace; of another type what is read there is no namespace, and must not be described as one.
    let parent = load_u64(ns, offset!(pid_namespace_parent));
    record.parent = census_describe(if t == PID as u32 { visit } else { 0 }, parent, PID as u32);
    record.ucounts = load_u64(ns, entry(&CENSUS.ns_ucounts, t));
    record.inum = load_u32(ns, common + offset!(ns_common_inum));
    record.clone_flag = flag_of(t);
    record.refs = if count == ABSENT { u32::MAX } else { load_u32(ns, count) };
    record.active = if active == ABSENT { u32::MAX } else { load_u32(ns, common + active) };
    // Right for one type only; the reader knows which.
    record.pid_level = load_u32(ns, offset!(pid_namespace_level));
    record.user_level = load_u32(ns, offset!(user_namespace_level));
    record.owner_uid = load_u32(ns, offset!(user_namespace_owner));
    let segments = census!(ipc_namespace_shm_in_use);
    let mqueue = load_ptr(ns, census!(ipc_namespace_mq_mnt));
    record.mqueue = load_u64(mqueue, census!(vfsmount_mnt_sb));
    // Of another type what is read there is no mount, and the reader does not look at it.
    record.mqueue_mount = if numbers_of(mqueue).is_null() { 0 } else { mqueue as u64 };
    record.mnt_seq = load_u64(ns, census!(mnt_namespace_seq));
    record.segments = if segments == ABSENT { u32::MAX } else { load_u32(ns, segments) };
    1
}
