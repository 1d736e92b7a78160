//! Processes with what they hold by files: those they have open, the directories they are in, the program they run.
//!
//! `iter/task` walks a process's file table in one visit, without a reference on any file: `iter/task_file`, which takes one of
//! each and runs a program for each, needs three times as long. It serves for tables that are too large for a visit.

use nstrace_common::census::{place, what};

use crate::{
    config::{casts, is_others, offset},
    holding::{census_open, census_opener},
    iter_tasks::{IterationMeta, TaskIteration, tell_task},
    kernel_memory::{Kptr, fetched, load_ptr, load_u32, load_u64, number},
    mounted::census_on,
    scratch::{CHUNK, HELD, HELD_BY_ONE, Scratch, scratch, write_held},
    seen::{Visit, census, describe_waiting},
};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

/// Chunks of a file table that one visit looks at.
const CHUNKS: u32 = 128;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_process(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let visit = unsafe { (*ctx).visit() };
    // SAFETY: the context that the kernel passed.
    let task = unsafe { tell_task(ctx, visit) };
    if !task.is_null() {
        tell_files(visit, task);
    }
    describe_waiting(visit);
    0
}

/// What the task holds by files, but for what its leader has as well.
#[inline(always)]
fn tell_files(visit: Visit, task: Kptr) {
    let Some(scratch) = scratch() else { return };
    scratch.begin(load_u32(task, offset!(task_pid)), load_u32(task, offset!(task_tgid)), 0);
    let leader = load_ptr(task, census!(task_group_leader));
    scratch.own_cred = load_u64(task, offset!(task_real_cred));
    scratch.own_pid = load_u64(leader, offset!(task_thread_pid));
    let files = load_ptr(task, census!(task_files));
    // As the kernel's own iterator: threads that share the leader's table have nothing of their own.
    if !files.is_null() && (leader == task || load_ptr(leader, census!(task_files)) != files) {
        let table = load_ptr(files, census!(files_struct_fdt));
        scratch.slots = load_u64(table, census!(fdtable_fd));
        scratch.open = load_u64(table, census!(fdtable_open_fds));
        scratch.slot_count = load_u32(table, census!(fdtable_max_fds));
        for chunk in 0..=CHUNKS {
            if census_chunk(visit.number, chunk * CHUNK as u32) == 0 {
                break;
            }
        }
        // Of a task that exits meanwhile the table may be another's already.
        if load_ptr(task, census!(task_files)) != files {
            scratch.count = 0;
        }
    }
    let fs = load_ptr(task, census!(task_fs));
    if leader == task || load_ptr(leader, census!(task_fs)) != fs {
        at(visit, scratch, place::ROOT, load_u64(fs, census!(fs_struct_root_mnt)));
        at(visit, scratch, place::CWD, load_u64(fs, census!(fs_struct_pwd_mnt)));
    }
    let program = load_ptr(load_ptr(task, census!(task_mm)), census!(mm_struct_exe_file));
    if !program.is_null() && leader == task {
        scratch.cred = load_u64(program, census!(file_f_cred));
        scratch.record.fd = place::PROGRAM;
        census_opener(visit.number);
        at(visit, scratch, place::PROGRAM, load_u64(program, census!(file_mnt)));
    }
    write_held(visit);
}

/// The files in this place of the table and the ones after it; 0: the table ends, or no more fit into this visit.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_chunk(visit: u64, from: u32) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    if from >= scratch.slot_count {
        return 0;
    }
    let open = load_u32(scratch.open as Kptr, from / 8);
    scratch.from = from;
    scratch.end = highest(open);
    if scratch.end == 0 {
        return 1;
    }
    let slots = (scratch.slots as Kptr).wrapping_add(from as usize * 8);
    // SAFETY: the helper writes as many bytes as there is room; zeroes when it cannot read.
    unsafe { bpf_probe_read_kernel((&raw mut scratch.chunk).cast(), (CHUNK * 8) as u32, slots.cast()) };
    if casts() {
        for step in 0..STEPS {
            for at in 0..CHUNK as u32 {
                if census_fetch(step, at) == 0 {
                    break;
                }
            }
        }
    }
    for at in 0..CHUNK as u32 {
        let outcome = census_slot(visit, at);
        if outcome != NEXT {
            return u32::from(outcome == END);
        }
    }
    1
}

/// Number of the highest bit from 1, 0 of none.
#[inline(always)]
fn highest(bits: u32) -> u32 {
    let (mut bits, mut number) = (bits, 0);
    for half in [16, 8, 4, 2, 1] {
        if bits >> half != 0 {
            bits >>= half;
            number += half;
        }
    }
    number + bits
}

/// Steps of [`census_fetch`].
const STEPS: u32 = 3;

/// Reads ahead what will be asked of the files of a chunk, one step for all of them before the next one. Most of it is far from the
/// processor, which waits for many places at once when little other work stands between the loads. 0: there is no such file.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_fetch(step: u32, at: u32) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    // Before 6.8 the verifier walks it even if nobody calls it.
    if !casts() || at >= scratch.end {
        return 0;
    }
    let at = at as usize & (CHUNK - 1);
    match step {
        0 => {
            let file = scratch.chunk[at];
            let private = fetched(file, census!(file_private_data));
            let is_socket = fetched(file, census!(file_mnt)) == scratch.socket_mount;
            scratch.sockets[at] = if is_socket { private } else { 0 };
        }
        1 if scratch.sockets[at] != 0 => scratch.sockets[at] = fetched(scratch.sockets[at], census!(socket_sk)),
        2 if scratch.sockets[at] != 0 => {
            let sk = scratch.sockets[at];
            fetched(sk, census!(sock_net));
            fetched(sk, census!(sock_receive_queue));
            fetched(sk, census!(sock_peer_pid));
        }
        _ => {}
    }
    1
}

/// Outcomes of [`census_slot`]: go on; there is no such file; no more fit into this visit.
const NEXT: u32 = 0;
const END: u32 = 1;
const FULL: u32 = 2;

/// What one of the files of a chunk holds.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_slot(visit: u64, at: u32) -> u32 {
    let Some(scratch) = scratch() else { return END };
    if at >= scratch.end {
        return END;
    }
    let fd = scratch.from + at;
    let file = scratch.chunk[at as usize & (CHUNK - 1)];
    if file == 0 {
        return NEXT;
    }
    let before = scratch.count;
    if fd >= CHUNKS * CHUNK as u32 || before as usize > HELD - 4 * HELD_BY_ONE {
        scratch.record.what = what::MORE;
        scratch.record.ns = 0;
        scratch.put();
        return FULL;
    }
    scratch.record.fd = fd;
    census_open(visit, file);
    // One that was closed meanwhile may have been another's when it was read.
    let slot = (scratch.slots as Kptr).wrapping_add(fd as usize * 8);
    if scratch.count != before && load_u64(slot, 0) != file {
        scratch.count = before;
    }
    NEXT
}

/// What the task keeps by being on a mount.
#[inline(always)]
fn at(visit: Visit, scratch: &mut Scratch, place: u32, vfsmount: u64) {
    if vfsmount != 0 {
        scratch.record.fd = place;
        scratch.mount = vfsmount;
        census_on(visit.number);
    }
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct FileIteration {
    meta: *const IterationMeta,
    /// NULL in the last call, as is `file`. One task per file table of a process.
    task: Kptr,
    fd: u32,
    file: Kptr,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn census_file(ctx: *mut FileIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let (visit, task, fd, file) = unsafe {
        let meta = (*ctx).meta;
        (Visit { seq: (*meta).seq, number: (*meta).seq_num + 1 }, (*ctx).task, (*ctx).fd, (*ctx).file)
    };
    if task.is_null() || file.is_null() {
        describe_waiting(visit);
        return 0;
    }
    let Some(scratch) = scratch() else { return 0 };
    let task = number(&mut scratch.task, task) as Kptr;
    let tgid = load_u32(task, offset!(task_tgid));
    if is_others(tgid) {
        return 0;
    }
    scratch.begin(load_u32(task, offset!(task_pid)), tgid, fd);
    scratch.own_cred = load_u64(task, offset!(task_real_cred));
    scratch.own_pid = load_u64(load_ptr(task, census!(task_group_leader)), offset!(task_thread_pid));
    let file = number(&mut scratch.file, file);
    census_open(visit.number, file);
    write_held(visit);
    describe_waiting(visit);
    0
}
