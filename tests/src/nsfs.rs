//! Namespaces of a task by /proc and nsfs.

use std::{collections::BTreeMap, fs::File, os::fd::AsRawFd, path::Path};

use crate::{deed::NsTruth, kinds::KINDS};

/// `NS_GET_ID` (include/uapi/linux/nsfs.h, 6.18): the 64-bit id of the namespace behind an nsfs fd.
pub fn id_of_fd(fd: std::os::fd::RawFd) -> Option<u64> {
    // _IOR(0xb7, 13, __u64)
    const NS_GET_ID: libc::c_ulong = 0x8008_b70d;
    let mut id = 0u64;
    // SAFETY: the kernel writes eight bytes to `id`.
    let ret = unsafe { libc::ioctl(fd, NS_GET_ID, &raw mut id) };
    (ret == 0).then_some(id)
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
