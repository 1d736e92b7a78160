//! Open files on nsfs and what they can be asked (ioctl_ns(2)).
//!
//! An open file makes an nsfs inode for as long as it lives, which tracers see as a holder: these files are opened for one
//! answer and closed again. There is no other way without BPF.

use std::{ffi::CString, os::fd::RawFd};

use nstrace_common::file::magic;
use rustix::{
    fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use crate::{
    discover::liveness,
    ns::{NsName, NsType},
};

/// `_IO(0xb7, n)`.
const NS_GET_USERNS: libc::Ioctl = 0xb701;
const NS_GET_PARENT: libc::Ioctl = 0xb702;
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;

/// One open namespace.
#[derive(Debug)]
pub struct NsFile {
    fd: OwnedFd,
    pub name: NsName,
}

impl NsFile {
    /// The namespace at `path` below `dir`. `EINVAL`: that is no namespace.
    ///
    /// What is there is only opened when it is on nsfs: devices and FIFOs have side effects.
    pub fn open(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<Self, Errno> {
        let there = rustix::fs::openat(dir, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if rustix::fs::fstatfs(&there)?.f_type != i64::from(magic::NSFS) {
            return Err(Errno::INVAL);
        }
        let again = format!("/proc/self/fd/{}", there.as_raw_fd());
        Self::new(rustix::fs::openat(CWD, again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let flag = ask(&fd, NS_GET_NSTYPE)?;
        let ns_type = NsType::from_clone_flag(u64::try_from(flag).map_err(|_| Errno::INVAL)?).ok_or(Errno::INVAL)?;
        let inum = u32::try_from(rustix::fs::fstat(&fd)?.st_ino).map_err(|_| Errno::INVAL)?;
        let id = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .ok()
            .and_then(|path| liveness::name_of(CWD, &path).ok())
            .filter(|named| (named.ns_type, named.inum) == (ns_type, inum))
            .and_then(|named| named.id);
        Ok(Self { fd, name: NsName { ns_type, inum, id } })
    }

    /// The user namespace that owns it; of a user namespace, its parent. `EPERM`: that is outside of the reader's own.
    pub fn owner(&self) -> Result<Self, Errno> {
        self.related(NS_GET_USERNS)
    }

    /// Parent of a pid or user namespace. `EPERM`: that is outside of the reader's own, or there is none. `EINVAL`: it
    /// is of another type.
    pub fn parent(&self) -> Result<Self, Errno> {
        self.related(NS_GET_PARENT)
    }

    /// Effective uid of the creator of a user namespace, as the reader's user namespace numbers it.
    pub fn owner_uid(&self) -> Result<u32, Errno> {
        let mut uid: libc::uid_t = 0;
        // SAFETY: NS_GET_OWNER_UID writes one uid_t to where its argument points, which outlives the call.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
        if result < 0 { Err(last_errno()) } else { Ok(uid) }
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    fn related(&self, request: libc::Ioctl) -> Result<Self, Errno> {
        let fd: RawFd = ask(&self.fd, request)?;
        // SAFETY: the kernel just made this descriptor and nobody else knows it.
        Self::new(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn ask(fd: &OwnedFd, request: libc::Ioctl) -> Result<libc::c_int, Errno> {
    // SAFETY: these requests take no argument and touch no memory; on a file that is not on nsfs they fail.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request) };
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
