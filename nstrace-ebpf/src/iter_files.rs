//! `iter/task_file` for the census: the open files that hold a namespace.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use nstrace_common::{
    census::{File, kind, what},
    slots::{MNT, NET, PID, USER},
};

use crate::{
    config::{offset, self_tgid, typed},
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    seen::{Visit, census, describe, describe_later, describe_waiting, head},
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

/// `NSFS_MAGIC`, `SOCKFS_MAGIC`, `ANON_INODE_FS_MAGIC`, `PID_FS_MAGIC` (include/uapi/linux/magic.h).
pub const NSFS: u64 = 0x6e73_6673;
const SOCKFS: u64 = 0x534f_434b;
const ANON_INODE: u64 = 0x0904_1934;
const PIDFS: u64 = 0x5049_4446;
/// `PROC_SUPER_MAGIC`.
pub const PROC: u64 = 0x9fa0;

/// `MKDEV(MISC_MAJOR, TUN_MINOR)`.
const TUN: u32 = 10 << 20 | 200;

/// First eight bytes of the names of anonymous inodes.
const IO_URING_NAME: u64 = u64::from_le_bytes(*b"[io_urin");
const PIDFD_NAME: u64 = u64::from_le_bytes(*b"[pidfd]\0");

const AF_UNIX: u32 = 1;
/// Most messages of one socket, and files of one message, that are looked at. All bits of FILES are set.
const MESSAGES: u32 = 8;
const FILES: u32 = 15;

/// Too large for the stack together with what the compiler spills.
#[map]
static FILE_OUT: PerCpuArray<File> = PerCpuArray::with_max_entries(1, 0);

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
    let tgid = load_u32(task, offset!(task_tgid));
    if tgid == self_tgid() {
        return 0;
    }
    let inode = load_ptr(file, census!(file_f_inode));
    let Some(to) = FILE_OUT.get_ptr_mut(0) else { return 0 };
    // SAFETY: the scratch slot of this CPU, of which every field is written.
    let record = unsafe { &mut *to };
    *record = File {
        head: head::<File>(kind::FILE),
        ns: 0,
        object: file as u64,
        ucounts: 0,
        tid: load_u32(task, offset!(task_pid)),
        tgid,
        fd,
        what: 0,
        inode: load_u64(inode, census!(inode_i_ino)) as u32,
        detail: 0,
    };
    match load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic)) {
        NSFS => {
            record.what = what::NSFS;
            record.ns = nsfs(visit, inode);
            visit.write(record);
        }
        SOCKFS => socket(visit, record, file),
        ANON_INODE => anonymous(visit, record, file),
        PIDFS => pidfd(visit, record, load_ptr(inode, offset!(inode_i_private))),
        _ => {
            if load_u32(inode, census!(inode_i_rdev)) == TUN {
                tun(visit, record, file);
            }
        }
    }
    opener(visit, record, task, file);
    detached(visit, record, file);
    file_system(visit, record, load_ptr(inode, census!(inode_i_sb)));
    describe_waiting(visit);
    0
}

/// The namespace of an nsfs inode.
#[inline(always)]
pub fn nsfs(visit: Visit, inode: Kptr) -> u64 {
    describe_later(visit, load_ptr(inode, offset!(inode_i_private)))
}

#[inline(always)]
fn socket(visit: Visit, record: &mut File, file: Kptr) {
    let sk = load_ptr(load_ptr(file, census!(file_private_data)), census!(socket_sk));
    if sk.is_null() {
        return;
    }
    record.what = what::SOCKET;
    record.object = sk as u64;
    record.detail = load_u32(sk, census!(sock_family)) & 0xffff;
    record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
    visit.write(record);
    if record.detail == AF_UNIX {
        in_flight(visit, record, sk);
    }
}

/// nsfs files in `SCM_RIGHTS` messages that nobody has received yet.
#[inline(always)]
fn in_flight(visit: Visit, record: &mut File, sk: Kptr) {
    let queue = (sk as u64 + u64::from(census!(sock_receive_queue))) as Kptr;
    let mut message = load_ptr(queue, census!(sk_buff_next));
    record.what = what::IN_FLIGHT;
    // All counts in one, so that no path forks for it: above FILES exactly when one of them is.
    let mut counts = 0;
    for _ in 0..MESSAGES {
        if message.is_null() || message == queue {
            break;
        }
        let rights = load_ptr(message, census!(sk_buff_cb) + census!(unix_skb_parms_fp));
        let count = load_u32(rights, census!(scm_fp_list_count)) & 0xffff;
        counts |= count;
        for n in 0..FILES {
            if rights.is_null() || n >= count {
                break;
            }
            let file = load_ptr(rights, census!(scm_fp_list_fp) + n * 8);
            let inode = load_ptr(file, census!(file_f_inode));
            if load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic)) == NSFS {
                record.object = file as u64;
                record.inode = load_u64(inode, census!(inode_i_ino)) as u32;
                record.ns = nsfs(visit, inode);
                visit.write(record);
            }
        }
        message = load_ptr(message, census!(sk_buff_next));
    }
    if counts > FILES || !(message.is_null() || message == queue) {
        record.what = what::MORE_IN_FLIGHT;
        record.ns = 0;
        visit.write(record);
    }
}

#[inline(always)]
fn anonymous(visit: Visit, record: &mut File, file: Kptr) {
    let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
    match load_u64(name, 0) {
        IO_URING_NAME => {
            record.what = what::IO_URING;
            visit.write(record);
        }
        PIDFD_NAME => pidfd(visit, record, load_ptr(file, census!(file_private_data))),
        _ => {}
    }
}

/// A pidfd keeps `struct pid` alive, which holds the pid namespace of its deepest number.
#[inline(always)]
fn pidfd(visit: Visit, record: &mut File, pid: Kptr) {
    if typed() || pid.is_null() {
        return;
    }
    let level = load_u32(pid, offset!(pid_level)) & 63;
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    record.what = what::PIDFD;
    record.object = pid as u64;
    record.detail = load_u32(pid, offset!(pid_numbers) + offset!(upid_nr));
    record.ns = describe(visit, ns, PID as u32);
    visit.write(record);
}

/// `struct tun_file` starts with its `struct sock`.
#[inline(always)]
fn tun(visit: Visit, record: &mut File, file: Kptr) {
    let sk = load_ptr(file, census!(file_private_data));
    if sk.is_null() {
        return;
    }
    record.what = what::TUN;
    record.object = sk as u64;
    record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
    visit.write(record);
}

/// The credentials a file was opened with keep their user namespace.
#[inline(always)]
fn opener(visit: Visit, record: &mut File, task: Kptr, file: Kptr) {
    let cred = load_ptr(file, census!(file_f_cred));
    let user = load_ptr(cred, offset!(cred_user_ns));
    if cred.is_null() || user == load_ptr(load_ptr(task, offset!(task_real_cred)), offset!(cred_user_ns)) {
        return;
    }
    record.what = what::CRED;
    record.object = cred as u64;
    record.ucounts = load_u64(cred, census!(cred_ucounts));
    record.ns = describe(visit, user, USER as u32);
    visit.write(record);
}

/// A file in a tree of mounts that open_tree(2) or fsmount(2) made and nobody has attached yet.
#[inline(always)]
fn detached(visit: Visit, record: &mut File, file: Kptr) {
    let vfsmount = load_ptr(file, census!(file_mnt));
    if vfsmount.is_null() {
        return;
    }
    let mount = (vfsmount as u64 - u64::from(census!(mount_mnt))) as Kptr;
    let ns = load_ptr(mount, census!(mount_mnt_ns));
    // Mounts of the kernel's own have an error number for a namespace.
    if ns.is_null() || ns as u64 >= ERRORS {
        return;
    }
    let inum = load_u32(ns, offset!(ns_common[MNT]) + offset!(ns_common_inum));
    if inum == 0 || inum == ANONYMOUS {
        record.what = what::DETACHED_MOUNT;
        record.object = ns as u64;
        let owner = load_ptr(ns, offset!(ns_owner[MNT]));
        record.ns = describe(visit, owner, USER as u32);
        visit.write(record);
    }
}

/// A file keeps its file system, also where that is not mounted any more.
#[inline(always)]
fn file_system(visit: Visit, record: &mut File, super_block: Kptr) {
    record.object = super_block as u64;
    let user = load_ptr(super_block, census!(super_block_s_user_ns));
    // Most belong to the initial one, which nothing frees.
    if load_u32(user, offset!(user_namespace_level)) != 0 {
        record.what = what::SUPER_BLOCK;
        record.ns = describe(visit, user, USER as u32);
        visit.write(record);
    }
    if load_u64(super_block, census!(super_block_s_magic)) == PROC {
        let info = load_ptr(super_block, census!(super_block_s_fs_info));
        let pid_ns = load_ptr(info, census!(proc_fs_info_pid_ns));
        if load_u32(pid_ns, offset!(pid_namespace_level)) != 0 {
            record.what = what::PROCFS;
            record.ns = describe(visit, pid_ns, PID as u32);
            visit.write(record);
        }
    }
}

/// `-MAX_ERRNO` as an address.
const ERRORS: u64 = 0u64.wrapping_sub(4095);
/// `MNT_NS_ANON_INO` (6.18+).
const ANONYMOUS: u32 = 0xefff_fff7;
