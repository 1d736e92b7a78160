//! `iter/task_vma` (5.12+) for the census: mapped files, which hold what open ones do, and attached System V shared memory,
//! which holds the ipc namespace it was made in.

use nstrace_common::{
    census::{place, what},
    slots::IPC,
};

use crate::{
    config::{offset, self_tgid},
    holding::census_opener,
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, number},
    mounted::{census_mounted, census_super_block},
    scratch::{scratch, write_held},
    seen::{Visit, census, describe, describe_waiting},
};

/// `struct bpf_iter__task_vma`.
#[repr(C)]
pub struct MemoryIteration {
    meta: *const IterationMeta,
    /// NULL in the last call, as is `vma`.
    task: Kptr,
    vma: Kptr,
}

/// `TMPFS_MAGIC`.
const TMPFS: u64 = 0x0102_1994;
/// Start of the name that `newseg` (ipc/shm.c) gives a segment.
const SYSV: u32 = u32::from_le_bytes(*b"SYSV");

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
pub fn census_memory(ctx: *mut MemoryIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let (visit, task, vma) = unsafe {
        let meta = (*ctx).meta;
        (Visit { seq: (*meta).seq, number: (*meta).seq_num + 1 }, (*ctx).task, (*ctx).vma)
    };
    if task.is_null() || vma.is_null() {
        return 0;
    }
    let Some(scratch) = scratch() else { return 0 };
    let vma = number(&mut scratch.file, vma) as Kptr;
    let task = number(&mut scratch.task, task) as Kptr;
    let file = load_ptr(vma, census!(vm_area_struct_vm_file));
    if file.is_null() || load_u32(task, offset!(task_tgid)) == self_tgid() {
        return 0;
    }
    scratch.begin(load_u32(task, offset!(task_pid)), load_u32(task, offset!(task_tgid)), place::MAPPING);
    scratch.set_file(file);
    // Of the files on a tmpfs only those of shared memory have private data.
    let data = scratch.private as Kptr;
    let magic = scratch.by_inode();
    let name = load_ptr(scratch.copied(census!(file_dentry)) as Kptr, census!(dentry_d_name));
    if magic == TMPFS && !data.is_null() && load_u32(name, 0) == SYSV {
        scratch.record.what = what::SHM;
        scratch.record.object = file as u64;
        scratch.record.detail = load_u32(data, census!(shm_file_data_id));
        scratch.record.ns = describe(visit.number, load_ptr(data, census!(shm_file_data_ns)), IPC as u32);
        scratch.put();
    }
    if scratch.cred != load_u64(task, offset!(task_real_cred)) {
        census_opener(visit.number);
    }
    census_mounted(visit.number, magic);
    census_super_block(visit.number, magic);
    write_held(visit);
    describe_waiting(visit);
    0
}
