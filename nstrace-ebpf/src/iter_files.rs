//! `iter/task_file` for the census: the open files that hold a namespace.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use nstrace_common::census::{File, kind};

use crate::{
    config::{offset, self_tgid},
    holding::hold,
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32},
    seen::{Visit, describe_waiting, head},
};

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct FileIteration {
    meta: *const IterationMeta,
    /// NULL in the last call, as is `file`. One task per file table of a process.
    task: Kptr,
    fd: u32,
    file: Kptr,
}

/// Too large for the stack together with what the compiler spills.
#[map]
static FILE_OUT: PerCpuArray<File> = PerCpuArray::with_max_entries(1, 0);

/// A record about a descriptor of `task`, of which `what`, `ns` and `object` are not written yet.
#[inline(always)]
pub fn record(task: Kptr, fd: u32) -> Option<&'static mut File> {
    let to = FILE_OUT.get_ptr_mut(0)?;
    // SAFETY: the scratch slot of this CPU, of which every field is written; one program of the census runs at a time.
    let record = unsafe { &mut *to };
    *record = File {
        head: head::<File>(kind::FILE),
        ns: 0,
        object: 0,
        ucounts: 0,
        tid: load_u32(task, offset!(task_pid)),
        tgid: load_u32(task, offset!(task_tgid)),
        fd,
        what: 0,
        inode: 0,
        detail: 0,
    };
    Some(record)
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
    if load_u32(task, offset!(task_tgid)) == self_tgid() {
        return 0;
    }
    let Some(record) = record(task, fd) else { return 0 };
    hold(visit, record, file, load_ptr(task, offset!(task_real_cred)));
    describe_waiting(visit);
    0
}
