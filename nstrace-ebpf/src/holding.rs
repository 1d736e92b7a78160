//! What an open file holds, wherever it was found: in a file table, in flight, registered with io_uring, mapped.
//!
//! Global functions, as in [`crate::seen`]: they take numbers, know the file from [`Scratch`], and leave records there.

use nstrace_common::{
    census::what,
    file::magic,
    layout::ABSENT,
    slots::{CGROUP, MNT, NET, PID, USER},
};

use crate::{
    config::{offset, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{census_mounted, census_on, census_super_block},
    scratch::{Scratch, scratch},
    seen::{census, describe, describe_later},
};

/// As wide as `s_magic` is.
pub const NSFS: u64 = magic::NSFS as u64;
pub const PIDFS: u64 = magic::PIDFS as u64;
pub const PROC: u64 = magic::PROC as u64;
pub const CGROUP2: u64 = magic::CGROUP2 as u64;
/// `SOCKFS_MAGIC`, `ANON_INODE_FS_MAGIC` (include/uapi/linux/magic.h).
pub const SOCKFS: u64 = 0x534f_434b;
pub const ANON_INODE: u64 = 0x0904_1934;
/// `OVERLAYFS_SUPER_MAGIC`.
pub const OVERLAY: u64 = 0x794c_7630;
/// `PIPEFS_MAGIC`.
pub const PIPEFS: u64 = 0x5049_5045;

/// `MKDEV(MISC_MAJOR, TUN_MINOR)`.
pub const TUN: u32 = 10 << 20 | 200;

/// First eight bytes of names: of anonymous inodes, of mount tables in `/proc/PID`, of `/proc/PID/net`.
const IO_URING_NAME: u64 = u64::from_le_bytes(*b"[io_urin");
const PIDFD_NAME: u64 = u64::from_le_bytes(*b"[pidfd]\0");
const CONTEXT_NAME: u64 = u64::from_le_bytes(*b"[fsconte");
/// On kernels before 5.11 `[fscontext]` has no brackets.
const CONTEXT_NAME_OLD: u64 = u64::from_le_bytes(*b"fscontex");
const INOTIFY_NAME: u64 = u64::from_le_bytes(*b"inotify\0");
const PERF_EVENT_NAME: u64 = u64::from_le_bytes(*b"[perf_ev");
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

/// A file of which nothing but its address is known, and which is on the mount that it was opened by.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_open(visit: u64, file: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    scratch.set_file(file as Kptr);
    census_on(visit);
    let magic = scratch.magic;
    if magic == SOCKFS {
        census_socket(visit, scratch.sock());
    } else if magic == NSFS
        || magic == ANON_INODE
        || magic == PIDFS
        || magic == PROC
        || magic == CGROUP2
        || magic != PIPEFS && load_u32(scratch.inode as Kptr, census!(inode_i_rdev)) == TUN
    {
        census_object(visit, magic);
    }
    // Most files were opened with the very credentials that the task has.
    if scratch.cred != scratch.own_cred {
        census_opener(visit);
    }
    if scratch.copied(owner_member()) != 0 {
        census_owner(visit);
    }
    0
}

/// `f_owner`, or where it is inside the file, its `pid`.
#[inline(always)]
fn owner_member() -> u32 {
    if census!(file_f_owner_pid) == ABSENT { census!(file_f_owner) } else { census!(file_f_owner_pid) }
}

/// All that the file in [`Scratch`] holds, its file system by its inode.
#[inline(always)]
pub fn hold(visit: u64) {
    let Some(scratch) = scratch() else { return };
    let magic = scratch.by_inode();
    if magic == SOCKFS {
        census_socket(visit, scratch.sock());
    } else {
        census_object(visit, magic);
    }
    census_opener(visit);
    census_owner(visit);
    census_mounted(visit, magic);
    census_super_block(visit, magic);
}

/// What the file is: a namespace, or something that holds some. Sockets are for [`census_socket`]: the kernel allows eight
/// functions to be called from one another.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_object(visit: u64, magic: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let (file, inode) = (scratch.file as Kptr, scratch.inode as Kptr);
    match magic {
        NSFS => {
            scratch.record.what = what::NSFS;
            scratch.record.object = file as u64;
            scratch.record.ns = nsfs(visit, inode);
            scratch.put();
        }
        ANON_INODE => anonymous(visit, scratch),
        PIDFS => _ = census_pid(visit, load_u64(inode, offset!(inode_i_private)), what::PIDFD),
        PROC => procfs(visit, scratch, file, inode),
        CGROUP2 => cgroup(visit, scratch, file),
        _ => {
            if load_u32(inode, census!(inode_i_rdev)) == TUN {
                // `struct tun_file` starts with its `struct sock`.
                sock(visit, scratch, scratch.private as Kptr, what::TUN);
            }
        }
    }
    0
}

/// The namespace of an nsfs inode.
#[inline(always)]
pub fn nsfs(visit: u64, inode: Kptr) -> u64 {
    describe_later(visit, load_ptr(inode, offset!(inode_i_private)))
}

#[inline(always)]
fn sock(visit: u64, scratch: &mut Scratch, sk: Kptr, what: u32) {
    if sk.is_null() {
        return;
    }
    scratch.record.what = what;
    scratch.record.object = sk as u64;
    scratch.record.detail = load_u32(sk, census!(sock_family)) & 0xffff;
    let net = load_u64(sk, census!(sock_net));
    if scratch.net.object != net {
        scratch.net.ns = describe(visit, net as Kptr, NET as u32);
        scratch.net.object = net;
    }
    scratch.record.ns = scratch.net.ns;
    scratch.put();
}

/// A socket, and of a unix one what waits in it and who made the other end.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_socket(visit: u64, sk: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let sk = sk as Kptr;
    sock(visit, scratch, sk, what::SOCKET);
    if sk.is_null() {
        return 0;
    }
    if scratch.record.detail != AF_UNIX {
        let listens = load_u32(sk, census!(sock_state)) & 0xff == LISTENING;
        // Of TCP alone it is known where the connections wait.
        if listens
            && load_u32(sk, census!(sock_protocol)) & 0xff == IPPROTO_TCP
            && load_u64(sk, census!(inet_csk_accept_head)) != 0
        {
            scratch.record.what = what::CONNECTIONS;
            scratch.record.ns = 0;
            scratch.put();
        }
        return 0;
    }
    let queue = sk as u64 + u64::from(census!(sock_receive_queue));
    if load_u64(queue as Kptr, census!(sk_buff_next)) != queue {
        scratch.record.what = what::QUEUE;
        scratch.record.ns = 0;
        scratch.put();
    }
    let (pid, cred) = (load_u64(sk, census!(sock_peer_pid)), load_u64(sk, census!(sock_peer_cred)));
    if pid != scratch.own_pid {
        census_pid(visit, pid, what::PEER_PID);
    }
    if cred != scratch.own_cred {
        scratch.record.detail = AF_UNIX;
        credentials(visit, scratch, cred, what::PEER_CRED);
    }
    0
}

#[inline(always)]
fn anonymous(visit: u64, scratch: &mut Scratch) {
    let private = scratch.private as Kptr;
    scratch.record.object = scratch.private;
    let name = load_ptr(scratch.copied(census!(file_dentry)) as Kptr, census!(dentry_d_name));
    match load_u64(name, 0) {
        IO_URING_NAME => {
            scratch.record.what = what::IO_URING;
            scratch.put();
        }
        INOTIFY_NAME | FANOTIFY_NAME => {
            scratch.record.what = what::WATCHES;
            scratch.put();
        }
        PERF_EVENT_NAME => {
            let pid_ns = load_ptr(private, census!(perf_event_ns));
            if load_u32(pid_ns, offset!(pid_namespace_level)) != 0 {
                scratch.record.what = what::PERF_EVENT;
                scratch.record.ns = describe(visit, pid_ns, PID as u32);
                scratch.put();
            }
        }
        CONTEXT_NAME | CONTEXT_NAME_OLD => {
            scratch.record.what = what::FS_CONTEXT;
            scratch.record.ns = describe(visit, load_ptr(private, census!(fs_context_net_ns)), NET as u32);
            scratch.put();
            let user = load_ptr(private, census!(fs_context_user_ns));
            if load_u32(user, offset!(user_namespace_level)) != 0 {
                scratch.record.ns = describe(visit, user, USER as u32);
                scratch.put();
                credentials(visit, scratch, load_u64(private, census!(fs_context_cred)), what::CRED);
            }
        }
        PIDFD_NAME => _ = census_pid(visit, private as u64, what::PIDFD),
        _ => {}
    }
}

/// A `struct pid` holds the pid namespace of its deepest number. Nothing is said of the initial one, which nothing frees.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_pid(visit: u64, pid: u64, what: u32) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let at = pid as Kptr;
    if typed() || pid == 0 {
        return 0;
    }
    if scratch.pid.object != pid {
        let level = load_u32(at, offset!(pid_level)) & 63;
        let ns = load_ptr(at, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
        scratch.pid.level = level.into();
        scratch.pid.detail = load_u32(at, offset!(pid_numbers) + offset!(upid_nr)).into();
        scratch.pid.ns = describe(visit, ns, PID as u32);
        scratch.pid.object = pid;
    }
    if scratch.pid.level == 0 && what != what::PIDFD {
        return 0;
    }
    scratch.record.what = what;
    scratch.record.object = pid;
    scratch.record.detail = scratch.pid.detail as u32;
    scratch.record.ns = scratch.pid.ns;
    scratch.put();
    0
}

/// A file in a folder of a process keeps its `struct pid`; one on mount tables or below `net` a namespace.
#[inline(always)]
fn procfs(visit: u64, scratch: &mut Scratch, file: Kptr, inode: Kptr) {
    if census!(proc_inode_vfs_inode) == ABSENT {
        return;
    }
    let proc_inode = (inode as u64 - u64::from(census!(proc_inode_vfs_inode))) as Kptr;
    census_pid(visit, load_u64(proc_inode, census!(proc_inode_pid)), what::PROC_PID);
    let seq = scratch.private as Kptr;
    if seq.is_null() {
        return;
    }
    let name = load_u64(load_ptr(scratch.copied(census!(file_dentry)) as Kptr, census!(dentry_d_name)), 0);
    if name == MOUNTINFO || name == MOUNTSTATS || name & SEVEN_BYTES == MOUNTS {
        let table = load_ptr(seq, census!(seq_file_private));
        let ns = load_ptr(table, census!(proc_mounts_ns));
        scratch.record.what = what::MOUNT_TABLE;
        scratch.record.object = file as u64;
        scratch.record.ns = describe(visit, ns, MNT as u32);
        scratch.put();
        return;
    }
    // The `net` folder is an entry without a directory of its own, whose data is the namespace; files are at most two below.
    let mut entry = load_ptr(load_ptr(proc_inode, census!(proc_inode_pde)), census!(proc_dir_entry_parent));
    for _ in 0..2 {
        if load_u32(load_ptr(entry, census!(proc_dir_entry_name)), 0) == NET_NAME {
            scratch.record.what = what::NET_TABLE;
            scratch.record.object = file as u64;
            scratch.record.ns = describe(visit, load_ptr(entry, census!(proc_dir_entry_data)), NET as u32);
            scratch.put();
            return;
        }
        entry = load_ptr(entry, census!(proc_dir_entry_parent));
    }
}

const NET_NAME: u32 = u32::from_le_bytes(*b"net\0");

/// A cgroup file keeps the cgroup namespace of who opened it (`cgroup_file_ctx`, 5.16+).
#[inline(always)]
fn cgroup(visit: u64, scratch: &mut Scratch, file: Kptr) {
    if census!(cgroup_file_ctx_ns) == ABSENT {
        return;
    }
    let open = load_ptr(scratch.private as Kptr, census!(seq_file_private));
    let ns = load_ptr(load_ptr(open, census!(kernfs_open_file_priv)), census!(cgroup_file_ctx_ns));
    if !ns.is_null() {
        scratch.record.what = what::CGROUP_FILE;
        scratch.record.object = file as u64;
        scratch.record.ns = describe(visit, ns, CGROUP as u32);
        scratch.put();
    }
}

/// Nothing is said of credentials of the initial user namespace.
#[inline(always)]
fn credentials(visit: u64, scratch: &mut Scratch, cred: u64, what: u32) {
    if scratch.credentials.object != cred {
        let user = load_ptr(cred as Kptr, offset!(cred_user_ns));
        let level = load_u32(user, offset!(user_namespace_level));
        scratch.credentials.level = level.into();
        if level != 0 {
            scratch.credentials.detail = load_u64(cred as Kptr, census!(cred_ucounts));
            scratch.credentials.ns = describe(visit, user, USER as u32);
        }
        scratch.credentials.object = cred;
    }
    if scratch.credentials.level == 0 {
        return;
    }
    scratch.record.what = what;
    scratch.record.object = cred;
    scratch.record.ucounts = scratch.credentials.detail;
    scratch.record.ns = scratch.credentials.ns;
    scratch.put();
}

/// The credentials a file was opened with keep their user namespace.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_opener(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    credentials(visit, scratch, scratch.cred, what::CRED);
    0
}

/// Who gets the signals (`F_SETOWN`).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_owner(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let owner = scratch.copied(owner_member());
    let owner =
        if census!(file_f_owner_pid) == ABSENT { load_u64(owner as Kptr, census!(fown_struct_pid)) } else { owner };
    census_pid(visit, owner, what::OWNER_PID)
}
