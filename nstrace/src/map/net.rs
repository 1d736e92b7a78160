//! `map net`: network namespaces, the pairs and bridges that tie them together, and how containers are connected.

use std::collections::{BTreeMap, HashMap, HashSet};

use rustix::io::Errno;
use serde::Serialize;

use crate::{
    discover::Holder,
    engine::{Engines, Named},
    event::PinHolder,
    inspect::{
        Places, namespace,
        net::{Link, NetView, sockets::Protocol},
        processes::ProcessTable,
        task::NsRef,
        task_dir::TaskDir,
    },
    ns::{NsName, NsType},
};

use super::{
    mnt::Unseen,
    net_peers::{self, Lead},
    socket_owner,
};

/// A container and how it is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connected {
    #[serde(flatten)]
    pub container: Named,
    /// `host`, `none`, `bridge`, `macvlan`, `ipvlan`, `slirp` (a tun or tap device to a program), `container:NAME` (the
    /// namespace of another container), `other`.
    pub mode: String,
}

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetNs {
    pub ns: NsRef,
    pub initial: bool,
    /// Names below `/run/netns`, or other mounts of it; hostile.
    pub names: Vec<String>,
    pub processes: usize,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub containers: Vec<Connected>,
    /// None: not entered, see `unseen`.
    pub view: Option<NetView>,
    /// Numbers by which it knows other namespaces.
    pub nsids: BTreeMap<i32, u32>,
}

/// Two links that are ends of one thing, or one that lies on the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tie {
    /// `veth`, or the kind of the upper one: `macvlan`, `vlan`, ….
    pub kind: String,
    pub from: End,
    /// None: the other end is in a namespace that was not seen.
    pub to: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct End {
    pub ns: u32,
    pub index: u32,
    pub name: String,
}

/// A bridge (bond, vrf) with its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    pub ns: u32,
    pub index: u32,
    pub name: String,
    pub kind: String,
    pub ports: Vec<String>,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetMap {
    pub namespaces: Vec<NetNs>,
    pub ties: Vec<Tie>,
    pub bridges: Vec<Bridge>,
    pub unseen: Vec<Unseen>,
}

impl NetMap {
    /// Enters every network namespace that a process is in or a file or mount holds, each in a thread of its own.
    pub fn read(places: &Places, table: &ProcessTable, engines: &Engines, holders: &[Holder]) -> Self {
        let mut map = Self::default();
        let mut found: BTreeMap<u32, NsName> = BTreeMap::new();
        let of_tasks = table.iter().filter_map(|p| p.member(NsType::Net));
        for ns in of_tasks.chain(holders.iter().map(|held| held.ns).filter(|ns| ns.ns_type == NsType::Net)) {
            found.entry(ns.inum).or_insert(ns);
        }
        let mut by_ns: HashMap<u32, Vec<Holder>> = HashMap::new();
        for held in holders.iter().filter(|held| held.ns.ns_type == NsType::Net) {
            by_ns.entry(held.ns.inum).or_default().push(held.clone());
        }
        let held = |inum: u32| by_ns.get(&inum).map(Vec::as_slice).unwrap_or_default();
        // One is open at a time: nothing is kept alive for long, and there may be more of them than descriptors.
        let open = |ns: NsName| namespace::open(places, table, held(ns.inum), ns);
        let mut leads: BTreeMap<u32, Vec<Lead>> = BTreeMap::new();
        for &ns in found.values() {
            let file = open(ns);
            let ns = file.as_ref().map_or(ns, |file| file.name);
            let mut row = describe(table, engines, held(ns.inum), ns);
            match file.as_ref().map_or(Err(Errno::ACCESS), net_peers::visit) {
                Ok((view, found)) => {
                    row.view = Some(view);
                    if !found.is_empty() {
                        leads.insert(ns.inum, found);
                    }
                }
                Err(errno) => {
                    row.view = from_proc(places, table, ns);
                    let error = crate::view::errno::name(errno.raw_os_error()).into_owned();
                    map.unseen.push(Unseen { ns: NsRef(ns), error });
                }
            }
            map.namespaces.push(row);
        }
        let nsids = net_peers::resolve(&map.namespaces, &leads, |inum| open(*found.get(&inum)?));
        for row in &mut map.namespaces {
            row.nsids = nsids.get(&row.ns.0.inum).cloned().unwrap_or_default();
        }
        map.namespaces.sort_by_key(|row| (!row.initial, row.ns.0.inum));
        map.tie();
        map.name_modes();
        map.name_holders(places, table);
        map
    }

    pub fn missing(&self) -> Vec<String> {
        self.unseen.iter().map(|unseen| format!("the inside of {}", unseen.ns.0)).collect()
    }

    /// Finds the other ends.
    pub fn tie(&mut self) {
        let links: HashMap<(u32, u32), &Link> = self
            .namespaces
            .iter()
            .flat_map(|row| {
                row.view.iter().flat_map(|view| &view.links).map(|link| ((row.ns.0.inum, link.index), link))
            })
            .collect();
        let mut ties: Vec<Tie> = Vec::new();
        for row in &self.namespaces {
            let ns = row.ns.0.inum;
            for link in row.view.iter().flat_map(|view| &view.links) {
                if let Some(peer) = link.peer.filter(|&peer| link.peer_nsid.is_some() || peer != link.index) {
                    let other = link.peer_nsid.map_or(Some(ns), |nsid| row.nsids.get(&nsid).copied());
                    let to = other.and_then(|other| links.get(&(other, peer)).map(|there| end(other, there)));
                    ties.push(Tie { kind: link.kind.clone().unwrap_or_default(), from: end(ns, link), to });
                }
            }
        }
        // Both ends of a pair name each other: one line is enough.
        let known: HashSet<(End, End)> =
            ties.iter().filter_map(|tie| Some((tie.from.clone(), tie.to.clone()?))).collect();
        ties.retain(|tie| match &tie.to {
            Some(to) if *to < tie.from => !known.contains(&(to.clone(), tie.from.clone())),
            _ => true,
        });
        let mut bridges = Vec::new();
        for row in &self.namespaces {
            let ns = row.ns.0.inum;
            let all = row.view.as_ref().map(|view| view.links.as_slice()).unwrap_or_default();
            let mut members: HashMap<u32, Vec<String>> = HashMap::new();
            for port in all {
                if let Some(controller) = port.controller {
                    members.entry(controller).or_default().push(port.name.clone());
                }
            }
            for link in all {
                let ports = members.remove(&link.index).unwrap_or_default();
                let kind = link.kind.clone().unwrap_or_default();
                if !ports.is_empty() || kind == "bridge" {
                    bridges.push(Bridge { ns, index: link.index, name: link.name.clone(), kind, ports });
                }
            }
        }
        (self.ties, self.bridges) = (ties, bridges);
    }

    fn name_holders(&mut self, places: &Places, table: &ProcessTable) {
        let views = self.namespaces.iter().filter_map(|row| row.view.as_ref());
        let inodes = views.flat_map(|view| view.listening.iter().map(|socket| socket.inode)).collect();
        let holders = socket_owner::holders(places, table, &inodes);
        for view in self.namespaces.iter_mut().filter_map(|row| row.view.as_mut()) {
            for socket in &mut view.listening {
                socket.held_by = holders.get(&socket.inode).cloned();
            }
        }
    }

    /// The first container of every namespace, by each of its addresses without the prefix length.
    pub fn containers_by_address(&self) -> HashMap<&str, &Named> {
        let mut found = HashMap::new();
        for row in &self.namespaces {
            let Some(first) = row.containers.first() else { continue };
            let links = row.view.iter().flat_map(|view| &view.links).flat_map(|link| &link.addresses);
            for address in links.filter_map(|address| address.split('/').next()) {
                found.entry(address).or_insert(&first.container);
            }
        }
        found
    }

    /// Says how each container is connected, from what is there and not from what an engine was told.
    fn name_modes(&mut self) {
        for at in 0..self.namespaces.len() {
            let row = &self.namespaces[at];
            let shape = mode(row);
            // Whoever was first owns the namespace; the others were put into it.
            let first =
                row.containers.first().map(|c| c.container.name.clone().unwrap_or_else(|| c.container.id.clone()));
            let shared = row.containers.len() > 1 && shape != "host";
            for (n, connected) in self.namespaces[at].containers.iter_mut().enumerate() {
                connected.mode = match (&first, shared && n > 0) {
                    (Some(first), true) => format!("container:{first}"),
                    _ => shape.to_owned(),
                };
            }
        }
    }
}

fn end(ns: u32, link: &Link) -> End {
    End { ns, index: link.index, name: link.name.clone() }
}

fn mode(row: &NetNs) -> &'static str {
    if row.initial {
        return "host";
    }
    let Some(view) = &row.view else { return "other" };
    let kinds: Vec<&str> =
        view.links.iter().filter(|link| !link.loopback).filter_map(|link| link.kind.as_deref()).collect();
    // The kernel puts these into every namespace when their modules are loaded.
    let fallback = ["ipip", "gre", "gretap", "erspan", "sit", "ip6tnl", "ip6gre", "vti", "vti6", "ifb", "dummy"];
    let devices = view.links.iter().filter(|link| !link.loopback && link.kind.is_none()).count();
    let has = |kind: &str| kinds.contains(&kind);
    match () {
        () if has("veth") => "bridge",
        () if has("macvlan") || has("macvtap") => "macvlan",
        () if has("ipvlan") => "ipvlan",
        () if has("tun") => "slirp",
        () if devices == 0 && kinds.iter().all(|kind| fallback.contains(kind)) => "none",
        () => "other",
    }
}

/// `holders`: those of this namespace.
fn describe(table: &ProcessTable, engines: &Engines, holders: &[Holder], ns: NsName) -> NetNs {
    let mut names: Vec<String> = holders
        .iter()
        .filter_map(|held| match &held.holder {
            PinHolder::Mount { path, .. } => Some(path.strip_prefix("/run/netns/").unwrap_or(path).to_owned()),
            PinHolder::Fd { .. } => None,
        })
        .collect();
    names.sort();
    names.dedup();
    let mut members: Vec<_> = table.members(ns).filter(|p| !p.status.is_zombie()).collect();
    members.sort_by_key(|p| (p.start, p.status.pid));
    let mut containers: Vec<Connected> = Vec::new();
    for container in members.iter().filter_map(|p| p.containers().pop()) {
        if !containers.iter().any(|other| other.container.id == container.id) {
            containers.push(Connected { container: engines.name(container), mode: String::new() });
        }
    }
    NetNs {
        ns: NsRef(ns),
        initial: table.is_initial(ns),
        names,
        processes: table.members(ns).count(),
        pid: members.first().map(|p| p.status.pid),
        comm: members.first().map(|p| p.status.name.clone()),
        containers,
        view: None,
        nsids: BTreeMap::new(),
    }
}

/// What `/proc/PID/net` shows without entering: names of links and listening sockets.
fn from_proc(places: &Places, table: &ProcessTable, ns: NsName) -> Option<NetView> {
    let member = table.members(ns).find(|p| !p.status.is_zombie())?;
    let dir = TaskDir::open(&places.proc, member.status.pid).ok()?;
    let dev = dir.read("net/dev").ok()?;
    let mut view = NetView::default();
    // Two lines of heading, then `name: numbers`.
    for line in String::from_utf8_lossy(&dev).lines().skip(2) {
        if let Some((name, _)) = line.rsplit_once(": ").or_else(|| line.split_once(':')) {
            let name = name.trim().to_owned();
            view.links.push(Link { loopback: name == "lo", name, ..Link::default() });
        }
    }
    for protocol in Protocol::ALL {
        if let Ok(text) = dir.read(&format!("net/{}", protocol.name())) {
            view.listening.extend(crate::inspect::net::sockets::listening(protocol, &text));
        }
    }
    Some(view)
}
