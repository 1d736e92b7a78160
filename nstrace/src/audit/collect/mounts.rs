//! The mounts of the host and of a container, and the devices in its `/dev`.

use std::collections::{BTreeSet, HashMap, HashSet};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, Dir, FileType, OFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::{
    discover::{Proc, rooted},
    inspect::{processes::ProcessTable, seen::Seen, task_dir::TaskDir},
    map::{
        mnt::host_path,
        mount_table::{Mount, is_below, parse},
    },
    ns::NsType,
};

/// The mount table of the initial mount namespace.
#[derive(Debug)]
pub struct HostMounts {
    mounts: Seen<Vec<Mount>>,
}

impl HostMounts {
    /// As the reader sees it, when it is there itself; else as the first process that is.
    pub fn read(proc: &Proc, table: &ProcessTable) -> Self {
        let here = TaskDir::open_self(proc);
        let own = here.as_ref().ok().and_then(|dir| dir.slot(crate::ns::Slot::Member(NsType::Mnt)).ok().flatten());
        if own.is_some_and(|own| table.is_initial(own)) {
            return Self { mounts: read(here) };
        }
        let there = table.iter().filter(|p| p.member(NsType::Mnt).is_some_and(|ns| table.is_initial(ns)));
        let mut refused = Errno::ACCESS;
        for process in there.filter(|p| !p.status.kernel_thread && !p.status.is_zombie()).take(8) {
            match read(TaskDir::open(proc, process.status.pid)) {
                Seen::Unreadable(errno) => refused = errno,
                mounts @ Seen::Is(_) => return Self { mounts },
                Seen::Absent => {}
            }
        }
        Self { mounts: Seen::Unreadable(refused) }
    }

    pub fn known(&self) -> Option<&[Mount]> {
        self.mounts.known().map(Vec::as_slice)
    }

    pub fn peer_groups(&self) -> Seen<BTreeSet<u32>> {
        self.mounts.clone().map(|mounts| mounts.iter().filter_map(|mount| mount.shared).collect())
    }

    pub fn ids(&self) -> HashSet<i32> {
        self.known().unwrap_or_default().iter().map(|mount| mount.id).collect()
    }

    /// Fills in where on the host the same directories are.
    pub fn locate(&self, mounts: &mut [Mount]) {
        let mut by_device: HashMap<&str, Vec<&Mount>> = HashMap::new();
        for mount in self.known().unwrap_or_default() {
            by_device.entry(mount.device.as_str()).or_default().push(mount);
        }
        for mount in mounts {
            mount.host_path = by_device.get(mount.device.as_str()).and_then(|same| host_path(mount, same));
        }
    }
}

fn read(dir: Result<TaskDir, Errno>) -> Seen<Vec<Mount>> {
    Seen::from_result(dir.and_then(|dir| dir.read("mountinfo")).map(|text| parse(&text).0))
}

/// Of one process, located on the host.
pub fn of_container(dir: &TaskDir, host: &HostMounts) -> Seen<Vec<Mount>> {
    Seen::from_result(dir.read("mountinfo")).map(|text| {
        let mut mounts = parse(&text).0;
        host.locate(&mut mounts);
        mounts
    })
}

/// File systems whose files can be asked about without waiting for anybody.
const LOCAL: [&str; 8] = ["tmpfs", "devtmpfs", "ramfs", "overlay", "ext4", "xfs", "btrfs", "squashfs"];

/// Everything on the way to `path` is on a local file system: a program of the container cannot make a reader wait.
pub fn is_local(mounts: &[Mount], path: &str) -> bool {
    let on_the_way = |mount: &&Mount| !mount.hidden && is_below(path, &mount.point);
    let mut any = false;
    let local = mounts.iter().filter(on_the_way).all(|mount| {
        any = true;
        LOCAL.contains(&mount.fstype.as_str())
    });
    any && local
}

/// The root directory of a task, held by path.
pub fn root_of(dir: &TaskDir) -> Result<OwnedFd, Errno> {
    rooted::root(dir, "root")
}

/// What is at `path` below a root directory, which is hostile: no link leads out of it, nothing is opened.
pub fn look_at(root: &OwnedFd, path: &str) -> Result<Statx, Errno> {
    let there = rooted::open(root, path, OFlags::PATH)?;
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::INO;
    rustix::fs::statx(&there, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)
}

/// Entries looked at in one `/dev`.
const MOST_ENTRIES: usize = 8192;
/// Directories below `/dev` that disks have names in.
const BELOW_DEV: [&str; 4] = ["", "/disk/by-uuid", "/mapper", "/block"];

/// Block devices in `/dev` of a container, and such as are mounted singly from the host's.
pub fn block_devices(dir: &TaskDir, mounts: &[Mount]) -> Result<Vec<String>, Errno> {
    let root = root_of(dir)?;
    let mut found = Vec::new();
    for folder in BELOW_DEV {
        let path = format!("/dev{folder}");
        if !is_local(mounts, &path) {
            if folder.is_empty() && mounts.iter().any(|mount| !mount.hidden && is_below(&path, &mount.point)) {
                return Err(Errno::NOTSUP);
            }
            continue;
        }
        let open = match rooted::open(&root, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
            Ok(open) => open,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(errno),
        };
        for entry in Dir::read_from(&open)?.take(MOST_ENTRIES) {
            let entry = entry?;
            if entry.file_type() == FileType::BlockDevice {
                found.push(format!("{path}/{}", String::from_utf8_lossy(entry.file_name().to_bytes())));
            }
        }
    }
    for mount in mounts.iter().filter(|m| !m.hidden && m.fstype == "devtmpfs" && m.root != "/") {
        if is_local(mounts, &mount.point)
            && let Ok(stat) = look_at(&root, &mount.point)
            && FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice
            && !found.contains(&mount.point)
        {
            found.push(mount.point.clone());
        }
    }
    found.sort();
    Ok(found)
}

/// Device and inode number of the root directory of a process, by which two of them are told apart.
pub fn root_identity(dir: &TaskDir) -> Result<(u32, u32, u64), Errno> {
    rustix::fs::statx(dir, "root", AtFlags::STATX_DONT_SYNC, StatxFlags::INO).map(identity)
}

/// Of the host: that of process 1, else the reader's own.
pub fn host_root_identity(proc: &Proc) -> Result<(u32, u32, u64), Errno> {
    TaskDir::open(proc, 1)
        .and_then(|dir| root_identity(&dir))
        .or_else(|_| rustix::fs::statx(CWD, "/", AtFlags::STATX_DONT_SYNC, StatxFlags::INO).map(identity))
}

fn identity(stat: Statx) -> (u32, u32, u64) {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

/// Whether a file of the reader's own `/proc` or `/sys` is there.
pub fn is_there(proc: &Proc, path: &str) -> bool {
    let path = match path.strip_prefix("/proc/") {
        Some(rest) => proc.root().join(rest),
        None => path.into(),
    };
    rustix::fs::statx(CWD, &path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).is_ok()
}
