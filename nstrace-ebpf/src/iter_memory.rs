//! `iter/task_vma` (5.12+) for the census: attached System V shared memory, which holds the ipc namespace it was made in.

use nstrace_common::{
    census::{File, kind, what},
    slots::IPC,
};

use crate::{
    config::{offset, self_tgid},
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_waiting, head},
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
    // Of the files on a tmpfs only those of shared memory have private data.
    let data = load_ptr(file, census!(file_private_data));
    if data.is_null() {
        return 0;
    }
    let inode = load_ptr(file, census!(file_f_inode));
    let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
    let tgid = load_u32(task, offset!(task_tgid));
    if load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic)) != TMPFS
        || load_u32(name, 0) != SYSV
        || tgid == self_tgid()
    {
        return 0;
    }
    let ns = load_ptr(data, census!(shm_file_data_ns));
    let record = File {
        head: head::<File>(kind::FILE),
        ns: describe(visit.number, ns, IPC as u32),
        object: file as u64,
        ucounts: 0,
        tid: load_u32(task, offset!(task_pid)),
        tgid,
        fd: 0,
        what: what::SHM,
        inode: load_u64(inode, census!(inode_i_ino)) as u32,
        detail: load_u32(data, census!(shm_file_data_id)),
    };
    describe_waiting(visit);
    visit.write(&record);
    0
}
