//! What all records of deeds have in common: drafts, who did it, names, sending.
//!
//! A program of a hook only looks whether `current` is of interest and keeps its arguments in the draft, where the verifier forgets
//! what they were; the rest are global functions (with `no_mangle`), which the verifier walks once by themselves, and which fentry
//! and kprobe programs share. They read by `bpf_probe_read_kernel`: none of this works under lockdown=confidentiality.

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
    },
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use nstrace_common::{
    deed::Deed,
    record::{Header, kind},
    slots::{CGROUP, IPC, MNT, NET, PID, PID_FOR_CHILDREN, Slots, TIME, TIME_FOR_CHILDREN, USER, UTS},
    task::{PID_LEVELS, Task},
};

use crate::{
    config::{initial, offset},
    emit::{crowded, reserve},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, read_bytes},
    place::{deeds, write_place},
    slots::write_task_slots,
    syscall::write_call,
    task::current,
};

/// Most arguments that a hook keeps.
pub const ARGUMENTS: usize = 4;

/// The arguments of a hook and the record that is made of them.
#[repr(C)]
pub struct Draft {
    pub args: [u64; ARGUMENTS],
    /// The `struct upid` of a task, as far as there are any.
    upids: [u64; UPIDS],
    pub deed: Deed,
}

/// Room for `numbers[level & 63]` of a `struct pid`.
const UPIDS: usize = 64 * 2;

/// One per hooked function, because where tasks can be preempted inside a program those of other functions run meanwhile.
pub mod of {
    pub const FILE_OPEN: u32 = 0;
    pub const FILE_RECEIVE: u32 = 1;
    pub const HANDLE_OPEN: u32 = 2;
    pub const PTRACE_ACCESS: u32 = 3;
    pub const GET_TREE: u32 = 4;
    pub const CLONE_MNT: u32 = 5;
    pub const MOVE_MOUNT: u32 = 6;
    pub const SB_MOUNT: u32 = 7;
    pub const FS_ROOT: u32 = 8;
    pub const FS_PWD: u32 = 9;
    pub const PIVOT_ROOT: u32 = 10;
    pub const MKNOD: u32 = 11;
    pub const UNIX_CONNECT: u32 = 12;
    pub const INIT_MODULE: u32 = 13;
    pub const LOAD_DATA: u32 = 14;
    pub const READ_FILE: u32 = 15;
    pub const BPF_PROG: u32 = 16;
    pub const HELPER: u32 = 17;
    pub const UID_MAP: u32 = 18;
    pub const GID_MAP: u32 = 19;
    pub const CREDENTIALS: u32 = 20;
    pub const CAPABILITY: u32 = 21;
    pub const PROPAGATE_MNT: u32 = 22;
    pub const CHANGE_PROPAGATION: u32 = 23;
    pub const COUNT: u32 = 24;
}

#[map]
static DRAFTS: PerCpuArray<Draft> = PerCpuArray::with_max_entries(of::COUNT, 0);

/// Arguments from entry to return, by function and tid. LRU: a return that the kernel did not let us see leaves its entry behind.
#[map]
static CALLS: LruHashMap<u64, [u64; 2]> = LruHashMap::with_max_entries(1024, 0);

#[inline(always)]
pub fn draft(of: u32) -> Option<&'static mut Draft> {
    // SAFETY: the slot of this CPU, which one program at a time uses.
    DRAFTS.get_ptr_mut(of).map(|draft| unsafe { &mut *draft })
}

/// `current` as a number to the verifier.
#[inline(always)]
pub fn whoever() -> Kptr {
    // SAFETY: no preconditions.
    unsafe { bpf_get_current_task() as Kptr }
}

/// Keeps the arguments of a hook for the function that makes the record.
#[inline(always)]
pub fn keep<const N: usize>(of: u32, args: [u64; N]) {
    let Some(draft) = draft(of) else { return };
    for (at, arg) in args.into_iter().enumerate() {
        // SAFETY: N is at most ARGUMENTS; volatile, because the other function reads what the verifier has forgotten.
        unsafe { (&raw mut draft.args).cast::<u64>().add(at).write_volatile(arg) };
    }
}

#[inline(always)]
fn call_key(of: u32) -> u64 {
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } & 0xffff_ffff;
    u64::from(of) << 32 | tid
}

/// A function was entered whose return is wanted.
#[inline(always)]
pub fn enter(of: u32, args: [u64; 2]) {
    let _ = CALLS.insert(&call_key(of), &args, 0);
}

/// It returns: the arguments it was entered with, if that was of interest.
#[inline(always)]
pub fn leave(of: u32) -> Option<[u64; 2]> {
    let key = call_key(of);
    // SAFETY: copied out at once; only this task writes its own entry.
    let args = unsafe { CALLS.get(&key).copied() };
    if args.is_some() {
        let _ = CALLS.remove(&key);
    }
    args
}

/// `PF_IO_WORKER` of `task->flags`: works for an io_uring of its process.
const PF_IO_WORKER: u32 = 0x10;

/// Starts a record: `what` was done by `current`, whose call returned `ret` (0: not a return). 0: nothing to report, it is in the
/// initial namespaces.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_begin(of: u32, what: u32, ret: u64) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let deed = &raw mut draft.deed;
    let mut task = whoever();
    // SAFETY: the draft is as large as `Deed`. A read from null fills it with zeroes.
    unsafe {
        read_bytes(deed.cast(), size_of::<Deed>() as u32, core::ptr::null(), 0);
        write_call(&raw mut (*deed).call, current(), ret as i32);
        if load_u32(task, offset!(task_flags)) & PF_IO_WORKER != 0 {
            task = load_ptr(task, deeds!(task_group_leader));
            (*deed).call.nr = -1;
        }
        (*deed).what = what;
    }
    deed_task(of, task as u64);
    u32::from(leaves_initial(&draft.deed.slots))
}

/// Writes who it is. Without a branch, which would multiply the paths that the verifier walks for every program.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_task(of: u32, task: u64) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let task = task as Kptr;
    let upids = &raw mut draft.upids;
    // SAFETY: the draft is writable.
    unsafe {
        who(&raw mut draft.deed.task, upids, task);
        write_task_slots(&raw mut draft.deed.slots, task);
    }
    0
}

/// Writes the task it was done to.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_other(of: u32, task: u64) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let task = task as Kptr;
    let upids = &raw mut draft.upids;
    // SAFETY: the draft is writable.
    unsafe {
        who(&raw mut draft.deed.other, upids, task);
        write_task_slots(&raw mut draft.deed.other_slots, task);
    }
    0
}

/// As `write_task`, with all numbers read at once.
///
/// # Safety
/// `to` and `upids` are writable.
#[inline(always)]
unsafe fn who(to: *mut Task, upids: *mut [u64; UPIDS], task: Kptr) {
    let cred = load_ptr(task, offset!(task_real_cred));
    let cgroup = load_ptr(load_ptr(task, offset!(task_cgroups)), offset!(css_set_dfl_cgrp));
    let pid = load_ptr(task, offset!(task_thread_pid));
    let level = load_u32(pid, offset!(pid_level)) & 63;
    let numbers = upids.cast::<u8>();
    // SAFETY: as the caller promises; `upids` has room for 64 of 16 bytes, and more levels than there can be.
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
        (*to).level = level;
        read_bytes((&raw mut (*to).comm).cast(), 16, task, offset!(task_comm));
        read_bytes(numbers, size_of::<[u64; UPIDS]>() as u32, core::ptr::null(), 0);
        read_bytes(numbers, (level + 1) * UPID, pid, offset!(pid_numbers));
        let to = (&raw mut (*to).pids).cast::<u32>();
        for at in 0..PID_LEVELS {
            let number = numbers.add(at * UPID as usize + offset!(upid_nr) as usize).cast::<u32>();
            to.add(at).write_volatile(number.read_volatile());
        }
    }
}

/// `sizeof(struct upid)` on every kernel so far.
const UPID: u32 = 16;

/// Some slot holds another namespace than the initial one. Without a branch, as above.
#[inline(always)]
fn leaves_initial(slots: &Slots) -> bool {
    let mut differs = 0_u32;
    macro_rules! compare {
        ($($slot:ident $t:ident),+) => {
            $(
                let inum = slots.inum[$slot];
                // All ones where there is one.
                let some = 0_u32.wrapping_sub((inum | 0_u32.wrapping_sub(inum)) >> 31);
                differs |= (inum ^ initial($t)) & some;
            )+
        };
    }
    compare!(
        MNT MNT, PID PID, NET NET, IPC IPC, UTS UTS, USER USER, CGROUP CGROUP, TIME TIME, PID_FOR_CHILDREN PID,
        TIME_FOR_CHILDREN TIME
    );
    differs != 0
}

/// Writes the place of a path.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_place(of: u32, mnt: u64, dentry: u64) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    // SAFETY: the draft is writable.
    unsafe { write_place(&raw mut draft.deed.place, mnt as Kptr, dentry as Kptr) };
    0
}

/// Writes the name of a dentry, and as the detail that of the one above it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_names(of: u32, dentry: u64) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let dentry = dentry as Kptr;
    let parent = load_ptr(dentry, deeds!(dentry_d_parent));
    text(&mut draft.deed.name, load_ptr(dentry, deeds!(dentry_name)));
    text(&mut draft.deed.detail, load_ptr(parent, deeds!(dentry_name)));
    0
}

/// Copies a string of the kernel's, cut to the room there is.
#[inline(always)]
pub fn text<const N: usize>(to: &mut [u8; N], from: Kptr) {
    // SAFETY: the helper writes at most N bytes and zeroes them when it cannot read.
    unsafe { bpf_probe_read_kernel_str((&raw mut *to).cast(), N as u32, from.cast()) };
}

/// Sends the draft as it is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_send(of: u32, by: u32) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let by = by as u16;
    if crowded(by) {
        return 0;
    }
    let Some(mut entry) = reserve::<Deed>(kind::DEED, by) else { return 0 };
    const HEADER: usize = size_of::<Header>();
    const BODY: usize = size_of::<Deed>() - HEADER;
    // SAFETY: both are as large as `Deed`; the header is written already.
    unsafe {
        let to = entry.as_mut_ptr().cast::<u8>().add(HEADER);
        let from = (&raw const draft.deed).cast::<u8>().add(HEADER);
        bpf_probe_read_kernel(to.cast(), BODY as u32, from.cast());
    }
    entry.submit(0);
    1
}

/// An fentry and a kprobe program at the entry of a function: `deed_entry!(FENTRY KPROBE "function" DRAFT [arguments] body)`.
macro_rules! deed_entry {
    ($fentry:ident $kprobe:ident $function:literal $of:expr, [$($n:literal)*] $body:ident) => {
        #[aya_ebpf::macros::fentry(function = $function)]
        pub fn $fentry(ctx: aya_ebpf::programs::FEntryContext) -> u32 {
            if !$crate::initial::is_plain() {
                $crate::deed::keep($of, [$(ctx.arg::<u64>($n)),*]);
                $body();
            }
            0
        }

        #[aya_ebpf::macros::kprobe]
        pub fn $kprobe(ctx: aya_ebpf::programs::ProbeContext) -> u32 {
            if !$crate::initial::is_plain() {
                $crate::deed::keep($of, [$(ctx.arg::<u64>($n).unwrap_or(0)),*]);
                $body();
            }
            0
        }
    };
}
pub(crate) use deed_entry;

/// An fexit program, and a kprobe with a kretprobe, at the return of a function: the two arguments and the result (argument `ret` of
/// an fexit program) are the first three of the draft.
macro_rules! deed_return {
    ($fexit:ident $kprobe:ident $kretprobe:ident $function:literal $of:expr, [$a:literal $b:literal] $ret:literal $body:ident) => {
        #[aya_ebpf::macros::fexit(function = $function)]
        pub fn $fexit(ctx: aya_ebpf::programs::FExitContext) -> u32 {
            if !$crate::initial::is_plain() {
                $crate::deed::keep($of, [ctx.arg::<u64>($a), ctx.arg::<u64>($b), ctx.arg::<u64>($ret)]);
                $body();
            }
            0
        }

        #[aya_ebpf::macros::kprobe]
        pub fn $kprobe(ctx: aya_ebpf::programs::ProbeContext) -> u32 {
            if !$crate::initial::is_plain() {
                $crate::deed::enter($of, [ctx.arg::<u64>($a).unwrap_or(0), ctx.arg::<u64>($b).unwrap_or(0)]);
            }
            0
        }

        #[aya_ebpf::macros::kretprobe]
        pub fn $kretprobe(ctx: aya_ebpf::programs::RetProbeContext) -> u32 {
            if let Some([a, b]) = $crate::deed::leave($of) {
                $crate::deed::keep($of, [a, b, ctx.ret::<u64>()]);
                $body();
            }
            0
        }
    };
}
pub(crate) use deed_return;
