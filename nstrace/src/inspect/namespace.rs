//! Everything about one namespace.

use rustix::{fs::CWD, io::Errno, thread::LinkNameSpaceType};
use serde::Serialize;

use crate::{
    discover::Holder,
    engine::{Engines, Named},
    event::PinHolder,
    ns::{NsName, NsType, Slot},
};

use super::{
    Places, enter,
    idmap::IdMap,
    net::NetView,
    nsfs::NsFile,
    processes::{Process, ProcessTable},
    seen::Seen,
    side::{domain_name, host_name},
    task::NsRef,
    task_dir::TaskDir,
    user_tree::UserTree,
};

/// One process of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub pid: u32,
    /// From the reader's pid namespace down to its own.
    pub pids: Vec<u32>,
    pub ppid: u32,
    pub comm: String,
    pub state: char,
    pub uid: u32,
    /// Innermost.
    pub container: Option<Named>,
}

impl Member {
    pub fn of(process: &Process, engines: &Engines) -> Self {
        let status = &process.status;
        Self {
            pid: status.pid,
            pids: status.pids.clone(),
            ppid: status.ppid,
            comm: status.name.clone(),
            state: status.state,
            uid: status.uid[1],
            container: process.containers().pop().map(|container| engines.name(container)),
        }
    }
}

/// An open nsfs file or a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum HeldBy {
    Fd { pid: u32, fd: i32 },
    Mount { mnt_ns: u32, path: String },
}

/// What is special to a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inside {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<NetView>,
    /// Mount points, as a member sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<u64>,
    /// Its process 1. Absent: dead, or not to be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid_map: Option<IdMap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid_map: Option<IdMap>,
    /// System V objects: shared memory segments, semaphore sets, message queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysv: Option<[u64; 3]>,
    /// Lines of `timens_offsets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Vec<String>>,
    /// Its root, as the reader's cgroup namespace names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceReport {
    pub ns: NsRef,
    pub initial: bool,
    pub owner: Seen<NsRef>,
    pub parent: Option<NsRef>,
    /// Namespaces right below it (pid, user), as far as their processes show them.
    pub children: Vec<NsRef>,
    /// Of a user namespace: what it owns.
    pub owns: Vec<NsRef>,
    pub members: Vec<Member>,
    /// Processes whose next children will be members.
    pub pending: Vec<u32>,
    pub held_by: Vec<HeldBy>,
    pub inside: Seen<Inside>,
}

impl NamespaceReport {
    /// `holders`: all nsfs files and mounts.
    pub fn read(
        places: &Places,
        table: &ProcessTable,
        engines: &Engines,
        tree: &mut UserTree,
        holders: &[Holder],
        ns: NsName,
    ) -> Self {
        let file = open(places, table, holders, ns);
        let ns = file.as_ref().map_or(ns, |file| file.name);
        if let Some(file) = &file {
            tree.learn(file);
        }
        if matches!(ns.ns_type, NsType::User | NsType::Pid) {
            learn_all(places, table, tree);
        }
        let members: Vec<Member> = table.members(ns).map(|process| Member::of(process, engines)).collect();
        let pending = table.iter().filter(|p| {
            matches!(ns.ns_type, NsType::Pid | NsType::Time)
                && p.slots.get(Slot::ForChildren(ns.ns_type)).is_some_and(|next| next.inum == ns.inum)
                && p.member(ns.ns_type).is_none_or(|own| own.inum != ns.inum)
        });
        let held_by = holders.iter().filter(|held| (held.ns.ns_type, held.ns.inum) == (ns.ns_type, ns.inum));
        let inside = match &file {
            None => Seen::Unreadable(Errno::ACCESS),
            Some(file) => Seen::from_result(inside(places, table, file)),
        };
        Self {
            ns: NsRef(ns),
            initial: table.is_initial(ns),
            owner: match tree.owner(ns) {
                Some(Ok(owner)) => Seen::Is(NsRef(tree.name(owner))),
                Some(Err(errno)) => Seen::Unreadable(errno),
                None => Seen::Absent,
            },
            parent: tree.parent(ns).map(|inum| NsRef(tree.named(ns.ns_type, inum))),
            children: children(table, tree, ns),
            owns: owned(tree, ns),
            members,
            pending: pending.map(|p| p.status.pid).collect(),
            held_by: held_by
                .map(|held| match &held.holder {
                    PinHolder::Fd { tgid, fd } => HeldBy::Fd { pid: *tgid, fd: *fd },
                    PinHolder::Mount { mnt_ns, path } => HeldBy::Mount { mnt_ns: *mnt_ns, path: path.clone() },
                })
                .collect(),
            inside,
        }
    }

    pub fn missing(&self) -> Vec<String> {
        match self.inside {
            Seen::Unreadable(_) => vec![format!("the inside of {}", self.ns.0)],
            _ => Vec::new(),
        }
    }
}

/// Every namespace that some process shows goes into the tree, with its owner and its ancestors.
pub fn learn_all(places: &Places, table: &ProcessTable, tree: &mut UserTree) {
    learn_where(places, table, tree, |_| true);
}

/// The same for namespaces that only files and mounts hold.
pub fn learn_held(places: &Places, table: &ProcessTable, holders: &[Holder], tree: &mut UserTree) {
    let mut seen = std::collections::HashSet::new();
    for held in holders {
        if seen.insert((held.ns.ns_type, held.ns.inum))
            && let Some(file) = open(places, table, holders, held.ns)
        {
            tree.learn(&file);
        }
    }
}

/// The same for pid namespaces only.
pub fn learn_pids(places: &Places, table: &ProcessTable, tree: &mut UserTree) {
    learn_where(places, table, tree, |ns_type| ns_type == NsType::Pid);
}

fn learn_where(places: &Places, table: &ProcessTable, tree: &mut UserTree, wanted: impl Fn(NsType) -> bool) {
    let mut seen = std::collections::HashSet::new();
    for process in table.iter() {
        for (slot, ns) in process.slots.iter() {
            if wanted(ns.ns_type)
                && seen.insert((ns.ns_type, ns.inum))
                && let Ok(dir) = TaskDir::open(&places.proc, process.status.pid)
                && let Ok(file) = NsFile::open(&dir, format!("ns/{}", slot.proc_name()))
            {
                tree.learn(&file);
            }
        }
    }
}

fn children(table: &ProcessTable, tree: &UserTree, ns: NsName) -> Vec<NsRef> {
    let mut found: Vec<u32> = match ns.ns_type {
        NsType::User => tree.iter().filter(|(_, node)| node.parent == Some(ns.inum)).map(|(inum, _)| inum).collect(),
        NsType::Pid => {
            let members = table.iter().filter_map(|p| p.member(NsType::Pid));
            members.filter(|&below| tree.parent(below) == Some(ns.inum)).map(|below| below.inum).collect()
        }
        _ => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|inum| NsRef(tree.named(ns.ns_type, inum))).collect()
}

fn owned(tree: &UserTree, ns: NsName) -> Vec<NsRef> {
    if ns.ns_type != NsType::User {
        return Vec::new();
    }
    let mut owned: Vec<(NsType, u32)> = tree.owned_by(ns.inum).collect();
    owned.sort_unstable();
    owned.into_iter().map(|(ns_type, inum)| NsRef(tree.named(ns_type, inum))).collect()
}

/// Members through which a way is tried: one may have ended by now.
const MOST_ROOTS: usize = 8;

/// Opens a namespace by any way there is: a task's link, a descriptor, a mount. None: no way, or it is another one by now.
pub fn open(places: &Places, table: &ProcessTable, holders: &[Holder], ns: NsName) -> Option<NsFile> {
    let same = |file: &NsFile| (file.name.ns_type, file.name.inum) == (ns.ns_type, ns.inum);
    let by_slot = |process: &Process, slot: Slot| {
        let dir = TaskDir::open(&places.proc, process.status.pid).ok()?;
        NsFile::open(&dir, format!("ns/{}", slot.proc_name())).ok().filter(same)
    };
    let by_member = || table.members(ns).take(MOST_ROOTS).find_map(|p| by_slot(p, Slot::Member(ns.ns_type)));
    let by_pending = || {
        let slot = Slot::ForChildren(ns.ns_type);
        let has_slot = matches!(ns.ns_type, NsType::Pid | NsType::Time);
        let mut pending = table.iter().filter(|p| has_slot && p.slots.get(slot).is_some_and(|at| at.inum == ns.inum));
        pending.find_map(|p| by_slot(p, slot))
    };
    let by_holder = || {
        holders.iter().filter(|held| (held.ns.ns_type, held.ns.inum) == (ns.ns_type, ns.inum)).find_map(|held| {
            let open = |path: &str| NsFile::open(CWD, path).ok().filter(same);
            match &held.holder {
                PinHolder::Fd { tgid, fd } => open(&format!("{}/{tgid}/fd/{fd}", places.proc.root().display())),
                PinHolder::Mount { mnt_ns, path } => {
                    // Through the root of a member of that mount namespace; one may have ended by now.
                    let mnt = NsName { ns_type: NsType::Mnt, inum: *mnt_ns, id: None };
                    let by_member = table.members(mnt).take(MOST_ROOTS).find_map(|member| {
                        open(&format!("{}/{}/root{path}", places.proc.root().display(), member.status.pid))
                    });
                    by_member.or_else(|| open(path))
                }
            }
        })
    };
    by_member().or_else(by_pending).or_else(by_holder)
}

fn inside(places: &Places, table: &ProcessTable, file: &NsFile) -> Result<Inside, Errno> {
    let ns = file.name;
    let mut inside = Inside::default();
    // The whole list of mounts is seen from the root that most members have: that of the oldest.
    let member = table.members(ns).filter(|p| !p.status.is_zombie()).min_by_key(|p| p.start);
    let dir = member.map(|p| TaskDir::open(&places.proc, p.status.pid)).transpose()?;
    match ns.ns_type {
        NsType::Net => {
            let view = enter::inside(&[(file.fd(), LinkNameSpaceType::Network)], NetView::here)?;
            inside.net = Some(view.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?);
        }
        NsType::Uts => {
            let names = [(file.fd(), LinkNameSpaceType::HostNameAndNISDomainName)];
            let (host, domain) = enter::inside(&names, || (host_name(), domain_name()))?;
            (inside.hostname, inside.domainname) = (Some(host), domain);
        }
        NsType::Ipc => {
            inside.sysv = Some(enter::inside(&[(file.fd(), LinkNameSpaceType::InterProcessCommunication)], sysv)?);
        }
        NsType::Mnt => {
            if let Some(dir) = dir {
                inside.mounts = Some(dir.read("mountinfo")?.iter().filter(|&&b| b == b'\n').count() as u64);
            }
        }
        NsType::Pid => {
            inside.init = table.members(ns).find(|p| p.status.own_pid() == 1).map(|p| p.status.pid);
        }
        NsType::User => {
            inside.owner_uid = file.owner_uid().ok();
            if let Some(dir) = dir {
                inside.uid_map = Some(IdMap::parse(&dir.read("uid_map")?));
                inside.gid_map = Some(IdMap::parse(&dir.read("gid_map")?));
            }
        }
        NsType::Time => {
            if let Some(dir) = dir {
                let text = dir.read("timens_offsets")?;
                inside.offsets = Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect());
            }
        }
        NsType::Cgroup => {
            // The shortest path is that of the one nearest to the root.
            inside.cgroup =
                table.members(ns).filter_map(|p| p.cgroup.as_deref()).min_by_key(|path| path.len()).map(str::to_owned);
        }
    }
    Ok(inside)
}

/// Of the calling thread's ipc namespace (proc_sysvipc(5)).
fn sysv() -> [u64; 3] {
    ["shm", "sem", "msg"].map(|kind| {
        let text = std::fs::read(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        (text.iter().filter(|&&b| b == b'\n').count() as u64).saturating_sub(1)
    })
}
