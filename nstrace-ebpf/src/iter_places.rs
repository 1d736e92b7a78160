//! `iter/task` for the census: where a task is, which keeps mounts and file systems as an open file does, and its program.

use nstrace_common::census::place;

use crate::{
    config::{offset, self_tgid},
    holding::{census_opener, scratch, write_held},
    iter_tasks::TaskIteration,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{census_mounted, census_super_block},
    seen::{Visit, census, describe_waiting},
};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn census_place(ctx: *mut TaskIteration) -> i32 {
    // SAFETY: as in `census_task`.
    let (visit, task) = unsafe { ((*ctx).visit(), (*ctx).task()) };
    if task.is_null() {
        describe_waiting(visit);
        return 0;
    }
    if load_u32(task, offset!(task_tgid)) == self_tgid() {
        return 0;
    }
    let leader = load_ptr(task, census!(task_group_leader));
    let fs = load_ptr(task, census!(task_fs));
    if leader == task || load_ptr(leader, census!(task_fs)) != fs {
        at(visit, task, place::ROOT, load_ptr(fs, census!(fs_struct_root_mnt)));
        at(visit, task, place::CWD, load_ptr(fs, census!(fs_struct_pwd_mnt)));
    }
    let program = load_ptr(load_ptr(task, census!(task_mm)), census!(mm_struct_exe_file));
    if !program.is_null()
        && leader == task
        && let Some(scratch) = scratch()
    {
        scratch.begin(load_u32(task, offset!(task_pid)), load_u32(task, offset!(task_tgid)), place::PROGRAM);
        scratch.cred = load_u64(program, census!(file_f_cred));
        census_opener(visit.number);
        write_held(visit);
        at(visit, task, place::PROGRAM, load_ptr(program, census!(file_mnt)));
    }
    describe_waiting(visit);
    0
}

#[inline(always)]
fn at(visit: Visit, task: Kptr, place: u32, vfsmount: Kptr) {
    if vfsmount.is_null() {
        return;
    }
    let Some(scratch) = scratch() else { return };
    scratch.begin(load_u32(task, offset!(task_pid)), load_u32(task, offset!(task_tgid)), place);
    scratch.mount = vfsmount as u64;
    scratch.super_block = load_u64(vfsmount, census!(vfsmount_mnt_sb));
    let magic = load_u64(scratch.super_block as Kptr, census!(super_block_s_magic));
    census_mounted(visit.number, magic);
    census_super_block(visit.number, magic);
    write_held(visit);
}
