//! `iter/task_vma` (5.12+) for the census: mapped files, which hold what open ones do, and attached System V shared memory,
//! which holds the ipc namespace it was made in.

use nstrace_common::{
    census::{place, what},
    slots::IPC,
};

use crate::{
    config::{offset, self_tgid},
    holding::opener,
    iter_files::record,
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{mount_of, superblock},
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
    let file = load_ptr(vma, census!(vm_area_struct_vm_file));
    if file.is_null() || load_u32(task, offset!(task_tgid)) == self_tgid() {
        return 0;
    }
    let Some(record) = record(task, place::MAPPING) else { return 0 };
    // Of the files on a tmpfs only those of shared memory have private data.
    let data = load_ptr(file, census!(file_private_data));
    let inode = load_ptr(file, census!(file_f_inode));
    let super_block = load_ptr(inode, census!(inode_i_sb));
    let magic = load_u64(super_block, census!(super_block_s_magic));
    let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
    if magic == TMPFS && !data.is_null() && load_u32(name, 0) == SYSV {
        record.what = what::SHM;
        record.object = file as u64;
        record.detail = load_u32(data, census!(shm_file_data_id));
        record.ns = describe(visit, load_ptr(data, census!(shm_file_data_ns)), IPC as u32);
        visit.write(record);
    }
    opener(visit, record, load_ptr(task, offset!(task_real_cred)), load_ptr(file, census!(file_f_cred)));
    mount_of(visit, record, load_ptr(file, census!(file_mnt)), magic);
    superblock(visit, record, super_block);
    describe_waiting(visit);
    0
}
