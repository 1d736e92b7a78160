//! Everything about one task.

use std::borrow::Cow;

use rustix::io::Errno;
use serde::{Serialize, Serializer};

use crate::{
    discover::cgroup::CgroupTree,
    engine::{Engines, Named},
    model::Cause,
    ns::{NsName, NsType, Slot},
    view::{clone_flags, json::Safe, time},
};

use super::{
    Places,
    cgroup::{self, CgroupView},
    idmap::{Extent, IdMap},
    nsfs::NsFile,
    nsproxy::Sharing,
    privileges::{self, Capabilities, Security},
    processes::{ProcessTable, containers_of},
    seen::Seen,
    side::{Side, read_in_root},
    status::Status,
    task_dir::TaskDir,
    user_tree::UserTree,
    users::Names,
};

/// A namespace by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsRef(pub NsName);

impl Serialize for NsRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form {
            r#type: NsType,
            inum: u32,
            id: Option<Safe>,
        }
        Form { r#type: self.0.ns_type, inum: self.0.inum, id: self.0.id.map(Safe) }.serialize(serializer)
    }
}

/// What a slot is, compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The initial namespace.
    Host,
    /// That of the parent process.
    Parent,
    /// Of a `*_for_children` slot: that of the task itself.
    Itself,
    /// None of these.
    Own,
}

/// One of the ten slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotView {
    pub slot: &'static str,
    pub ns: Seen<NsRef>,
    pub relation: Option<Relation>,
    /// Other processes that are members of it. None: not to be compared.
    pub shared_with: Option<usize>,
    /// The user namespace that owns it (of a user namespace: its parent).
    pub owner: Seen<NsRef>,
    /// How the task came into it: known to a recording or a running watch only.
    pub came_from: Option<CameFrom>,
}

/// The call that put a namespace into a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameFrom {
    pub cause: Cause,
    /// Nanoseconds since the epoch.
    pub utc_ns: i64,
    /// Who called: process and name, which is hostile. None: the task itself.
    pub by: Option<(u32, String)>,
}

impl Serialize for CameFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct By<'a> {
            pid: u32,
            comm: &'a str,
        }
        #[derive(Serialize)]
        struct Form<'a> {
            via: &'static str,
            flags: Vec<Cow<'static, str>>,
            time: String,
            by: Option<By<'a>>,
        }
        let by = self.by.as_ref().map(|(pid, comm)| By { pid: *pid, comm });
        let flags = clone_flags::names(self.cause.via, self.cause.flags);
        Form { via: self.cause.via.name(), flags, time: time::rfc3339(self.utc_ns), by }.serialize(serializer)
    }
}

/// The PID in one pid namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidAt {
    /// None: which one it is cannot be seen from here.
    pub ns: Option<NsRef>,
    pub pid: u32,
}

/// A line of an id map with names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedExtent {
    #[serde(flatten)]
    pub extent: Extent,
    /// Of the first id.
    pub inside_name: Option<String>,
    pub outside_name: Option<String>,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    pub pid: u32,
    pub tid: u32,
    pub ppid: u32,
    pub parent_comm: Option<String>,
    pub comm: String,
    pub command: Seen<Vec<String>>,
    pub state: char,
    pub threads: u32,
    /// CLOCK_BOOTTIME of its start, cut to a clock tick.
    pub started_boot_ns: Safe,
    pub tracer: Option<u32>,
    pub containers: Vec<Named>,
    pub pids: Vec<PidAt>,
    pub namespaces: Vec<SlotView>,
    /// Processes (this one included) with the same namespaces in every slot of nsproxy.
    /// None: not all of its own can be seen.
    pub same_namespaces: Option<usize>,
    /// Those that share the very nsproxy. None: the kernel's objects were not read.
    pub nsproxy: Option<Sharing>,
    pub host: Side,
    pub inside: Side,
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    pub groups: Vec<u32>,
    /// Name of the effective uid on the host.
    pub user: Option<String>,
    pub uid_map: Seen<Vec<NamedExtent>>,
    pub gid_map: Seen<Vec<NamedExtent>>,
    pub capabilities: Capabilities,
    pub security: Security,
    pub cgroup: Seen<CgroupView>,
}

impl TaskReport {
    /// `pid` may be a thread.
    ///
    /// # Errors
    /// Of `/proc/PID/status`: the task is gone or hidden.
    pub fn read(places: &Places, table: &ProcessTable, engines: &Engines, pid: u32) -> Result<Self, Errno> {
        let dir = TaskDir::open(&places.proc, pid)?;
        let status = Status::parse(&dir.read("status")?).ok_or(Errno::BADMSG)?;
        let mut tree = UserTree::new(table.initial_user());
        let names: Vec<(Slot, Seen<NsName>)> =
            Slot::ALL.into_iter().map(|slot| (slot, look_at(&dir, slot, &mut tree))).collect();
        let namespaces = names.iter().map(|(slot, ns)| slot_view(*slot, ns, &names, &status, table, &tree)).collect();
        let host = Side::here(places, &status);
        let inside = Side::inside(places, &dir, &status, &host);
        let cgroup_text = dir.read("cgroup");
        let cgroup_path =
            cgroup_text.as_ref().ok().and_then(|text| crate::discover::Placement::parse(text).path().cloned());
        let canonical =
            cgroup_path.as_deref().map(|path| crate::discover::snapshot::canonical(Some(&places.oci()), path));
        let v2 = CgroupTree::find(&places.proc).ok().flatten().map(|tree| tree.mount_point().to_owned());
        let host_users = Names::parse(&std::fs::read(places.etc.join("passwd")).unwrap_or_default());
        let host_groups = Names::parse(&std::fs::read(places.etc.join("group")).unwrap_or_default());
        let local = |file: &str| root_is_local(&dir).then(|| read_in_root(&dir, file).ok()).flatten();
        let map = |file: &str, outside: &Names, inside: &str| {
            Seen::from_result(dir.read(file)).map(|text| {
                let inside = local(inside).map(|text| Names::parse(&text)).unwrap_or_default();
                name_extents(&IdMap::parse(&text), &inside, outside)
            })
        };
        Ok(Self {
            pid: status.tgid,
            tid: status.pid,
            ppid: status.ppid,
            parent_comm: table.get(status.ppid).map(|parent| parent.status.name.clone()),
            comm: status.name.clone(),
            command: Seen::from_result(dir.read("cmdline")).map(|text| arguments(&text)),
            state: status.state,
            threads: status.threads,
            started_boot_ns: Safe(start(&dir, table, &status)),
            tracer: (status.tracer != 0).then_some(status.tracer),
            containers: canonical
                .as_deref()
                .map(containers_of)
                .unwrap_or_default()
                .into_iter()
                .map(|c| engines.name(c))
                .collect(),
            pids: pids(&status, &names, &tree),
            namespaces,
            same_namespaces: same_namespaces(&names, table),
            nsproxy: None,
            uid_map: map("uid_map", &host_users, "etc/passwd"),
            gid_map: map("gid_map", &host_groups, "etc/group"),
            user: host_users.of(status.uid[1]).map(str::to_owned),
            capabilities: privileges::capabilities(&status, &names, table, &tree),
            security: privileges::security(&dir, &status),
            cgroup: Seen::from_result(cgroup_text)
                .and_then(|text| Some(cgroup::view(&text, &cgroup_path?, v2.as_deref(), &places.cgroup))),
            host,
            inside,
            uid: status.uid,
            gid: status.gid,
            groups: status.groups,
        })
    }

    /// Something of it stayed unseen: what, for one line.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let refused: Vec<&str> =
            self.namespaces.iter().filter(|s| matches!(s.ns, Seen::Unreadable(_))).map(|s| s.slot).collect();
        if !refused.is_empty() {
            missing.push(format!("namespaces {} of process {}", refused.join(" "), self.pid));
        }
        for (what, unreadable) in [
            ("its host name", matches!(self.inside.hostname, Seen::Unreadable(_))),
            ("its interfaces", matches!(self.inside.interfaces, Seen::Unreadable(_))),
            ("its mounts", matches!(self.inside.mounts, Seen::Unreadable(_))),
            ("its root directory", matches!(self.inside.root, Seen::Unreadable(_))),
        ] {
            if unreadable {
                missing.push(what.to_owned());
            }
        }
        missing
    }
}

/// Opens the namespace of a slot for a moment: that is how its id and its owner are learned.
fn look_at(dir: &TaskDir, slot: Slot, tree: &mut UserTree) -> Seen<NsName> {
    match dir.slot(slot) {
        Ok(None) => Seen::Absent,
        Err(errno) => Seen::Unreadable(errno),
        Ok(Some(ns)) => match NsFile::open(dir, format!("ns/{}", slot.proc_name())) {
            Ok(file) if file.name.inum == ns.inum => {
                tree.learn(&file);
                Seen::Is(file.name)
            }
            _ => Seen::Is(ns),
        },
    }
}

fn slot_view(
    slot: Slot,
    ns: &Seen<NsName>,
    all: &[(Slot, Seen<NsName>)],
    status: &Status,
    table: &ProcessTable,
    tree: &UserTree,
) -> SlotView {
    let known = ns.known().copied();
    let itself = all.iter().find(|(other, _)| *other == Slot::Member(slot.ns_type())).and_then(|(_, ns)| ns.known());
    let relation = known.and_then(|ns| {
        let same = |other: Option<NsName>| other.is_some_and(|other| other.inum == ns.inum);
        if slot != Slot::Member(slot.ns_type()) && same(itself.copied()) {
            Some(Relation::Itself)
        } else if table.is_initial(ns) {
            Some(Relation::Host)
        } else {
            // Own is only what is known to be another one than the parent's. Process 0 is no parent.
            let parent = table.get(status.ppid).and_then(|parent| parent.member(ns.ns_type));
            match parent {
                Some(_) if same(parent) => Some(Relation::Parent),
                None if status.ppid != 0 => None,
                _ => Some(Relation::Own),
            }
        }
    });
    let owner = known.map_or(Seen::Absent, |ns| match tree.owner(ns) {
        Some(Ok(owner)) => Seen::Is(NsRef(tree.name(owner))),
        Some(Err(errno)) => Seen::Unreadable(errno),
        None => Seen::Absent,
    });
    SlotView {
        slot: slot.proc_name(),
        ns: ns.clone().map(NsRef),
        relation,
        shared_with: known.map(|ns| table.members(ns).filter(|other| other.status.pid != status.tgid).count()),
        owner,
        came_from: None,
    }
}

/// From the reader's pid namespace down to the task's own.
fn pids(status: &Status, names: &[(Slot, Seen<NsName>)], tree: &UserTree) -> Vec<PidAt> {
    let own = names.iter().find(|(slot, _)| *slot == Slot::Member(NsType::Pid)).and_then(|(_, ns)| ns.known());
    let mut at = own.copied();
    let mut levels: Vec<PidAt> = Vec::new();
    for &pid in status.pids.iter().rev() {
        levels.push(PidAt { ns: at.map(NsRef), pid });
        at = at.and_then(|ns| tree.parent(ns)).map(|inum| tree.named(NsType::Pid, inum));
    }
    levels.reverse();
    levels
}

fn same_namespaces(names: &[(Slot, Seen<NsName>)], table: &ProcessTable) -> Option<usize> {
    let in_nsproxy = |slot: Slot| !matches!(slot, Slot::Member(NsType::Pid | NsType::User));
    let same = |slots: &crate::event::SlotSet| {
        names
            .iter()
            .filter(|(slot, _)| in_nsproxy(*slot))
            .all(|(slot, ns)| slots.get(*slot).map(|ns| ns.inum) == ns.known().map(|ns| ns.inum))
    };
    let all_seen = !names.iter().any(|(_, ns)| matches!(ns, Seen::Unreadable(_)));
    all_seen.then(|| table.iter().filter(|process| same(&process.slots)).count())
}

fn name_extents(map: &IdMap, inside: &Names, outside: &Names) -> Vec<NamedExtent> {
    let named = |&extent: &Extent| NamedExtent {
        extent,
        inside_name: inside.of(extent.inside).or((extent.inside == 0).then_some("root")).map(str::to_owned),
        outside_name: outside.of(extent.outside).map(str::to_owned),
    };
    map.0.iter().map(named).collect()
}

/// Reading a file of the task's root cannot hang: its file system is not served by a program or over the net.
fn root_is_local(dir: &TaskDir) -> bool {
    let Ok(text) = dir.read("mountinfo") else { return false };
    let text = String::from_utf8_lossy(&text);
    let slow = ["fuse", "nfs", "cifs", "smb", "9p", "ceph", "autofs", "afs"];
    text.lines()
        .filter(|line| matches!(line.split(' ').nth(4), Some("/" | "/etc")))
        .filter_map(|line| line.split(" - ").nth(1)?.split(' ').next())
        .all(|fstype| !slow.iter().any(|slow| fstype.starts_with(slow)))
}

fn arguments(text: &[u8]) -> Vec<String> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|&b| b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn start(dir: &TaskDir, table: &ProcessTable, status: &Status) -> u64 {
    let ticks = match table.get(status.pid) {
        Some(process) => Some(process.start),
        None => dir.read("stat").ok().and_then(|text| super::processes::start_ticks(&text)),
    };
    ticks.unwrap_or(0).saturating_mul(crate::event::TaskKey::TICK_NS)
}
