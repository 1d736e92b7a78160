//! The system calls that rustix does not wrap. The only unsafe code of discovery.

use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

/// `MAX_HANDLE_SZ` (include/uapi/linux/fcntl.h).
const MAX_HANDLE: usize = 128;

/// `FD_NSFS_ROOT`: names the nsfs file system without any descriptor, 6.18+.
const FD_NSFS_ROOT: RawFd = -10003;

/// `NS_GET_NSTYPE` (ioctl_ns(2)): `_IO(0xb7, 0x3)`.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// `listns`, 6.19+; the number is the same on every architecture.
const SYS_LISTNS: libc::c_long = 470;

/// `struct file_handle` with the most room it can have (open_by_handle_at(2)).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct FileHandle {
    len: u32,
    kind: i32,
    bytes: [u8; MAX_HANDLE],
}

impl FileHandle {
    /// None: more bytes than a handle can have.
    pub fn new(kind: i32, content: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_HANDLE];
        bytes.get_mut(..content.len())?.copy_from_slice(content);
        Some(Self { len: u32::try_from(content.len()).ok()?, kind, bytes })
    }

    pub fn kind(&self) -> i32 {
        self.kind
    }

    pub fn content(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(MAX_HANDLE).min(MAX_HANDLE);
        &self.bytes[..len]
    }
}

/// The file system that a handle belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum HandleRoot<'fd> {
    /// nsfs, by its well-known number.
    Nsfs,
    /// That of any open file.
    Of(BorrowedFd<'fd>),
}

/// name_to_handle_at(2), following a final symbolic link.
pub(super) fn name_to_handle_at(dir: impl AsFd, path: &CStr) -> Result<FileHandle, Errno> {
    let mut handle = FileHandle { len: MAX_HANDLE as u32, kind: 0, bytes: [0; MAX_HANDLE] };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: `path` is NUL-terminated, `handle` has the layout of struct file_handle with `len` bytes of room, which is
    // the true size of `bytes`; both outlive the call. The descriptor is borrowed for its duration.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            dir.as_fd().as_raw_fd(),
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount_id,
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if result == 0 { Ok(handle) } else { Err(last_errno()) }
}

/// open_by_handle_at(2) with `O_CLOEXEC` and `flags`. `CAP_DAC_READ_SEARCH`, for nsfs see the kernel's
/// `nsfs_fh_to_dentry`.
pub(super) fn open_by_handle_at(
    root: HandleRoot<'_>,
    handle: &FileHandle,
    flags: libc::c_int,
) -> Result<OwnedFd, Errno> {
    let root = match root {
        HandleRoot::Nsfs => FD_NSFS_ROOT,
        HandleRoot::Of(fd) => fd.as_raw_fd(),
    };
    // SAFETY: `handle` has the layout of struct file_handle, its `len` is at most the size of `bytes` (by `new` or by the
    // kernel), and the kernel only reads it.
    let result =
        unsafe { libc::syscall(libc::SYS_open_by_handle_at, root, &raw const *handle, flags | libc::O_CLOEXEC) };
    let fd = RawFd::try_from(result).map_err(|_| Errno::INVAL)?;
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `CLONE_NEW*` of an open nsfs file (ioctl_ns(2)).
pub(super) fn ns_type_flag(file: impl AsFd) -> Result<u64, Errno> {
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory; on a file that is not on nsfs it fails.
    let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    u64::try_from(result).map_err(|_| last_errno())
}

/// Whether two threads share one table of open files (kcmp(2), `KCMP_FILES`).
pub(super) fn share_files(one: u32, other: u32) -> Result<bool, Errno> {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: KCMP_FILES takes two ids and two ignored numbers; no memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) };
    if result < 0 { Err(last_errno()) } else { Ok(result == 0) }
}

/// `struct ns_id_req` (include/uapi/linux/nsfs.h, `NS_ID_REQ_SIZE_VER0`).
#[repr(C)]
struct NsIdReq {
    size: u32,
    spare: u32,
    ns_id: u64,
    ns_type: u32,
    spare2: u32,
    user_ns_id: u64,
}
const _: () = assert!(size_of::<NsIdReq>() == 32);

/// listns(2): ids of active namespaces greater than `after`, ascending, into `ids`; how many. `types`: `CLONE_NEW*` bits,
/// 0 = all. `ENOSYS` before 6.19.
pub(super) fn listns(after: u64, types: u32, ids: &mut [u64]) -> Result<usize, Errno> {
    let request =
        NsIdReq { size: size_of::<NsIdReq>() as u32, spare: 0, ns_id: after, ns_type: types, spare2: 0, user_ns_id: 0 };
    // SAFETY: `request` says its own size and is only read; the kernel writes at most `ids.len()` numbers to `ids`.
    let result = unsafe { libc::syscall(SYS_LISTNS, &raw const request, ids.as_mut_ptr(), ids.len(), 0) };
    usize::try_from(result).map_err(|_| last_errno())
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `listmount` and `statmount`, 6.8+; the same on every architecture.
const SYS_STATMOUNT: libc::c_long = 457;
const SYS_LISTMOUNT: libc::c_long = 458;

/// `LSMT_ROOT`: the root of the mount namespace.
const LSMT_ROOT: u64 = u64::MAX;
/// `STATMOUNT_MNT_BASIC | STATMOUNT_MNT_POINT`.
const STATMOUNT_BASIC_AND_POINT: u64 = 0x2 | 0x10;

/// `struct mnt_id_req` (include/uapi/linux/mount.h, `MNT_ID_REQ_SIZE_VER1`).
#[repr(C)]
struct MntIdReq {
    size: u32,
    spare: u32,
    mnt_id: u64,
    param: u64,
    mnt_ns_id: u64,
}
const _: () = assert!(size_of::<MntIdReq>() == 32);

/// Unique ids greater than `after` of the mounts in a mount namespace, ascending, into `ids`; how many. 6.11+.
pub(super) fn listmount(mnt_ns_id: u64, after: u64, ids: &mut [u64]) -> Result<usize, Errno> {
    let request = MntIdReq { size: size_of::<MntIdReq>() as u32, spare: 0, mnt_id: LSMT_ROOT, param: after, mnt_ns_id };
    // SAFETY: `request` says its own size and is only read; the kernel writes at most `ids.len()` numbers to `ids`.
    let result = unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, ids.as_mut_ptr(), ids.len(), 0) };
    usize::try_from(result).map_err(|_| last_errno())
}

/// `struct statmount` with the strings behind it into `into`. `EOVERFLOW` when it is too short. 6.11+.
pub(super) fn statmount(mnt_ns_id: u64, mount: u64, into: &mut [u8]) -> Result<(), Errno> {
    let request = MntIdReq {
        size: size_of::<MntIdReq>() as u32,
        spare: 0,
        mnt_id: mount,
        param: STATMOUNT_BASIC_AND_POINT,
        mnt_ns_id,
    };
    // SAFETY: as in `listmount`; the kernel writes at most `into.len()` bytes, and any alignment will do for it.
    let result = unsafe { libc::syscall(SYS_STATMOUNT, &raw const request, into.as_mut_ptr(), into.len(), 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
