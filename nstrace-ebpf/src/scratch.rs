//! Where the census keeps what it is about to tell: the file that is looked at, and the records of one visit.

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel, bpf_seq_write},
    macros::map,
    maps::Array,
};
use nstrace_common::census::{FILE_COPY, File, Namespace, kind};

use crate::{
    config::casts,
    kernel_memory::{Kptr, load_u64},
    seen::{Visit, census, head},
};

/// Room for the records of one visit: a power of two, so that an index can be cut to it. As many fit into the 32 KiB that
/// the kernel has for the output of a visit, with the namespaces that [`crate::seen`] describes in it.
pub const HELD: usize = 512;
/// Most records of one file.
pub const HELD_BY_ONE: usize = 16;
const _: () = assert!(HELD * size_of::<File>() + 16 * size_of::<Namespace>() <= 32 << 10);

/// The file that is looked at and what was found to be held; one reader runs at a time.
#[repr(C)]
pub struct Scratch {
    /// Address of the visited task.
    pub task: u64,
    pub file: u64,
    pub inode: u64,
    pub super_block: u64,
    /// `super_block.s_magic`.
    pub magic: u64,
    pub cred: u64,
    /// The credentials that the task has, and its leader's `struct pid`: of what it has anyway its sockets tell nothing.
    pub own_cred: u64,
    pub own_pid: u64,
    /// `struct vfsmount`.
    pub mount: u64,
    pub private: u64,
    /// The array of a file table, the bits of those that are open, and how long it is.
    pub slots: u64,
    pub open: u64,
    pub slot_count: u32,
    pub count: u32,
    /// The mount that was asked last, and whether that held something: most files of a process are on few.
    pub known_mount: u64,
    pub known_holds: u32,
    reserved: u32,
    /// What was asked last: the sockets of a process mostly agree in these.
    pub net: Known,
    pub pid: Known,
    pub credentials: Known,
    /// What all its records have, and what the next one has.
    pub record: File,
    copy: [u64; FILE_COPY / 8],
    /// Some of `slots`, from the place `from` on: as many as there are up to the last one that has a file.
    pub chunk: [u64; CHUNK],
    pub from: u32,
    pub end: u32,
    /// Of each that is a socket the `struct socket` or `struct sock`.
    pub sockets: [u64; CHUNK],
    /// The mount that all sockets are on, as soon as one was met.
    pub socket_mount: u64,
    held: [File; HELD],
}

/// Places of a file table that are read at once: as many as bits are. Tables have a multiple of as many.
pub const CHUNK: usize = 32;

/// An object, the key of the namespace it holds, and what its records tell.
#[repr(C)]
pub struct Known {
    pub object: u64,
    pub ns: u64,
    pub detail: u64,
    pub level: u64,
}

#[map]
static FILE_OUT: Array<Scratch> = Array::with_max_entries(1, 0);

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the map's only element; one reader runs at a time.
    FILE_OUT.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

impl Scratch {
    /// Nothing is known yet in this visit.
    #[inline(always)]
    pub fn begin(&mut self, tid: u32, tgid: u32, fd: u32) {
        let head = head::<File>(kind::FILE);
        self.count = 0;
        self.own_cred = 0;
        self.own_pid = 0;
        self.known_mount = 0;
        self.net.object = 0;
        self.pid.object = 0;
        self.credentials.object = 0;
        self.record = File { head, ns: 0, object: 0, ucounts: 0, tid, tgid, fd, what: 0, detail: 0, reserved: 0 };
    }

    /// Leaves a copy of the record.
    #[inline(always)]
    pub fn put(&mut self) {
        let at = self.count as usize & (HELD - 1);
        // SAFETY: inside the array.
        unsafe { (&raw mut self.held).cast::<File>().add(at).write(self.record) };
        self.count += 1;
    }

    /// Copies what is asked of a file, of which only its address is known.
    #[inline(always)]
    pub fn set_file(&mut self, file: Kptr) {
        self.file = file as u64;
        let span = census!(file_span);
        // Constants to the verifier.
        if !casts() && span as usize <= FILE_COPY {
            // SAFETY: the helper writes as many bytes, which is room there is; zeroes when it cannot read.
            unsafe { bpf_probe_read_kernel((&raw mut self.copy).cast(), span, file.cast()) };
        }
        self.inode = self.copied(census!(file_f_inode));
        self.cred = self.copied(census!(file_f_cred));
        self.mount = self.copied(census!(file_mnt));
        self.private = self.copied(census!(file_private_data));
    }

    /// The file system that the inode is on, which of a mapping is another than the mount's (overlayfs); its magic number.
    #[inline(always)]
    pub fn by_inode(&mut self) -> u64 {
        self.super_block = load_u64(self.inode as Kptr, census!(inode_i_sb));
        self.magic = load_u64(self.super_block as Kptr, census!(super_block_s_magic));
        self.magic
    }

    /// The `struct sock` of the file, which is a socket.
    #[inline(always)]
    pub fn sock(&self) -> u64 {
        load_u64(self.private as Kptr, census!(socket_sk))
    }

    /// The member at `offset` of the copied file.
    #[inline(always)]
    pub fn copied(&self, offset: u32) -> u64 {
        // Constants to the verifier.
        if casts() {
            return load_u64(self.file as Kptr, offset);
        }
        if offset as usize > FILE_COPY - 8 {
            return 0;
        }
        // SAFETY: inside the copy.
        unsafe { (&raw const self.copy).cast::<u8>().add(offset as usize).cast::<u64>().read_volatile() }
    }
}

/// Writes the records that were left.
#[inline(always)]
pub fn write_held(visit: Visit) {
    let Some(scratch) = scratch() else { return };
    let bytes = (scratch.count as usize & (HELD - 1)) * size_of::<File>();
    // SAFETY: the helper copies initialised bytes of the array.
    unsafe { bpf_seq_write(visit.seq, (&raw const scratch.held).cast_mut().cast(), bytes as u32) };
}
