//! `iter/task_file` for the census: the open files that hold a namespace.

use aya_ebpf::{macros::map, maps::Array};
use nstrace_common::{
    census::{File, kind, what},
    slots::{MNT, NET, PID, USER},
};

use crate::{
    config::{offset, self_tgid, typed},
    iter_tasks::IterationMeta,
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, number, peek_ptr, peek_u32, peek_u64},
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

/// `NSFS_MAGIC`, `SOCKFS_MAGIC`, `ANON_INODE_FS_MAGIC`, `PID_FS_MAGIC`, `PIPEFS_MAGIC` (include/uapi/linux/magic.h).
pub const NSFS: u64 = 0x6e73_6673;
const SOCKFS: u64 = 0x534f_434b;
const ANON_INODE: u64 = 0x0904_1934;
const PIDFS: u64 = 0x5049_4446;
const PIPEFS: u64 = 0x5049_5045;
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
static FILE_OUT: Array<Scratch> = Array::with_max_entries(1, 0);

/// The record, and what the global functions need to know; one reader runs at a time.
#[repr(C)]
struct Scratch {
    record: File,
    file: u64,
    inode: u64,
    super_block: u64,
    cred: u64,
    /// `real_cred` of the task.
    own: u64,
    /// Of the socket whose messages were looked at.
    flying: [u64; FLYING],
    /// There is more in flight than was looked at.
    more: u64,
}

/// Room for the files in flight of one socket: a power of two, so that an index can be cut to it.
const FLYING: usize = 128;
const _: () = assert!(FLYING.is_power_of_two() && FLYING >= (MESSAGES * FILES) as usize);

/// What [`census_object`] found: nothing, something to write, and a unix socket whose messages are to be looked at.
const NOTHING: u32 = 0;
const WRITE: u32 = 1;
const UNIX: u32 = 2;

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
    let Some(to) = FILE_OUT.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's only element, of whose record every field is written.
    let scratch = unsafe { &mut *to };
    let inode = peek_ptr(file, census!(file_f_inode));
    let super_block = peek_ptr(inode, census!(inode_i_sb));
    let magic = peek_u64(super_block, census!(super_block_s_magic));
    let cred = peek_ptr(file, census!(file_f_cred));
    // Most files were opened with the very credentials that the task has.
    let own = number(&mut scratch.own, peek_ptr(task, offset!(task_real_cred)));
    let owner = peek_ptr(super_block, census!(super_block_s_user_ns));

    scratch.file = file as u64;
    scratch.inode = inode as u64;
    scratch.super_block = super_block as u64;
    let cred = number(&mut scratch.cred, cred);
    scratch.record = File {
        head: head::<File>(kind::FILE),
        ns: 0,
        object: file as u64,
        ucounts: 0,
        tid: peek_u32(task, offset!(task_pid)),
        tgid,
        fd,
        what: 0,
        inode: peek_u64(inode, census!(inode_i_ino)) as u32,
        detail: 0,
    };
    // A pipe is nothing that holds, and neither it nor these others can be in a detached tree.
    let is_internal = magic == SOCKFS || magic == ANON_INODE || magic == PIDFS || magic == PIPEFS;
    if magic == NSFS || (is_internal && magic != PIPEFS) || peek_u32(inode, census!(inode_i_rdev)) == TUN {
        let found = census_object(visit.number, magic);
        if found != NOTHING {
            visit.write(&scratch.record);
        }
        if found == UNIX {
            in_flight(visit, scratch);
        }
    }
    if cred != own && census_opener(visit.number) != NOTHING {
        visit.write(&scratch.record);
    }
    if !is_internal && census_detached(visit.number) != NOTHING {
        visit.write(&scratch.record);
    }
    // Most belong to the initial one, which nothing frees.
    if peek_u32(owner, offset!(user_namespace_level)) != 0 {
        census_super_block(visit.number);
        visit.write(&scratch.record);
    }
    if magic == PROC && census_procfs(visit.number) != NOTHING {
        visit.write(&scratch.record);
    }
    describe_waiting(visit);
    0
}

/// The namespace of an nsfs inode.
#[inline(always)]
pub fn nsfs(visit: u64, inode: Kptr) -> u64 {
    describe_later(visit, load_ptr(inode, offset!(inode_i_private)))
}

#[inline(always)]
fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the map's only element; one reader runs at a time.
    FILE_OUT.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// What the file is: a namespace, or something that holds one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_object(visit: u64, magic: u64) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    let (file, inode) = (scratch.file as Kptr, scratch.inode as Kptr);
    let record = &mut scratch.record;
    let data = load_ptr(file, census!(file_private_data));
    match magic {
        NSFS => {
            record.what = what::NSFS;
            record.ns = nsfs(visit, inode);
            WRITE
        }
        SOCKFS => socket(visit, record, load_ptr(data, census!(socket_sk))),
        ANON_INODE => {
            let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
            match load_u64(name, 0) {
                IO_URING_NAME => {
                    record.what = what::IO_URING;
                    WRITE
                }
                PIDFD_NAME => pidfd(visit, record, data),
                _ => NOTHING,
            }
        }
        PIDFS => pidfd(visit, record, load_ptr(inode, offset!(inode_i_private))),
        _ => tun(visit, record, data),
    }
}

#[inline(always)]
fn socket(visit: u64, record: &mut File, sk: Kptr) -> u32 {
    if sk.is_null() {
        return NOTHING;
    }
    record.what = what::SOCKET;
    record.object = sk as u64;
    record.detail = load_u32(sk, census!(sock_family)) & 0xffff;
    record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
    let queue = (sk as u64 + u64::from(census!(sock_receive_queue))) as Kptr;
    if record.detail == AF_UNIX && load_ptr(queue, census!(sk_buff_next)) != queue { UNIX } else { WRITE }
}

/// nsfs files in `SCM_RIGHTS` messages that nobody has received yet.
#[inline(always)]
fn in_flight(visit: Visit, scratch: &mut Scratch) {
    let count = census_in_flight(scratch.record.object);
    for at in 0..FLYING as u32 {
        if at >= count {
            break;
        }
        census_flying(visit.number, at);
        visit.write(&scratch.record);
    }
    if scratch.more != 0 {
        scratch.record.what = what::MORE_IN_FLIGHT;
        scratch.record.ns = 0;
        visit.write(&scratch.record);
    }
}

/// Collects the nsfs files in the messages of a socket; returns their number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_in_flight(sk: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let queue = (sk + u64::from(census!(sock_receive_queue))) as Kptr;
    let mut message = load_ptr(queue, census!(sk_buff_next));
    // All counts in one, so that no path forks for it: above FILES exactly when one of them is.
    let mut counts = 0;
    let mut found = 0;
    for _ in 0..MESSAGES {
        if message.is_null() || message == queue {
            break;
        }
        let rights = load_u64(message, census!(sk_buff_cb) + census!(unix_skb_parms_fp));
        counts |= load_u32(rights as Kptr, census!(scm_fp_list_count)) & 0xffff;
        found = census_rights(rights, found);
        message = load_ptr(message, census!(sk_buff_next));
    }
    scratch.more = u64::from(counts > FILES || !(message.is_null() || message == queue));
    found
}

/// Adds the nsfs files of one message to those `found`; returns the new number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_rights(rights: u64, found: u32) -> u32 {
    let Some(scratch) = scratch() else { return found };
    let rights = rights as Kptr;
    let mut found = found;
    if rights.is_null() {
        return found;
    }
    let count = load_u32(rights, census!(scm_fp_list_count)) & 0xffff;
    for n in 0..FILES {
        if n >= count {
            break;
        }
        let file = load_ptr(rights, census!(scm_fp_list_fp) + n * 8);
        let inode = load_ptr(file, census!(file_f_inode));
        if load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic)) == NSFS {
            // SAFETY: the index is cut to the length.
            unsafe { *(&raw mut scratch.flying).cast::<u64>().add(found as usize & (FLYING - 1)) = file as u64 };
            found += 1;
        }
    }
    found
}

/// The record of a file in flight.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_flying(visit: u64, at: u32) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    // SAFETY: the index is cut to the length.
    let file = unsafe { *(&raw const scratch.flying).cast::<u64>().add(at as usize & (FLYING - 1)) };
    let inode = load_ptr(file as Kptr, census!(file_f_inode));
    scratch.record.what = what::IN_FLIGHT;
    scratch.record.object = file;
    scratch.record.inode = load_u64(inode, census!(inode_i_ino)) as u32;
    scratch.record.ns = nsfs(visit, inode);
    WRITE
}

/// A pidfd keeps `struct pid` alive, which holds the pid namespace of its deepest number.
#[inline(always)]
fn pidfd(visit: u64, record: &mut File, pid: Kptr) -> u32 {
    if typed() || pid.is_null() {
        return NOTHING;
    }
    let level = load_u32(pid, offset!(pid_level)) & 63;
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    record.what = what::PIDFD;
    record.object = pid as u64;
    record.detail = load_u32(pid, offset!(pid_numbers) + offset!(upid_nr));
    record.ns = describe(visit, ns, PID as u32);
    WRITE
}

/// `struct tun_file` starts with its `struct sock`.
#[inline(always)]
fn tun(visit: u64, record: &mut File, sk: Kptr) -> u32 {
    if sk.is_null() {
        return NOTHING;
    }
    record.what = what::TUN;
    record.object = sk as u64;
    record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
    WRITE
}

/// The credentials a file was opened with keep their user namespace, when it is another than the task's.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_opener(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    let user = load_ptr(scratch.cred as Kptr, offset!(cred_user_ns));
    if scratch.cred == 0 || user == load_ptr(scratch.own as Kptr, offset!(cred_user_ns)) {
        return NOTHING;
    }
    scratch.record.what = what::CRED;
    scratch.record.object = scratch.cred;
    scratch.record.ucounts = load_u64(scratch.cred as Kptr, census!(cred_ucounts));
    scratch.record.ns = describe(visit, user, USER as u32);
    WRITE
}

/// A file in a tree of mounts that open_tree(2) or fsmount(2) made and nobody has attached yet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_detached(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    let vfsmount = load_ptr(scratch.file as Kptr, census!(file_mnt));
    if vfsmount.is_null() {
        return NOTHING;
    }
    let mount = (vfsmount as u64 - u64::from(census!(mount_mnt))) as Kptr;
    let ns = load_ptr(mount, census!(mount_mnt_ns));
    // Mounts of the kernel's own have an error number for a namespace.
    if ns.is_null() || ns as u64 >= ERRORS {
        return NOTHING;
    }
    let inum = load_u32(ns, offset!(ns_common[MNT]) + offset!(ns_common_inum));
    if inum != 0 && inum != ANONYMOUS {
        return NOTHING;
    }
    scratch.record.what = what::DETACHED_MOUNT;
    scratch.record.object = ns as u64;
    scratch.record.ns = describe(visit, load_ptr(ns, offset!(ns_owner[MNT])), USER as u32);
    WRITE
}

/// A file keeps its file system, also where that is not mounted any more.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_super_block(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    let user = load_ptr(scratch.super_block as Kptr, census!(super_block_s_user_ns));
    scratch.record.what = what::SUPER_BLOCK;
    scratch.record.object = scratch.super_block;
    scratch.record.ns = describe(visit, user, USER as u32);
    WRITE
}

/// The pid namespace that a procfs shows.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_procfs(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return NOTHING };
    let info = load_ptr(scratch.super_block as Kptr, census!(super_block_s_fs_info));
    let pid_ns = load_ptr(info, census!(proc_fs_info_pid_ns));
    if load_u32(pid_ns, offset!(pid_namespace_level)) == 0 {
        return NOTHING;
    }
    scratch.record.what = what::PROCFS;
    scratch.record.object = scratch.super_block;
    scratch.record.ns = describe(visit, pid_ns, PID as u32);
    WRITE
}

/// `-MAX_ERRNO` as an address.
const ERRORS: u64 = 0u64.wrapping_sub(4095);
/// `MNT_NS_ANON_INO` (6.18+).
const ANONYMOUS: u32 = 0xefff_fff7;
