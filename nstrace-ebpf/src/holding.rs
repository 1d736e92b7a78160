//! What an open file holds, wherever it was found: in a file table, in flight, registered with io_uring, mapped.
//!
//! Global functions, as in [`crate::seen`]: they take numbers, know the file from [`Scratch`], and leave records there.

use aya_ebpf::{macros::map, maps::Array};
use nstrace_common::{
    census::{File, kind, what},
    layout::ABSENT,
    slots::{CGROUP, MNT, NET, PID, USER},
};

use crate::{
    config::{offset, typed},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    mounted::{census_mounted, census_super_block},
    seen::{Visit, census, describe, describe_later, head},
};

/// `NSFS_MAGIC`, `SOCKFS_MAGIC`, `ANON_INODE_FS_MAGIC`, `PID_FS_MAGIC`, `PROC_SUPER_MAGIC`, `CGROUP2_SUPER_MAGIC`
/// (include/uapi/linux/magic.h).
pub const NSFS: u64 = 0x6e73_6673;
pub const SOCKFS: u64 = 0x534f_434b;
pub const ANON_INODE: u64 = 0x0904_1934;
pub const PIDFS: u64 = 0x5049_4446;
pub const PROC: u64 = 0x9fa0;
pub const CGROUP2: u64 = 0x6367_7270;
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

/// Most records of one file: a power of two, so that an index can be cut to it.
const HELD: usize = 16;

/// The file that is looked at and what it was found to hold; one reader runs at a time.
#[repr(C)]
pub struct Scratch {
    pub file: u64,
    pub inode: u64,
    pub super_block: u64,
    pub cred: u64,
    /// `struct vfsmount`.
    pub mount: u64,
    /// What all its records have, and what the next one has.
    pub record: File,
    held: [File; HELD],
    count: u32,
    reserved: u32,
}

#[map]
static FILE_OUT: Array<Scratch> = Array::with_max_entries(1, 0);

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the map's only element; one reader runs at a time.
    FILE_OUT.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

impl Scratch {
    /// Nothing is held yet by this descriptor of a task.
    #[inline(always)]
    pub fn begin(&mut self, tid: u32, tgid: u32, fd: u32) {
        let head = head::<File>(kind::FILE);
        self.count = 0;
        self.record = File { head, ns: 0, object: 0, ucounts: 0, tid, tgid, fd, what: 0, inode: 0, detail: 0 };
    }

    /// Leaves a copy of the record.
    #[inline(always)]
    pub fn put(&mut self) {
        let at = self.count as usize & (HELD - 1);
        // SAFETY: inside the array.
        unsafe { (&raw mut self.held).cast::<File>().add(at).write(self.record) };
        self.count += 1;
    }

    /// The file, where only its address is known.
    #[inline(always)]
    pub fn set_file(&mut self, file: Kptr) {
        let inode = load_ptr(file, census!(file_f_inode));
        self.file = file as u64;
        self.inode = inode as u64;
        self.super_block = load_u64(inode, census!(inode_i_sb));
        self.cred = load_u64(file, census!(file_f_cred));
        self.mount = load_u64(file, census!(file_mnt));
        self.record.inode = load_u64(inode, census!(inode_i_ino)) as u32;
    }
}

/// Writes the records that were left.
#[inline(always)]
pub fn write_held(visit: Visit) {
    let Some(scratch) = scratch() else { return };
    for at in 0..HELD {
        if at as u32 >= scratch.count {
            break;
        }
        // SAFETY: inside the array.
        visit.write(unsafe { &*(&raw const scratch.held).cast::<File>().add(at) });
    }
}

/// All that the file in [`Scratch`] holds.
#[inline(always)]
pub fn hold(visit: u64) {
    let Some(scratch) = scratch() else { return };
    let magic = load_u64(scratch.super_block as Kptr, census!(super_block_s_magic));
    census_object(visit, magic);
    census_opener(visit);
    census_owner(visit);
    census_mounted(visit, magic);
    census_super_block(visit, magic);
}

/// What the file is: a namespace, or something that holds some.
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
        SOCKFS => _ = census_socket(visit, load_u64(load_ptr(file, census!(file_private_data)), census!(socket_sk))),
        ANON_INODE => anonymous(visit, scratch, file),
        PIDFS => _ = census_pid(visit, load_u64(inode, offset!(inode_i_private)), what::PIDFD),
        PROC => procfs(visit, scratch, file, inode),
        CGROUP2 => cgroup(visit, scratch, file),
        _ => {
            if load_u32(inode, census!(inode_i_rdev)) == TUN {
                // `struct tun_file` starts with its `struct sock`.
                sock(visit, scratch, load_ptr(file, census!(file_private_data)), what::TUN);
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
    scratch.record.ns = describe(visit, load_ptr(sk, census!(sock_net)), NET as u32);
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
    census_pid(visit, load_u64(sk, census!(sock_peer_pid)), what::PEER_PID);
    scratch.record.detail = AF_UNIX;
    let peer = load_ptr(sk, census!(sock_peer_cred));
    if level_of(peer) != 0 {
        credentials(visit, scratch, peer, what::PEER_CRED);
    }
    0
}

#[inline(always)]
fn anonymous(visit: u64, scratch: &mut Scratch, file: Kptr) {
    let private = load_ptr(file, census!(file_private_data));
    scratch.record.object = private as u64;
    let name = load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name));
    match load_u64(name, 0) {
        IO_URING_NAME => {
            scratch.record.what = what::IO_URING;
            scratch.put();
        }
        INOTIFY_NAME | FANOTIFY_NAME => {
            scratch.record.what = what::WATCHES;
            scratch.put();
        }
        CONTEXT_NAME | CONTEXT_NAME_OLD => {
            scratch.record.what = what::FS_CONTEXT;
            scratch.record.ns = describe(visit, load_ptr(private, census!(fs_context_net_ns)), NET as u32);
            scratch.put();
            let user = load_ptr(private, census!(fs_context_user_ns));
            if load_u32(user, offset!(user_namespace_level)) != 0 {
                scratch.record.ns = describe(visit, user, USER as u32);
                scratch.put();
                credentials(visit, scratch, load_ptr(private, census!(fs_context_cred)), what::CRED);
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
    let pid = pid as Kptr;
    let level = load_u32(pid, offset!(pid_level)) & 63;
    if typed() || pid.is_null() || level == 0 && what != what::PIDFD {
        return 0;
    }
    let ns = load_ptr(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns));
    scratch.record.what = what;
    scratch.record.object = pid as u64;
    scratch.record.detail = load_u32(pid, offset!(pid_numbers) + offset!(upid_nr));
    scratch.record.ns = describe(visit, ns, PID as u32);
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
    let seq = load_ptr(file, census!(file_private_data));
    if seq.is_null() {
        return;
    }
    let name = load_u64(load_ptr(load_ptr(file, census!(file_dentry)), census!(dentry_d_name)), 0);
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
    let open = load_ptr(load_ptr(file, census!(file_private_data)), census!(seq_file_private));
    let ns = load_ptr(load_ptr(open, census!(kernfs_open_file_priv)), census!(cgroup_file_ctx_ns));
    if !ns.is_null() {
        scratch.record.what = what::CGROUP_FILE;
        scratch.record.object = file as u64;
        scratch.record.ns = describe(visit, ns, CGROUP as u32);
        scratch.put();
    }
}

/// Nesting level of the user namespace of credentials.
#[inline(always)]
fn level_of(cred: Kptr) -> u32 {
    load_u32(load_ptr(cred, offset!(cred_user_ns)), offset!(user_namespace_level))
}

#[inline(always)]
fn credentials(visit: u64, scratch: &mut Scratch, cred: Kptr, what: u32) {
    scratch.record.what = what;
    scratch.record.object = cred as u64;
    scratch.record.ucounts = load_u64(cred, census!(cred_ucounts));
    scratch.record.ns = describe(visit, load_ptr(cred, offset!(cred_user_ns)), USER as u32);
    scratch.put();
}

/// The credentials a file was opened with keep their user namespace.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_opener(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let cred = scratch.cred as Kptr;
    if level_of(cred) != 0 {
        credentials(visit, scratch, cred, what::CRED);
    }
    0
}

/// Who gets the signals (`F_SETOWN`).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn census_owner(visit: u64) -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let file = scratch.file as Kptr;
    let owner = if census!(file_f_owner_pid) == ABSENT {
        load_u64(load_ptr(file, census!(file_f_owner)), census!(fown_struct_pid))
    } else {
        load_u64(file, census!(file_f_owner_pid))
    };
    census_pid(visit, owner, what::OWNER_PID)
}
