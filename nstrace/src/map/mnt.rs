//! `map mnt`: the mounts of every mount namespace, which of them tell each other, what of the host a container sees.

use std::collections::{BTreeMap, HashMap};

use rustix::{
    fd::OwnedFd,
    fs::{CWD, Mode, OFlags},
    io::Errno,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};
use serde::Serialize;

use crate::{
    discover::Holder,
    engine::{Engines, Named},
    inspect::{
        Places, namespace,
        nsfs::NsFile,
        processes::ProcessTable,
        task::NsRef,
        task_dir::{TaskDir, read_at},
    },
    ns::{NsName, NsType},
};

use super::mount_table::{Mount, is_below, parse};

/// One mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MntNs {
    pub ns: NsRef,
    pub initial: bool,
    pub processes: usize,
    /// Whose view of the mounts this is. None: no process is in it, it was entered.
    pub pid: Option<u32>,
    pub comm: Option<String>,
    /// Root directory of that process within the namespace, where it is not `/`.
    pub chroot: Option<String>,
    /// Its root file system is another one than the host's.
    pub pivoted: bool,
    pub containers: Vec<Named>,
    pub mounts: Vec<Mount>,
}

/// A mount of a peer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    pub mnt_ns: u32,
    pub id: i32,
    pub point: String,
}

/// Mounts that tell each other of mounts below them, and those that only listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerGroup {
    pub group: u32,
    pub peers: Vec<Peer>,
    /// Mounts that receive from it.
    pub slaves: Vec<Peer>,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MntMap {
    pub namespaces: Vec<MntNs>,
    pub groups: Vec<PeerGroup>,
    /// Mount namespaces whose mounts could not be read, with the error.
    pub unseen: Vec<Unseen>,
}

/// A namespace that was not seen from inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    pub ns: NsRef,
    pub error: String,
}

impl MntMap {
    /// Reads one `mountinfo` per mount namespace; enters those without a process.
    pub fn read(places: &Places, table: &ProcessTable, engines: &Engines, holders: &[Holder]) -> Self {
        let mut map = Self::default();
        let mut found: BTreeMap<u32, NsName> = BTreeMap::new();
        let of_tasks = table.iter().filter_map(|p| p.member(NsType::Mnt));
        for ns in of_tasks.chain(holders.iter().map(|held| held.ns).filter(|ns| ns.ns_type == NsType::Mnt)) {
            found.entry(ns.inum).or_insert(ns);
        }
        for &ns in found.values() {
            match read_one(places, table, engines, holders, ns) {
                Ok(row) => map.namespaces.push(row),
                Err(errno) => {
                    let error = crate::view::errno::name(errno.raw_os_error()).into_owned();
                    map.unseen.push(Unseen { ns: NsRef(ns), error });
                }
            }
        }
        map.namespaces.sort_by_key(|row| (!row.initial, row.ns.0.inum));
        map.compare_with_host();
        map.groups = groups(&map.namespaces);
        map
    }

    pub fn missing(&self) -> Vec<String> {
        self.unseen.iter().map(|unseen| format!("the mounts of {}", unseen.ns.0)).collect()
    }

    /// Marks what a mount shows of the host.
    pub fn compare_with_host(&mut self) {
        let Some(host) = self.namespaces.iter().find(|row| row.initial).map(|row| row.mounts.clone()) else { return };
        let host_root = host.iter().rfind(|m| m.point == "/" && !m.hidden && !m.overmounted);
        let mut by_device: HashMap<&str, Vec<&Mount>> = HashMap::new();
        for mount in &host {
            by_device.entry(mount.device.as_str()).or_default().push(mount);
        }
        for row in self.namespaces.iter_mut().filter(|row| !row.initial) {
            let root = row.mounts.iter().rfind(|m| m.point == "/" && !m.overmounted);
            row.pivoted = match (root, host_root) {
                (Some(own), Some(host)) => (&own.device, &own.root) != (&host.device, &host.root),
                _ => false,
            };
            for mount in &mut row.mounts {
                mount.host_path = by_device.get(mount.device.as_str()).and_then(|same| host_path(mount, same));
                if row.pivoted {
                    mount.sensitive = sensitive(mount);
                }
            }
        }
    }
}

/// Where on the host the same directory is: `same_device` are the host's mounts of the same file system.
pub fn host_path(mount: &Mount, same_device: &[&Mount]) -> Option<String> {
    let best =
        same_device.iter().filter(|host| is_below(&mount.root, &host.root)).max_by_key(|host| host.root.len())?;
    let rest = mount.root.strip_prefix(best.root.trim_end_matches('/')).unwrap_or_default();
    let path = format!("{}{rest}", best.point.trim_end_matches('/'));
    Some(if path.is_empty() || path == "/" { "/".to_owned() } else { path.trim_end_matches('/').to_owned() })
}

/// Of a container: what it must not have of the host.
fn sensitive(mount: &Mount) -> Option<&'static str> {
    const SOCKETS: [(&str, &str); 6] = [
        ("docker.sock", "the docker socket: root on the host"),
        ("containerd.sock", "the containerd socket: root on the host"),
        ("crio.sock", "the CRI-O socket: root on the host"),
        ("podman.sock", "the podman socket: whatever its user may do"),
        ("dockershim.sock", "a container engine's socket"),
        ("lxd/unix.socket", "the LXD socket: root on the host"),
    ];
    const TREES: [(&str, &str); 12] = [
        ("/etc", "the host's configuration"),
        ("/root", "root's home"),
        ("/home", "the home folders"),
        ("/boot", "the host's kernel and boot loader"),
        ("/usr", "the host's programs"),
        ("/lib/modules", "the host's kernel modules"),
        ("/var/lib/docker", "docker's images and containers"),
        ("/var/lib/containerd", "containerd's images and containers"),
        ("/var/lib/containers", "podman's and CRI-O's images and containers"),
        ("/var/lib/kubelet", "secrets and volumes of all pods"),
        ("/run", "sockets and state of the host's services"),
        ("/var/log", "the host's logs"),
    ];
    if mount.point == "/" {
        return None;
    }
    match mount.fstype.as_str() {
        // One file system per pid namespace: the same one shows the same processes.
        "proc" if mount.host_path.is_some() => return Some("the host's processes"),
        "devtmpfs" => return Some("all of the host's devices"),
        "debugfs" | "tracefs" => return Some("the kernel's debugging interface"),
        "securityfs" => return Some("the security modules' interface"),
        "bpf" => return Some("the host's pinned BPF objects"),
        "sysfs" if !mount.read_only => return Some("sysfs, writable"),
        "cgroup" | "cgroup2" if !mount.read_only && mount.root == "/" => {
            return Some("the whole cgroup tree, writable");
        }
        _ => {}
    }
    let path = mount.host_path.as_deref()?;
    if let Some((_, why)) = SOCKETS.iter().find(|(name, _)| path.ends_with(name)) {
        return Some(why);
    }
    if path == "/" {
        return Some("the host's whole root file system");
    }
    // What an engine makes for the container itself lies below its own folders.
    let exact = |tree: &str| path == tree;
    let below = |tree: &str| is_below(path, tree) && !tree.starts_with("/var/lib/") && tree != "/run";
    TREES.iter().find(|(tree, _)| exact(tree) || below(tree)).map(|(_, why)| *why)
}

/// All peer groups that more than one mount has to do with.
fn groups(namespaces: &[MntNs]) -> Vec<PeerGroup> {
    let mut groups: BTreeMap<u32, PeerGroup> = BTreeMap::new();
    for row in namespaces {
        for mount in &row.mounts {
            let peer = Peer { mnt_ns: row.ns.0.inum, id: mount.id, point: mount.point.clone() };
            let new = |group: u32| PeerGroup { group, peers: Vec::new(), slaves: Vec::new() };
            if let Some(number) = mount.shared {
                groups.entry(number).or_insert_with(|| new(number)).peers.push(peer.clone());
            }
            if let Some(number) = mount.master {
                groups.entry(number).or_insert_with(|| new(number)).slaves.push(peer);
            }
        }
    }
    groups.into_values().filter(|group| group.peers.len() + group.slaves.len() > 1).collect()
}

/// Most processes asked for the mounts of one namespace.
const MOST_READERS: usize = 8;

fn read_one(
    places: &Places,
    table: &ProcessTable,
    engines: &Engines,
    holders: &[Holder],
    ns: NsName,
) -> Result<MntNs, Errno> {
    let root_of = |pid: u32| {
        let link = TaskDir::open(&places.proc, pid).and_then(|dir| dir.link("root")).ok();
        link.map(|link| String::from_utf8_lossy(&link).into_owned())
    };
    // A process in a chroot sees only what is below it: one that is in none is asked first, the oldest of them. It may have
    // ended by now: then the next one is asked.
    let living = table.members(ns).filter(|p| !p.status.is_zombie());
    let mut readers: Vec<_> = living.map(|p| (root_of(p.status.pid), p)).collect();
    readers.sort_by_key(|(root, p)| (root.as_deref() != Some("/"), p.start, p.status.pid));
    let read = |pid: u32| -> Result<_, Errno> {
        let dir = TaskDir::open(&places.proc, pid)?;
        let text = dir.read("mountinfo")?;
        // Opened for a moment: that is how its id is learned.
        let named = NsFile::open(&dir, "ns/mnt").map(|file| file.name).ok();
        Ok((text, named.filter(|named| named.inum == ns.inum).unwrap_or(ns)))
    };
    let mut refused = None;
    let read = readers.into_iter().take(MOST_READERS).find_map(|(root, process)| match read(process.status.pid) {
        Ok(read) => Some((Some((root, process)), read)),
        Err(errno) => {
            refused.get_or_insert(errno);
            None
        }
    });
    let (best, (text, ns)) = match read {
        Some(read) => read,
        None => {
            let file = namespace::open(places, table, holders, ns).ok_or(refused.unwrap_or(Errno::ACCESS))?;
            (None, (enter(places, file.fd())?, file.name))
        }
    };
    let mut containers: Vec<Named> = Vec::new();
    for container in table.members(ns).filter_map(|p| p.containers().pop()) {
        if !containers.iter().any(|other| other.id == container.id) {
            containers.push(engines.name(container));
        }
    }
    Ok(MntNs {
        ns: NsRef(ns),
        initial: table.is_initial(ns),
        processes: table.members(ns).count(),
        pid: best.as_ref().map(|(_, p)| p.status.pid),
        comm: best.as_ref().map(|(_, p)| p.status.name.clone()),
        chroot: best.and_then(|(root, _)| root).filter(|root| root != "/"),
        pivoted: false,
        containers,
        mounts: parse(&text).0,
    })
}

/// `mountinfo` as seen from inside a mount namespace, by a thread that enters it and ends. `/proc` stays the reader's.
fn enter(places: &Places, file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    use rustix::fd::AsFd as _;
    let proc =
        rustix::fs::openat(CWD, places.proc.root(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: this thread gets a root and working directory of its own (CLONE_FS is no memory), which is what
            // setns(2) demands of it; it does nothing but read one file and end.
            unsafe { unshare_unsafe(UnshareFlags::FS) }?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount))?;
            read_at(&proc, "thread-self/mountinfo")
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
