//! `map user`: user namespaces by owner, what they own, their id maps; pure but for reading the maps.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    engine::{Engines, Named},
    inspect::{
        Places, idmap::IdMap, processes::ProcessTable, seen::Seen, task::NsRef, task_dir::TaskDir, user_tree::UserTree,
        users::Names,
    },
    ns::NsType,
};

/// One user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserNsRow {
    pub ns: NsRef,
    pub initial: bool,
    /// None: the initial one, or the topmost one that can be seen.
    pub parent: Option<u32>,
    /// Effective uid of its creator.
    pub owner_uid: Option<u32>,
    pub owner: Option<String>,
    pub processes: usize,
    /// Absent: no process shows it.
    pub uid_map: Seen<IdMap>,
    pub gid_map: Seen<IdMap>,
    /// Made by another user than root: rootless.
    pub rootless: bool,
    /// An id inside is root of the host.
    pub maps_host_root: bool,
    /// Namespaces of other types that it owns.
    pub owns: Vec<NsRef>,
    pub containers: Vec<Named>,
}

/// The whole, parents before children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserMap {
    pub namespaces: Vec<UserNsRow>,
}

impl UserMap {
    /// `tree` has learned all namespaces.
    pub fn new(places: &Places, table: &ProcessTable, engines: &Engines, tree: &UserTree) -> Self {
        let users = Names::parse(&std::fs::read(places.etc.join("passwd")).unwrap_or_default());
        let mut children: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
        for (inum, node) in tree.iter() {
            let parent = node.parent.filter(|&parent| tree.get(parent).is_some());
            children.entry(parent).or_default().push(inum);
        }
        let mut namespaces = Vec::new();
        let mut next: Vec<u32> = children.get(&None).into_iter().flatten().rev().copied().collect();
        while let Some(inum) = next.pop() {
            next.extend(children.get(&Some(inum)).into_iter().flatten().rev().copied());
            namespaces.push(row(places, table, engines, tree, &users, inum));
        }
        Self { namespaces }
    }

    pub fn missing(&self) -> Vec<String> {
        let hidden = self.namespaces.iter().filter(|row| matches!(row.uid_map, Seen::Unreadable(_))).count();
        if hidden == 0 { Vec::new() } else { vec![format!("the id maps of {hidden} user namespace(s)")] }
    }
}

fn row(
    places: &Places,
    table: &ProcessTable,
    engines: &Engines,
    tree: &UserTree,
    users: &Names,
    inum: u32,
) -> UserNsRow {
    let name = tree.name(inum);
    let node = tree.get(inum);
    let member = table.members(name).find(|p| !p.status.is_zombie());
    let map = |file: &str| match member {
        None => Seen::Absent,
        Some(p) => Seen::from_result(TaskDir::open(&places.proc, p.status.pid).and_then(|dir| dir.read(file)))
            .map(|text| IdMap::parse(&text)),
    };
    let (uid_map, gid_map) = (map("uid_map"), map("gid_map"));
    let initial = node.is_some_and(|node| node.initial);
    let owner_uid = node.and_then(|node| node.owner_uid);
    let mut owns: Vec<(NsType, u32)> = tree.owned_by(inum).collect();
    owns.sort_unstable();
    let mut containers: Vec<Named> = Vec::new();
    for process in table.members(name) {
        if let Some(container) = process.containers().pop()
            && !containers.iter().any(|other| other.id == container.id)
        {
            containers.push(engines.name(container));
        }
    }
    UserNsRow {
        ns: NsRef(name),
        initial,
        parent: node.and_then(|node| node.parent),
        owner_uid,
        owner: owner_uid.and_then(|uid| users.of(uid)).map(str::to_owned),
        processes: table.members(name).count(),
        rootless: !initial && owner_uid.is_some_and(|uid| uid != 0),
        maps_host_root: !initial && uid_map.known().is_some_and(|map| map.inside(0).is_some()),
        uid_map,
        gid_map,
        owns: owns.into_iter().map(|(ns_type, inum)| NsRef(tree.named(ns_type, inum))).collect(),
        containers,
    }
}
