//! Namespaces of a task by /proc and nsfs.

use std::{collections::BTreeMap, fs::File, os::fd::AsRawFd, path::Path};

use crate::{
    deed::NsTruth,
    kinds::{KINDS, Kind},
};

/// `NS_GET_ID` (include/uapi/linux/nsfs.h, 6.18): the 64-bit id of the namespace behind an nsfs fd.
pub fn id_of_fd(fd: std::os::fd::RawFd) -> Option<u64> {
    // _IOR(0xb7, 13, __u64)
    const NS_GET_ID: libc::c_ulong = 0x8008_b70d;
    let mut id = 0u64;
    // SAFETY: the kernel writes eight bytes to `id`.
    let ret = unsafe { libc::ioctl(fd, NS_GET_ID, &raw mut id) };
    (ret == 0).then_some(id)
}

/// Whether a namespace lives, by its nsfs file handle: None where the kernel has none (before 6.18), and Some(false) also of
/// one that no task and no file is in (6.19+).
pub fn lives(kind: Kind, ns: NsTruth) -> Option<bool> {
    /// `struct file_handle` with `struct nsfs_file_handle` (include/uapi/linux/nsfs.h) in it.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        handle_type: i32,
        id: [u32; 2],
        ns_type: u32,
        inum: u32,
    }
    /// `FILEID_NSFS`.
    const NSFS: i32 = 0xf1;
    let id = ns.id?;
    let id = [id as u32, (id >> 32) as u32];
    let handle = Handle { bytes: 16, handle_type: NSFS, id, ns_type: u32::try_from(kind.flag).ok()?, inum: ns.inum };
    let nsfs = File::open("/proc/self/ns/net").ok()?;
    // SAFETY: the handle has the length it says; what is returned is ours to close.
    unsafe {
        let fd = libc::syscall(libc::SYS_open_by_handle_at, nsfs.as_raw_fd(), &raw const handle, libc::O_RDONLY);
        if fd >= 0 {
            libc::close(i32::try_from(fd).ok()?);
            return Some(true);
        }
    }
    Some(std::io::Error::last_os_error().raw_os_error() != Some(libc::ESTALE))
}

/// The namespace that a link below a `/proc/PID/ns` folder names; None when it cannot be read.
pub fn inum_of_link(path: &Path) -> Option<u32> {
    let link = std::fs::read_link(path).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// The eight namespaces of a process, those it shares with this one left out.
pub fn own_namespaces(pid: u32) -> BTreeMap<&'static str, NsTruth> {
    KINDS
        .into_iter()
        .filter_map(|kind| {
            let path = format!("/proc/{pid}/ns/{}", kind.name);
            let inum = inum_of_link(Path::new(&path))?;
            if inum_of_link(Path::new(&format!("/proc/self/ns/{}", kind.name))) == Some(inum) {
                return None;
            }
            let id = File::open(&path).ok().and_then(|file| id_of_fd(file.as_raw_fd()));
            Some((kind.name, NsTruth { inum, id }))
        })
        .collect()
}
