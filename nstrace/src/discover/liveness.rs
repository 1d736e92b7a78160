//! Is a namespace still alive? By nsfs file handles (6.18 and newer), and by listns(2) (6.19 and newer).
//!
//! A handle is 16 bytes: the namespace's 64-bit id, its `CLONE_NEW*` bit, its inode number (`struct nsfs_file_handle`,
//! include/uapi/linux/nsfs.h). 6.18 looks it up in the tree of that type and compares the number too, so all three must be
//! right; newer kernels also take type and number 0. [`NsHandles`] always passes all three.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::io::Errno;

use crate::ns::{NsName, NsType};

use super::{
    Proc, ReadError,
    raw::{self, FileHandle, HandleRoot},
};

/// `FILEID_NSFS` (include/linux/exportfs.h).
const FILEID_NSFS: i32 = 0xf1;

/// Why there are no handles here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// nsfs of this kernel makes no file handles.
    #[error("this kernel has no nsfs file handles (6.18 and newer have)")]
    Kernel,
    /// `CAP_SYS_ADMIN` or `CAP_DAC_READ_SEARCH` is missing, or a seccomp filter refuses open_by_handle_at(2).
    #[error("opening nsfs file handles is not permitted: run as root in the initial user namespace")]
    Denied,
    /// Anything else.
    #[error("nsfs file handles cannot be used: {0}")]
    Other(ReadError),
}

/// What [`NsHandles::liveness`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    /// 6.18: its last reference is dropped, the kernel has freed it or is about to. 6.19 and newer: freed, or merely
    /// inactive, that is without tasks, nsfs files and active descendants (a net namespace that only a socket holds).
    Gone,
}

/// The way into nsfs by handle. Every use of it is at once undone and is the tracer's own doing: an nsfs inode may come
/// and go, and a namespace whose last other reference is dropped in between ends in our context.
#[derive(Debug)]
pub struct NsHandles {
    /// None: `FD_NSFS_ROOT`. Else any file on nsfs, here the reader's own network namespace.
    file: Option<OwnedFd>,
}

impl NsHandles {
    /// Finds out whether this kernel and these privileges allow it, by a round trip over the reader's own namespace.
    pub fn probe(proc: &Proc) -> Result<Self, Unsupported> {
        let root = proc.open().map_err(Unsupported::Other)?;
        let own = c"self/ns/net";
        let (name, handle) = match handle_of(&root, own) {
            Ok(found) => found,
            Err(ReadError::Denied) => return Err(Unsupported::Denied),
            Err(ReadError::Errno(Errno::OPNOTSUPP | Errno::NOSYS) | ReadError::Malformed(_)) => {
                return Err(Unsupported::Kernel);
            }
            Err(error) => return Err(Unsupported::Other(error)),
        };
        if name.ns_type != NsType::Net {
            return Err(Unsupported::Kernel);
        }
        if raw::open_by_handle_at(HandleRoot::Nsfs, &handle, libc::O_RDONLY).is_ok() {
            return Ok(Self { file: None });
        }
        let file = rustix::fs::openat(
            &root,
            own,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|errno| Unsupported::Other(errno.into()))?;
        match raw::open_by_handle_at(HandleRoot::Of(file.as_fd()), &handle, libc::O_RDONLY) {
            Ok(_) => Ok(Self { file: Some(file) }),
            Err(Errno::PERM | Errno::ACCESS) => Err(Unsupported::Denied),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::STALE) => Err(Unsupported::Kernel),
            Err(errno) => Err(Unsupported::Other(errno.into())),
        }
    }

    /// Whether `ns` is alive. None: it cannot be asked for without its 64-bit id.
    ///
    /// `Denied` when the namespace is not below the reader's own user namespace (`may_decode_fh`).
    pub fn liveness(&self, ns: NsName) -> Option<Result<Liveness, ReadError>> {
        Some(match self.open(ns)? {
            Ok(_) => Ok(Liveness::Alive),
            Err(Errno::STALE) => Ok(Liveness::Gone),
            Err(errno) => Err(errno.into()),
        })
    }

    /// Opens `ns`, which lives on as long as that is open. None: it cannot be asked for without its 64-bit id. `ESTALE`: it
    /// is gone.
    pub fn open(&self, ns: NsName) -> Option<Result<OwnedFd, Errno>> {
        let mut content = [0; 16];
        content[..8].copy_from_slice(&ns.id?.to_ne_bytes());
        // The CLONE_NEW* bits lie below 2^31.
        content[8..12].copy_from_slice(&(ns.ns_type.clone_flag() as u32).to_ne_bytes());
        content[12..].copy_from_slice(&ns.inum.to_ne_bytes());
        let handle = FileHandle::new(FILEID_NSFS, &content)?;
        Some(raw::open_by_handle_at(self.root(), &handle, libc::O_RDONLY))
    }

    fn root(&self) -> HandleRoot<'_> {
        self.file.as_ref().map_or(HandleRoot::Nsfs, |file| HandleRoot::Of(file.as_fd()))
    }
}

/// The namespace behind `path` (below `dir`), with its 64-bit id, by name_to_handle_at(2): nothing stays open. Of a
/// `/proc/PID/ns` link this makes an nsfs inode for the length of the call (unless the namespace has one already); of an
/// open nsfs file or a bind mount it does not.
pub fn name_of(dir: impl AsFd, path: &CStr) -> Result<NsName, ReadError> {
    handle_of(dir, path).map(|(name, _)| name)
}

fn handle_of(dir: impl AsFd, path: &CStr) -> Result<(NsName, FileHandle), ReadError> {
    let handle = raw::name_to_handle_at(dir, path)?;
    let content = handle.content();
    if handle.kind() != FILEID_NSFS || content.len() < 16 {
        return Err(ReadError::Malformed("file handle (not of nsfs)"));
    }
    let (id, rest) = content.split_at(8);
    let id = u64::from_ne_bytes(id.try_into().map_err(|_| ReadError::Malformed("nsfs file handle"))?);
    let word = |at: usize| rest.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
    let ns_type = word(0).and_then(|flag| NsType::from_clone_flag(u64::from(flag)));
    match (ns_type, word(4)) {
        (Some(ns_type), Some(inum)) if id != 0 && inum != 0 => Ok((NsName { ns_type, inum, id: Some(id) }, handle)),
        _ => Err(ReadError::Malformed("nsfs file handle")),
    }
}

/// Ids of all active namespaces that the reader may see, ascending (listns(2)). `ReadError::Errno(ENOSYS)` before 6.19.
pub fn active_ids() -> Result<Vec<u64>, ReadError> {
    let mut all = Vec::new();
    let mut page = [0; 512];
    loop {
        let count = raw::listns(all.last().copied().unwrap_or(0), 0, &mut page)?;
        let new = page.get(..count).unwrap_or(&page);
        let advanced = new.last() > all.last();
        all.extend_from_slice(new);
        if count < page.len() || !advanced {
            return Ok(all);
        }
    }
}
