//! What keeps a namespace without being a member: open nsfs files and nsfs bind mounts.

use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, CString},
    os::fd::AsFd,
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, StatxFlags},
};

use crate::{
    event::PinHolder,
    ns::{NsName, NsType},
};

use super::{
    Missed, Proc, ReadError, clock, liveness, mountinfo, raw,
    read::{numeric_names, open_dir, read_file, read_link},
    task_files::parse_ns_link,
};

/// One nsfs file or mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// CLOCK_BOOTTIME right before it was read: what lets it go comes later.
    pub boot_ns: u64,
    /// With its 64-bit id where the kernel has them and they can be had without side effect: of descriptors, and of
    /// mounts in the reader's own mount namespace (other paths may lead through file systems that hang on purpose).
    pub ns: NsName,
    pub holder: PinHolder,
    /// Of a descriptor: the thread whose file table it is in.
    pub tid: Option<u32>,
    /// Of a mount: something is mounted over it or on the way to it.
    pub hidden: bool,
}

/// Result of [`Proc::nsfs_fds`] and [`Proc::nsfs_mounts`].
#[derive(Clone, Debug, Default)]
pub struct HolderScan {
    pub holders: Vec<Holder>,
    /// Process, thread and number of each descriptor of an io_uring instance.
    pub rings: Vec<(u32, u32, u32)>,
    pub missed: Missed,
}

/// Where a mount is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlace {
    pub id: u64,
    /// Inode number of its mount namespace.
    pub mnt_ns: u32,
    /// As seen there; hostile.
    pub path: String,
    /// Something is mounted over it or on the way to it.
    pub hidden: bool,
}

impl Proc {
    /// Every descriptor, `O_PATH` ones included, of every process but the reader that is on nsfs.
    ///
    /// A file opened from `/proc/PID/ns` reads as `net:[4026532177]`. One opened through a bind mount reads as that path
    /// (`/` once it is unmounted), so descriptors that read as a path are asked for their device with statx(2): without
    /// synchronisation (`AT_STATX_DONT_SYNC`), so a dead NFS or FUSE server does not block it, and without side effect on
    /// nsfs, because the inode exists as long as the file does.
    ///
    /// A file table is read once per process, and once more for each thread that has its own (`unshare(CLONE_FILES)`).
    pub fn nsfs_fds(&self) -> Result<HolderScan, ReadError> {
        let root = self.open()?;
        let own = self.own_tgid(&root);
        let nsfs = self.nsfs_device(&root);
        let mut scan = HolderScan::default();
        for tgid in numeric_names(&root)?.into_iter().filter(|&tgid| Some(tgid) != own) {
            for tid in file_tables(&root, tgid) {
                let path = format!("{tgid}/task/{tid}/fd");
                let listed = open_dir(&root, &path).and_then(|dir| Ok((numeric_names(&dir)?, dir)));
                match listed {
                    Ok((fds, dir)) => scan_fds(&dir, (tgid, tid), &fds, nsfs, &mut scan),
                    Err(error) => scan.missed.note(error, format_args!("{}/{path}", self.root.display())),
                }
            }
        }
        Ok(scan)
    }

    /// Every nsfs bind mount of every mount namespace that has a member.
    pub fn nsfs_mounts(&self) -> Result<HolderScan, ReadError> {
        let root = self.open()?;
        let own_mnt_ns = self.own_mnt_ns(&root);
        let mut scan = HolderScan::default();
        scan.missed = self.mounts(|boot_ns, mnt_ns, mount, hidden| {
            if mount.fstype != b"nsfs" {
                return;
            }
            let Some((ns_type, inum)) = parse_ns_link(&mount.root) else { return };
            let mut ns = NsName { ns_type, inum, id: None };
            if own_mnt_ns == Some(mnt_ns)
                && let Ok(point) = CString::new(mount.point.as_ref())
            {
                ns = with_id(ns, &root, &point);
            }
            let path = String::from_utf8_lossy(&mount.point).into_owned();
            scan.holders.push(Holder { boot_ns, ns, holder: PinHolder::Mount { mnt_ns, path }, tid: None, hidden });
        })?;
        Ok(scan)
    }

    /// Where mounts of one mount namespace are, from the tables of these members of it (process, thread) until each of the
    /// `wanted` ids was met. A member that is gone or may not be read is passed over.
    ///
    /// A process under chroot(2) sees only the mounts below its root, so its table is read last; of those with the same
    /// root directory one is read.
    pub fn mount_places_of(
        &self,
        mnt_ns: u32,
        members: impl Iterator<Item = (u32, u32)>,
        wanted: &HashSet<u64>,
    ) -> Result<Vec<MountPlace>, ReadError> {
        let root = self.open()?;
        let mut found = Tables { mnt_ns, missing: wanted.clone(), seen: HashSet::new(), places: Vec::new() };
        let mut confined: HashMap<Vec<u8>, (u32, u32)> = HashMap::new();
        let mut has_whole = false;
        let mut buffer = [0; libc::PATH_MAX as usize];
        for (tgid, tid) in members {
            if found.missing.is_empty() {
                break;
            }
            let mut link = |name: &str| {
                let name =
                    CString::new(format!("{tgid}/task/{tid}/{name}")).map_err(|_| ReadError::Malformed("path"))?;
                Ok::<_, ReadError>(read_link(root.as_fd(), &name, &mut buffer)?.to_vec())
            };
            let (Ok(ns), Ok(directory)) = (link("ns/mnt"), link("root")) else { continue };
            if parse_ns_link(&ns) != Some((NsType::Mnt, mnt_ns)) {
                continue;
            }
            if directory != b"/" {
                confined.entry(directory).or_insert((tgid, tid));
            } else if !has_whole {
                has_whole = found.read(&root, tgid, tid).is_ok();
            }
        }
        for (tgid, tid) in confined.into_values() {
            if found.missing.is_empty() {
                break;
            }
            // Gone since.
            let _ = found.read(&root, tgid, tid);
        }
        Ok(found.places)
    }

    /// Calls `each` with the mount namespace and whether it is hidden, once per mount.
    ///
    /// `mountinfo` is read of one thread per mount namespace and root directory: a process under chroot(2) sees only
    /// the mounts below its root, so one without gives the better path and is read first. The thread that was found first may
    /// have ended by then; the next one is asked.
    fn mounts(&self, mut each: impl FnMut(u64, u32, &mountinfo::Mount<'_>, bool)) -> Result<Missed, ReadError> {
        let root = self.open()?;
        let mut missed = Missed::default();
        let mut seen: HashMap<u32, HashSet<u64>> = HashMap::new();
        let mut text = Vec::new();
        for (mnt_ns, readers) in mount_namespaces(&root, self, &mut missed)? {
            let mut failed = None;
            let mut boot_ns = 0;
            let found = readers.into_iter().any(|(tgid, tid)| {
                let path = format!("{tgid}/task/{tid}/mountinfo");
                boot_ns = clock::boot_ns();
                let read = CString::new(path.as_str())
                    .map_err(|_| ReadError::Malformed("path"))
                    .and_then(|name| read_file(&root, &name, &mut text));
                // Of all that failed, the one that says more than that its task is gone.
                if let Err(error) = &read
                    && failed.as_ref().is_none_or(|(before, _)| matches!(before, ReadError::Gone))
                {
                    failed = Some((*error, path));
                }
                read.is_ok()
            });
            if let (false, Some((error, path))) = (found, failed) {
                missed.note(error, format_args!("{}/{path}", self.root.display()));
                continue;
            }
            let ids = seen.entry(mnt_ns).or_default();
            let table: Vec<_> = mountinfo::mounts(&text).collect();
            let hidden = mountinfo::hidden(&table);
            for mount in &table {
                if ids.insert(mount.id) {
                    each(boot_ns, mnt_ns, mount, hidden.contains(&mount.id));
                }
            }
        }
        Ok(missed)
    }

    /// Namespaces whose files are registered with the io_uring behind a descriptor (`io_uring_show_fdinfo`). The kernel leaves
    /// the list out while the ring is busy.
    pub fn io_uring_files(&self, tgid: u32, tid: u32, fd: u32) -> Result<Vec<NsName>, ReadError> {
        let name = CString::new(format!("{tgid}/task/{tid}/fdinfo/{fd}")).map_err(|_| ReadError::Malformed("path"))?;
        let mut text = Vec::new();
        read_file(self.open()?, &name, &mut text)?;
        Ok(registered_files(&text))
    }

    fn own_mnt_ns(&self, root: &OwnedFd) -> Option<u32> {
        let mut buffer = [0; libc::PATH_MAX as usize];
        Some(parse_ns_link(read_link(root.as_fd(), c"self/ns/mnt", &mut buffer).ok()?)?.1)
    }

    /// Device number of nsfs: of the reader's own namespace link, followed. None: this is no real proc.
    fn nsfs_device(&self, root: &OwnedFd) -> Option<(u32, u32)> {
        let mut buffer = [0; libc::PATH_MAX as usize];
        parse_ns_link(read_link(root.as_fd(), c"self/ns/net", &mut buffer).ok()?)?;
        let stat = rustix::fs::statx(root, c"self/ns/net", AtFlags::empty(), StatxFlags::INO).ok()?;
        Some((stat.stx_dev_major, stat.stx_dev_minor))
    }
}

/// What the mount tables of the members of one mount namespace say.
struct Tables {
    mnt_ns: u32,
    /// Ids that were asked for and not met yet.
    missing: HashSet<u64>,
    seen: HashSet<u64>,
    places: Vec<MountPlace>,
}

impl Tables {
    fn read(&mut self, root: &OwnedFd, tgid: u32, tid: u32) -> Result<(), ReadError> {
        let name = CString::new(format!("{tgid}/task/{tid}/mountinfo")).map_err(|_| ReadError::Malformed("path"))?;
        let mut text = Vec::new();
        read_file(root, &name, &mut text)?;
        let table: Vec<_> = mountinfo::mounts(&text).collect();
        let hidden = mountinfo::hidden(&table);
        for mount in &table {
            if self.seen.insert(mount.id) {
                self.missing.remove(&mount.id);
                let path = String::from_utf8_lossy(&mount.point).into_owned();
                let hidden = hidden.contains(&mount.id);
                self.places.push(MountPlace { id: mount.id, mnt_ns: self.mnt_ns, path, hidden });
            }
        }
        Ok(())
    }
}

/// The namespaces among the lines `    0: net:[4026532177]` after `UserFiles`.
fn registered_files(text: &[u8]) -> Vec<NsName> {
    let mut lines = text.split(|&b| b == b'\n').skip_while(|line| !line.starts_with(b"UserFiles:"));
    lines.next();
    lines
        .take_while(|line| line.starts_with(b" "))
        .filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let (ns_type, inum) = parse_ns_link(line.get(colon + 1..)?.trim_ascii())?;
            Some(NsName { ns_type, inum, id: None })
        })
        .collect()
}

/// `ns` with the id of what is at `path` below `dir`, when that is this namespace.
fn with_id(ns: NsName, dir: &OwnedFd, path: &CStr) -> NsName {
    match liveness::name_of(dir, path) {
        Ok(named) if (named.ns_type, named.inum) == (ns.ns_type, ns.inum) => named,
        _ => ns,
    }
}

/// One thread per distinct file table of a process: the leader, or the first one that lives, and each that differs from it.
fn file_tables(root: &OwnedFd, tgid: u32) -> Vec<u32> {
    let threads = open_dir(root, &format!("{tgid}/task")).and_then(numeric_names).unwrap_or_default();
    let mut tables: Vec<u32> = Vec::new();
    for tid in threads {
        // An error (a dead leader, no kcmp(2) in this kernel) takes the thread for another sharer, except the first.
        let shared = tables.iter().any(|&other| raw::share_files(other, tid).unwrap_or(true));
        if !shared {
            tables.push(tid);
        }
    }
    if tables.is_empty() {
        tables.push(tgid);
    }
    tables
}

fn scan_fds(dir: &OwnedFd, (tgid, tid): (u32, u32), fds: &[u32], nsfs: Option<(u32, u32)>, scan: &mut HolderScan) {
    let mut buffer = [0; libc::PATH_MAX as usize];
    for &fd in fds {
        let Ok(name) = CString::new(fd.to_string()) else { continue };
        let boot_ns = clock::boot_ns();
        let found = match read_link(dir.as_fd(), &name, &mut buffer) {
            Ok(link) if link.starts_with(b"/") => nsfs.and_then(|device| nsfs_behind(dir, &name, device)),
            Ok(b"anon_inode:[io_uring]") => {
                scan.rings.push((tgid, tid, fd));
                continue;
            }
            Ok(link) => parse_ns_link(link),
            Err(error) => {
                scan.missed.note(error, format_args!("/proc/{tgid}/fd/{fd}"));
                continue;
            }
        };
        if let (Some((ns_type, inum)), Ok(fd)) = (found, i32::try_from(fd)) {
            let ns = with_id(NsName { ns_type, inum, id: None }, dir, &name);
            scan.holders.push(Holder {
                boot_ns,
                ns,
                holder: PinHolder::Fd { tgid, fd },
                tid: Some(tid),
                hidden: false,
            });
        }
    }
}

/// The namespace behind a descriptor that reads as a path, when it is on nsfs.
fn nsfs_behind(dir: &OwnedFd, name: &CString, device: (u32, u32)) -> Option<(NsType, u32)> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(dir, name, flags, StatxFlags::INO).ok()?;
    if (stat.stx_dev_major, stat.stx_dev_minor) != device {
        return None;
    }
    let file = rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let ns_type = NsType::from_clone_flag(raw::ns_type_flag(&file).ok()?)?;
    Some((ns_type, u32::try_from(stat.stx_ino).ok()?))
}

/// Most threads kept for each mount namespace and root directory.
const READERS: usize = 8;

/// A mount namespace with (process, thread) whose `mountinfo` shows the same of it.
type MountReaders = (u32, Vec<(u32, u32)>);

/// One entry per mount namespace and root directory; those with root `/` first.
fn mount_namespaces(root: &OwnedFd, proc: &Proc, missed: &mut Missed) -> Result<Vec<MountReaders>, ReadError> {
    let mut buffer = [0; libc::PATH_MAX as usize];
    let mut seen: HashMap<(u32, Vec<u8>), usize> = HashMap::new();
    let mut found: Vec<(bool, MountReaders)> = Vec::new();
    for tgid in numeric_names(root)? {
        let threads = open_dir(root, &format!("{tgid}/task")).and_then(|dir| Ok((numeric_names(&dir)?, dir)));
        let (tids, dir) = match threads {
            Ok(threads) => threads,
            Err(error) => {
                missed.note(error, format_args!("{}/{tgid}/task", proc.root.display()));
                continue;
            }
        };
        for tid in tids {
            let Ok(name) = CString::new(format!("{tid}/ns/mnt")) else { continue };
            let mnt_ns = match read_link(dir.as_fd(), &name, &mut buffer) {
                Ok(link) => parse_ns_link(link),
                // Gone, or a zombie, which has no mount namespace any more.
                Err(ReadError::Gone) => None,
                Err(error) => {
                    missed.note(error, format_args!("{}/{tgid}/task/{tid}/ns/mnt", proc.root.display()));
                    None
                }
            };
            let Some((NsType::Mnt, mnt_ns)) = mnt_ns else { continue };
            let Ok(name) = CString::new(format!("{tid}/root")) else { continue };
            let Ok(root_dir) = read_link(dir.as_fd(), &name, &mut buffer) else { continue };
            let is_whole = root_dir == b"/";
            let at = *seen.entry((mnt_ns, root_dir.to_vec())).or_insert_with(|| {
                found.push((is_whole, (mnt_ns, Vec::new())));
                found.len() - 1
            });
            let readers = &mut found[at].1.1;
            if readers.len() < READERS {
                readers.push((tgid, tid));
            }
        }
    }
    found.sort_by_key(|(is_whole, _)| !is_whole);
    Ok(found.into_iter().map(|(_, readers)| readers).collect())
}
