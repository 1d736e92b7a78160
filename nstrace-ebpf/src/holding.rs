//! What an open file holds, wherever it was found: in a file table, in flight, registered with io_uring, mapped.

use nstrace_common::{
    census::{File, what},
    layout::ABSENT,
    slots::{CGROUP, MNT, NET, PID, USER},
};

use crate::{
    config::{offset, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{mount_of, superblock},
    seen::{Visit, census, describe, describe_later},
};

/// `NSFS_MAGIC`, `SOCKFS_MAGIC`, `ANON_INODE_FS_MAGIC`, `PID_FS_MAGIC`, `PROC_SUPER_MAGIC`, `CGROUP2_SUPER_MAGIC`
/// (include/uapi/linux/magic.h).
pub const NSFS: u64 = 0x6e73_6673;
const SOCKFS: u64 = 0x534f_434b;
const ANON_INODE: u64 = 0x0904_1934;
const PIDFS: u64 = 0x5049_4446;
pub const PROC: u64 = 0x9fa0;
const CGROUP2: u64 = 0x6367_7270;

/// `MKDEV(MISC_MAJOR, TUN_MINOR)`.
const TUN: u32 = 10 << 20 | 200;

/// First eight bytes of names: of anonymous inodes, of mount tables in `/proc/PID`, of `/proc/PID/net`.
const IO_URING_NAME: u64 = u64::from_le_bytes(*b"[io_urin");
const PIDFD_NAME: u64 = u64::from_le_bytes(*b"[pidfd]\0");
const CONTEXT_NAME: u64 = u64::from_le_bytes(*b"[fsconte");
/// On kernels before 5.11 `[fscontext]` has no brackets.
const CONTEXT_NAME_OLD: u64 = u64::from_le_bytes(*b"fscontex");
const INOTIFY_NAME: u64 = u64::from_le_bytes(*b"inotify\0");
const FANOTIFY_NAME: u64 = u64::from_le_bytes(*b"[fanotif");
const MOUNTINFO: u64 = u64::from_le_bytes(*b"mountinf");
const MOUNTSTATS: u64 = u64::from_le_bytes(*b"mountsta");
/// Seven bytes, the last one the zero.
const MOUNTS: u64 = u64::from_le_bytes(*b"mounts\0\0");
const SEVEN_BYTES: u64 = (1 << 56) - 1;

const AF_UNIX: u32 = 1;
const IPPROTO_TCP: u32 = 6;
/// `TCP_LISTEN`, of unix sockets too.
pub const LISTENING: u32 = 10;

/// Writes a record for each namespace that `file` holds. `cred`: who would have opened it where nobody else did.
#[inline(always)]
pub fn hold(visit: Visit, record: &mut File, file: Kptr, cred: Kptr) {
    let inode = load_ptr(file, census!(file_f_inode));
    record.inode = load_u64(inode, census!(inode_i_ino)) as u32;
    let magic = load_u64(load_ptr(inode, census!(inode_i_sb)), census!(super_block_s_magic));
    match magic {
        NSFS => {
            record.what = what::NSFS;
            record.object = file as u64;
            record.ns = nsfs(visit, inode);
            visit.write(record);
        }
        SOCKFS => socket(visit, record, load_ptr(load_ptr(file, census!(file_private_data)), census!(socket_sk))),
        ANON_INODE => anonymous(visit, record, file),
        PIDFS => pid(visit, record, load_ptr(inode, offset!(inode_i_private)), what::PIDFD),
        PROC => procfs(visit, record, file, inode),
        CGROUP2 => cgroup(visit, record, file),
        _ => {
            if load_u32(inode, census!(inode_i_rdev)) == TUN {
                // `struct tun_file` starts with its `struct sock`.
                sock(visit, record, load_ptr(file, census!(file_private_data)), what::TUN);
            }
        }
    }
    opener(visit, record, cred, load_ptr(file, census!(file_f_cred)));
    owner(visit, record, file);
    mount_of(visit, record, load_ptr(file, census!(file_mnt)), magic);
    superblock(visit, record, load_ptr(inode, census!(inode_i_sb)));
}

/// The namespace of an nsfs inode.
#[inline(always)]
pub fn nsfs(visit: Visit, inode: Kptr) -> u64 {
    describe_later(visit, load_ptr(inode, offset!(inode_i_private)))
}

#[inline(always)]
fn sock(visit: Visit, record: &mut File, sk: Kptr, what: u32) {
    if sk.is_null() {
        return;
    }
    record.what = what;
    record.object = sk as u64;
    record.detail = load_u32(sk, census!(sock_family)) & 0xffff;
    record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
    visit.write(record);
}

/// A socket, and of a unix one what waits in it and who made the other end.
#[inline(always)]
pub fn socket(visit: Visit, record: &mut File, sk: Kptr) {
    sock(visit, record, sk, what::SOCKET);
    if sk.is_null() {
        return;
    }
    if record.detail != AF_UNIX {
        let listens = load_u32(sk, census!(sock_state)) & 0xff == LISTENING;
        // Of TCP alone it is known where the connections wait.
        if listens
            && load_u32(sk, census!(sock_protocol)) & 0xff == IPPROTO_TCP
            && load_u64(sk, census!(inet_csk_accept_head)) != 0
        {
            record.what = what::CONNECTIONS;
            record.ns = 0;
            visit.write(record);
        }
        return;
    }
    let queue = sk as u64 + u64::from(census!(sock_receive_queue));
    if load_u64(queue as Kptr, census!(sk_buff_next)) != queue {
        record.what = what::QUEUE;
        record.ns = 0;
        visit.write(record);
    }
    pid(visit, record, load_ptr(sk, census!(sock_peer_pid)), what::PEER_PID);
    record.detail = AF_UNIX;
    let peer = load_ptr(sk, census!(sock_peer_cred));
    if level_of(peer) != 0 {
        credentials(visit, record, peer, what::PEER_CRED);
    }
}

#[inline(always)]
fn anonymous(visit: Visit, record: &mut File, file: Kptr) {
    let private = load_ptr(file, census!(file_private_data));
    record.object = private as u64;
    let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
    match load_u64(name, 0) {
        IO_URING_NAME => {
            record.what = what::IO_URING;
            visit.write(record);
        }
        INOTIFY_NAME | FANOTIFY_NAME => {
            record.what = what::WATCHES;
            visit.write(record);
        }
        CONTEXT_NAME | CONTEXT_NAME_OLD => {
            record.what = what::FS_CONTEXT;
            record.ns = describe(visit, load_ptr(private, census!(fs_context_net_ns)), NET as u32);
            visit.write(record);
            let user = load_ptr(private, census!(fs_context_user_ns));
            if load_u32(user, offset!(user_namespace_level)) != 0 {
                record.ns = describe(visit, user, USER as u32);
                visit.write(record);
                credentials(visit, record, load_ptr(private, census!(fs_context_cred)), what::CRED);
            }
        }
        PIDFD_NAME => pid(visit, record, private, what::PIDFD),
        _ => {}
    }
}

/// A `struct pid` holds the pid namespace of its deepest number. Nothing is said of the initial one, which nothing frees.
#[inline(always)]
pub fn pid(visit: Visit, record: &mut File, pid: Kptr, what: u32) {
    if typed() || pid.is_null() {
        return;
    }
    let level = load_u32(pid, offset!(pid_level)) & 63;
    if level == 0 && what != what::PIDFD {
        return;
    }
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    record.what = what;
    record.object = pid as u64;
    record.detail = load_u32(pid, offset!(pid_numbers) + offset!(upid_nr));
    record.ns = describe(visit, ns, PID as u32);
    visit.write(record);
}

/// A file in a folder of a process keeps its `struct pid`; one on mount tables or below `net` a namespace.
#[inline(always)]
fn procfs(visit: Visit, record: &mut File, file: Kptr, inode: Kptr) {
    if census!(proc_inode_vfs_inode) == ABSENT {
        return;
    }
    let proc_inode = (inode as u64 - u64::from(census!(proc_inode_vfs_inode))) as Kptr;
    pid(visit, record, load_ptr(proc_inode, census!(proc_inode_pid)), what::PROC_PID);
    let seq = load_ptr(file, census!(file_private_data));
    if seq.is_null() {
        return;
    }
    let name = load_u64(load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name)), 0);
    if name == MOUNTINFO || name == MOUNTSTATS || name & SEVEN_BYTES == MOUNTS {
        let table = load_ptr(seq, census!(seq_file_private));
        let ns = load_ptr(table, census!(proc_mounts_ns));
        record.what = what::MOUNT_TABLE;
        record.object = file as u64;
        record.ns = describe(visit, ns, MNT as u32);
        visit.write(record);
        return;
    }
    // The `net` folder is an entry without a directory of its own, whose data is the namespace; files are at most two below.
    let mut entry = load_ptr(load_ptr(proc_inode, census!(proc_inode_pde)), census!(proc_dir_entry_parent));
    for _ in 0..2 {
        if load_u32(load_ptr(entry, census!(proc_dir_entry_name)), 0) == NET_NAME {
            record.what = what::NET_TABLE;
            record.object = file as u64;
            record.ns = describe(visit, load_ptr(entry, census!(proc_dir_entry_data)), NET as u32);
            visit.write(record);
            return;
        }
        entry = load_ptr(entry, census!(proc_dir_entry_parent));
    }
}

const NET_NAME: u32 = u32::from_le_bytes(*b"net\0");

/// A cgroup file keeps the cgroup namespace of who opened it (`cgroup_file_ctx`, 5.16+).
#[inline(always)]
fn cgroup(visit: Visit, record: &mut File, file: Kptr) {
    if census!(cgroup_file_ctx_ns) == ABSENT {
        return;
    }
    let open = load_ptr(load_ptr(file, census!(file_private_data)), census!(seq_file_private));
    let ns = load_ptr(load_ptr(open, census!(kernfs_open_file_priv)), census!(cgroup_file_ctx_ns));
    if !ns.is_null() {
        record.what = what::CGROUP_FILE;
        record.object = file as u64;
        record.ns = describe(visit, ns, CGROUP as u32);
        visit.write(record);
    }
}

/// Nesting level of the user namespace of credentials.
#[inline(always)]
fn level_of(cred: Kptr) -> u32 {
    load_u32(load_ptr(cred, offset!(cred_user_ns)), offset!(user_namespace_level))
}

#[inline(always)]
fn credentials(visit: Visit, record: &mut File, cred: Kptr, what: u32) {
    record.what = what;
    record.object = cred as u64;
    record.ucounts = load_u64(cred, census!(cred_ucounts));
    record.ns = describe(visit, load_ptr(cred, offset!(cred_user_ns)), USER as u32);
    visit.write(record);
}

/// The credentials a file was opened with keep their user namespace. Most are the task's own.
#[inline(always)]
pub fn opener(visit: Visit, record: &mut File, own: Kptr, cred: Kptr) {
    if cred != own && level_of(cred) != 0 {
        credentials(visit, record, cred, what::CRED);
    }
}

/// Who gets the signals (`F_SETOWN`).
#[inline(always)]
fn owner(visit: Visit, record: &mut File, file: Kptr) {
    let owner = if census!(file_f_owner_pid) == ABSENT {
        load_ptr(load_ptr(file, census!(file_f_owner)), census!(fown_struct_pid))
    } else {
        load_ptr(file, census!(file_f_owner_pid))
    };
    pid(visit, record, owner, what::OWNER_PID);
}
