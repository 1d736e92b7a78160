//! The cgroup2 hierarchy: from the id that kernel records carry to a path, and back.
//!
//! The id of a cgroup is the inode number of its directory, and as 8 bytes the file handle of that directory
//! (`kernfs_node.id`, `FILEID_KERNFS`). It is never reused and a cgroup2 directory cannot be renamed, so a path that was
//! found stays right; only a cgroup that was removed before it was asked for has none.

use std::{
    ffi::CStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nstrace_common::file::magic;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags},
    io::Errno,
};

use super::{
    Proc, ReadError,
    bounded::BoundedMap,
    mountinfo,
    raw::{self, FileHandle, HandleRoot},
    read::{read_file, read_link},
};

/// `FILEID_KERNFS` (include/linux/exportfs.h).
const FILEID_KERNFS: i32 = 0xfe;
/// Half of the cgroups remembered at most.
const REMEMBERED: usize = 8192;
/// Most directories that one walk looks at.
const MAX_WALK: usize = 200_000;

#[derive(Clone, Debug)]
enum Known {
    Path(Arc<str>),
    /// Not there when it was looked for at this CLOCK_BOOTTIME.
    Absent(u64),
}

/// A mounted cgroup2 hierarchy.
#[derive(Debug)]
pub struct CgroupTree {
    point: PathBuf,
    dir: OwnedFd,
    /// Handles can be opened here; else the tree is walked.
    handles: bool,
    /// cgroup version 1 hierarchies are mounted too: a task's container may only show there.
    hybrid: bool,
    known: BoundedMap<u64, Known>,
}

impl CgroupTree {
    /// Finds the cgroup2 mount of the reader's mount namespace, the one that shows most of the hierarchy when there are
    /// several. `Ok(None)`: there is none.
    pub fn find(proc: &Proc) -> Result<Option<Self>, ReadError> {
        let mut text = Vec::new();
        read_file(proc.open()?, c"self/mountinfo", &mut text)?;
        let mut hybrid = false;
        let mut best: Option<(usize, PathBuf)> = None;
        for mount in mountinfo::mounts(&text) {
            hybrid |= mount.fstype == b"cgroup";
            let shown = mount.root.len();
            if mount.fstype == b"cgroup2" && best.as_ref().is_none_or(|(least, _)| shown < *least) {
                best = Some((shown, PathBuf::from(std::ffi::OsStr::from_bytes(&mount.point))));
            }
        }
        best.map(|(_, point)| Self::at(point, hybrid)).transpose()
    }

    /// The hierarchy mounted at `point`. A directory that is no cgroup2 mount works too, by walking it.
    pub fn at(point: impl Into<PathBuf>, hybrid: bool) -> Result<Self, ReadError> {
        let point = point.into();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &point, flags, Mode::empty())?;
        let handles = rustix::fs::fstatfs(&dir).is_ok_and(|fs| fs.f_type == i64::from(magic::CGROUP2));
        Ok(Self { point, dir, handles, hybrid, known: BoundedMap::new(REMEMBERED) })
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.point
    }

    /// Version 1 hierarchies are mounted beside it: [`Proc::placement`] may know more of a task than its cgroup2 id.
    pub fn is_hybrid(&self) -> bool {
        self.hybrid
    }

    /// Ids are resolved by file handle: at once, and whatever the size of the tree. False without `CAP_DAC_READ_SEARCH`.
    pub fn opens_handles(&self) -> bool {
        self.handles
    }

    /// Path of the cgroup `id` from the root of the hierarchy (`/system.slice/ssh.service`), lossy where it is not UTF-8,
    /// hostile. None: it does not exist any more.
    ///
    /// `event_ns` is the stamp of the record that names it and `now_ns` the time of the call, both CLOCK_BOOTTIME. What
    /// was not found is only looked for again for a record written after that attempt: a cgroup that still has events
    /// lives, one without is gone for good.
    pub fn path_of(&mut self, id: u64, event_ns: u64, now_ns: u64) -> Option<Arc<str>> {
        if id == 0 {
            return None;
        }
        match self.known.get(&id) {
            Some(Known::Path(path)) => return Some(path),
            Some(Known::Absent(asked)) if event_ns <= asked => return None,
            Some(Known::Absent(_)) | None => {}
        }
        let found = self.look_up(id);
        let known = found.clone().map_or(Known::Absent(now_ns), Known::Path);
        self.known.insert(id, known);
        found
    }

    /// Id of the cgroup at `path`, as [`CgroupTree::path_of`] gives it. None: there is none.
    pub fn id_of(&mut self, path: &str) -> Option<u64> {
        let relative = path.trim_start_matches('/');
        // Out of the reader's cgroup namespace, or not a path at all.
        if relative.split('/').any(|name| name == "..") {
            return None;
        }
        let name = if relative.is_empty() { "." } else { relative };
        let stat = rustix::fs::statx(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO).ok()?;
        self.known.insert(stat.stx_ino, Known::Path(Arc::from(path)));
        Some(stat.stx_ino)
    }

    fn look_up(&mut self, id: u64) -> Option<Arc<str>> {
        if self.handles {
            match self.by_handle(id) {
                Ok(path) => return Some(path),
                Err(Errno::STALE | Errno::NOENT) => return None,
                // CAP_DAC_READ_SEARCH is missing, or the kernel cannot: not for the next id either.
                Err(_) => self.handles = false,
            }
        }
        self.path_by_walk(id)
    }

    fn by_handle(&self, id: u64) -> Result<Arc<str>, Errno> {
        let handle = FileHandle::new(FILEID_KERNFS, &id.to_ne_bytes()).ok_or(Errno::INVAL)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let cgroup = raw::open_by_handle_at(HandleRoot::Of(self.dir.as_fd()), &handle, flags)?;
        // Both by the same magic, so a mount point that was moved meanwhile does no harm.
        let (root, path) = (path_of_fd(&self.dir)?, path_of_fd(&cgroup)?);
        let relative = if root == b"/" { Some(&path[..]) } else { path.strip_prefix(&root[..]) };
        match relative {
            Some(b"") => Ok(Arc::from("/")),
            Some(relative) if relative.starts_with(b"/") => {
                let text = String::from_utf8_lossy(relative);
                // Removed between the two calls: the name is still a fact.
                Ok(Arc::from(text.strip_suffix(" (deleted)").unwrap_or(&text)))
            }
            // Above the root of this mount.
            _ => Err(Errno::NOENT),
        }
    }

    /// The same without memory and handles: a search for the directory with this inode number, over at most 200,000.
    pub fn path_by_walk(&self, id: u64) -> Option<Arc<str>> {
        if rustix::fs::fstat(&self.dir).is_ok_and(|stat| stat.st_ino == id) {
            return Some(Arc::from("/"));
        }
        let mut pending: Vec<Vec<u8>> = vec![Vec::new()];
        let mut visited = 0;
        while let Some(path) = pending.pop() {
            visited += 1;
            if visited > MAX_WALK {
                return None;
            }
            let name = if path.is_empty() { &b"."[..] } else { &path[..] };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(dir) = rustix::fs::openat(&self.dir, name, flags, Mode::empty()).and_then(Dir::new) else {
                continue;
            };
            for entry in dir.filter_map(Result::ok).filter(|entry| entry.file_type() == FileType::Directory) {
                let child = entry.file_name();
                if child == c"." || child == c".." {
                    continue;
                }
                let path = join(&path, child);
                if entry.ino() == id {
                    return Some(Arc::from(format!("/{}", String::from_utf8_lossy(&path))));
                }
                pending.push(path);
            }
        }
        None
    }
}

fn join(parent: &[u8], child: &CStr) -> Vec<u8> {
    let mut path = parent.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(child.to_bytes());
    path
}

/// Path of an open directory as seen from the reader's root, by the real `/proc`: descriptors are its business only.
fn path_of_fd(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; libc::PATH_MAX as usize];
    let name = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).map_err(|_| Errno::INVAL)?;
    read_link(CWD, &name, &mut buffer).map(<[u8]>::to_vec).map_err(|error| match error {
        ReadError::Errno(errno) => errno,
        _ => Errno::NOENT,
    })
}
