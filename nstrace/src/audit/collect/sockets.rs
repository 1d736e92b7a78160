//! Listening unix sockets of the host, and which of them a container reaches by a path.

use std::collections::{HashMap, HashSet};

use rustix::{fd::OwnedFd, fs::FileType, io::Errno};

use super::mounts::{HostMounts, is_local, look_at, root_of};
use crate::{
    audit::{
        facts::{Init, ReachedSocket},
        privileges::SYS_ADMIN,
    },
    inspect::{
        Places,
        net::unix::{Listening, listening},
        processes::{Process, ProcessTable},
        seen::Seen,
        task_dir::TaskDir,
    },
    map::{
        mount_table::{Mount, is_below},
        socket_owner,
    },
    ns::NsType,
};

/// One of them.
#[derive(Debug)]
struct HostSocket {
    file: u32,
    /// As `mountinfo` writes it.
    device: String,
    /// Within its file system, as far as the name it was bound to still leads there.
    within: Option<String>,
    listener: Option<Init>,
    uid: u32,
    admin: bool,
}

/// Those that processes outside of all containers listen on.
#[derive(Debug)]
pub struct HostSockets(Seen<Vec<HostSocket>>);

impl HostSockets {
    /// `contained`: processes of containers.
    pub fn read(places: &Places, table: &ProcessTable, host: &HostMounts, contained: &HashSet<u32>) -> Self {
        let found = listening().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        // A kernel that cannot tell is no kernel without sockets.
        let found = match found {
            Ok(found) => found,
            Err(errno) => return Self(Seen::Unreadable(errno)),
        };
        let inodes: HashSet<u64> = found.iter().map(|socket| socket.inode).collect();
        let holders = socket_owner::holders(places, table, &inodes);
        let sockets = found.iter().filter_map(|socket| {
            let process = holders.get(&socket.inode).and_then(|holder| table.get(holder.pid));
            let inside = process.is_some_and(|process| contained.contains(&process.status.pid));
            (!inside).then(|| host_socket(socket, process, table, host))
        });
        Self(Seen::Is(sockets.collect()))
    }

    /// Those that `mounts` lead to, asked below the root directory of the task behind `dir`.
    pub fn reached(&self, dir: &TaskDir, mounts: &[Mount]) -> Seen<Vec<ReachedSocket>> {
        let sockets = match &self.0 {
            Seen::Is(sockets) => sockets,
            Seen::Absent => return Seen::Absent,
            Seen::Unreadable(errno) => return Seen::Unreadable(*errno),
        };
        let root = match root_of(dir) {
            Ok(root) => root,
            Err(errno) => return Seen::from_result(Err(errno)),
        };
        let mut by_device: HashMap<&str, Vec<&HostSocket>> = HashMap::new();
        for socket in sockets {
            by_device.entry(&socket.device).or_default().push(socket);
        }
        let mut reached: Vec<ReachedSocket> = Vec::new();
        for mount in mounts.iter().filter(|mount| !mount.hidden && !mount.overmounted) {
            let Some(there) = by_device.get(mount.device.as_str()) else { continue };
            for socket in there {
                let Some(path) = reach(&root, mounts, mount, socket) else { continue };
                if !reached.iter().any(|other| other.path == path) {
                    reached.push(ReachedSocket {
                        path,
                        inode: socket.file.into(),
                        listener: socket.listener.clone(),
                        listener_uid: socket.uid,
                        listener_is_admin: socket.admin,
                    });
                }
            }
        }
        reached.sort_by(|a, b| a.path.cmp(&b.path));
        Seen::Is(reached)
    }
}

/// The path of `socket` through `mount`, when the very file is there.
fn reach(root: &OwnedFd, mounts: &[Mount], mount: &Mount, socket: &HostSocket) -> Option<String> {
    let mut paths = vec![mount.point.clone()];
    if let Some(within) = socket.within.as_deref().filter(|within| is_below(within, &mount.root)) {
        let rest = within.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or_default();
        paths.push(format!("{}{rest}", mount.point.trim_end_matches('/')));
    }
    paths.into_iter().find(|path| {
        let is_it = |stat: rustix::fs::Statx| {
            FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Socket && stat.stx_ino as u32 == socket.file
        };
        is_local(mounts, path) && look_at(root, path).is_ok_and(is_it)
    })
}

fn host_socket(socket: &Listening, process: Option<&Process>, table: &ProcessTable, host: &HostMounts) -> HostSocket {
    let is_admin = |process: &Process| {
        let over_host = process.member(NsType::User).is_some_and(|ns| table.is_initial(ns));
        let sets = process.status.capabilities;
        over_host && (sets.effective | sets.permitted) & SYS_ADMIN != 0
    };
    HostSocket {
        file: socket.file,
        device: format!("{}:{}", socket.device.0, socket.device.1),
        within: std::str::from_utf8(&socket.path).ok().and_then(|path| within(path, socket.device, host)),
        listener: process.map(|process| Init { pid: process.status.pid, comm: process.status.name.clone() }),
        uid: process.map_or(u32::MAX, |process| process.status.uid[1]),
        admin: process.is_some_and(is_admin),
    }
}

/// The path within its file system of a path on the host.
fn within(path: &str, (major, minor): (u32, u32), host: &HostMounts) -> Option<String> {
    let device = format!("{major}:{minor}");
    // `/var/run` is a link on most systems: the folder is asked for, the socket by its own name.
    let path = std::path::Path::new(path);
    let folder = std::fs::canonicalize(path.parent().filter(|parent| parent.is_absolute())?).ok()?;
    let path = folder.join(path.file_name()?).to_str()?.to_owned();
    let mounts = host.known()?.iter().filter(|mount| !mount.hidden && mount.device == device);
    let best = mounts.filter(|mount| is_below(&path, &mount.point)).max_by_key(|mount| mount.point.len())?;
    let rest = path.strip_prefix(best.point.trim_end_matches('/')).unwrap_or_default();
    Some(format!("{}{rest}", best.root.trim_end_matches('/')))
}
