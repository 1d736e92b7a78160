//! `iter/task_file` for the census: the open files that hold a namespace.

use crate::{
    config::{offset, self_tgid},
    holding::{
        ANON_INODE, CGROUP2, NSFS, PIDFS, PIPEFS, PROC, SOCKFS, TUN, census_object, census_opener, census_owner,
        scratch, write_held,
    },
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, number, peek_ptr, peek_u32, peek_u64},
    mounted::{census_mounted, census_super_block},
    seen::{Visit, census, describe_waiting},
};
use nstrace_common::layout::ABSENT;

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
    let tgid = peek_u32(task, offset!(task_tgid));
    if tgid == self_tgid() {
        return 0;
    }
    let Some(scratch) = scratch() else { return 0 };
    let inode = peek_ptr(file, census!(file_f_inode));
    let super_block = peek_ptr(inode, census!(inode_i_sb));
    let magic = peek_u64(super_block, census!(super_block_s_magic));
    let cred = peek_ptr(file, census!(file_f_cred));
    // Most files were opened with the very credentials that the task has.
    let own = number(&mut scratch.cred, peek_ptr(task, offset!(task_real_cred)));
    let foreign = number(&mut scratch.cred, cred) != own;
    let owner = if census!(file_f_owner_pid) == ABSENT { census!(file_f_owner) } else { census!(file_f_owner_pid) };
    let has_owner = number(&mut scratch.inode, peek_ptr(file, owner)) != 0;
    let block_owner = peek_ptr(super_block, census!(super_block_s_user_ns));

    scratch.file = file as u64;
    scratch.inode = inode as u64;
    scratch.super_block = super_block as u64;
    scratch.mount = peek_u64(file, census!(file_mnt));
    scratch.begin(peek_u32(task, offset!(task_pid)), tgid, fd);
    scratch.record.inode = peek_u64(inode, census!(inode_i_ino)) as u32;
    // A pipe is nothing that holds, and neither it nor these others can be in a detached tree.
    let is_internal = magic == SOCKFS || magic == ANON_INODE || magic == PIDFS || magic == PIPEFS;
    if magic == NSFS
        || (is_internal && magic != PIPEFS)
        || magic == PROC
        || magic == CGROUP2
        || peek_u32(inode, census!(inode_i_rdev)) == TUN
    {
        census_object(visit.number, magic);
    }
    if foreign {
        census_opener(visit.number);
    }
    if has_owner {
        census_owner(visit.number);
    }
    if !is_internal {
        census_mounted(visit.number, magic);
    }
    // Most belong to the initial one, which nothing frees.
    if magic == PROC || peek_u32(block_owner, offset!(user_namespace_level)) != 0 {
        census_super_block(visit.number, magic);
    }
    write_held(visit);
    describe_waiting(visit);
    0
}
