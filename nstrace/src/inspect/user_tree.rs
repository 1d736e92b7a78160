//! User namespaces by parent, and which of them owns a namespace.

use std::collections::{BTreeMap, HashMap};

use rustix::io::Errno;

use crate::ns::{NsName, NsType};

use super::nsfs::NsFile;

/// One user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserNode {
    /// 64-bit kernel id.
    pub id: Option<u64>,
    /// None: the initial one, or the parent may not be seen from here.
    pub parent: Option<u32>,
    /// Effective uid of its creator, as the reader sees it.
    pub owner_uid: Option<u32>,
    pub initial: bool,
}

/// Grows by what is learned of open namespaces; user namespaces without any process are found on the way up.
#[derive(Clone, Debug, Default)]
pub struct UserTree {
    nodes: BTreeMap<u32, UserNode>,
    owners: HashMap<(NsType, u32), Result<u32, Errno>>,
    parents: HashMap<(NsType, u32), Result<u32, Errno>>,
    /// 64-bit kernel ids of all that was learned, user namespaces excepted.
    ids: HashMap<(NsType, u32), Option<u64>>,
    initial: Option<u32>,
}

impl UserTree {
    /// `initial`: inode number of the initial user namespace.
    pub fn new(initial: u32) -> Self {
        Self { initial: Some(initial), ..Self::default() }
    }

    pub fn insert(&mut self, inum: u32, node: UserNode) {
        self.nodes.insert(inum, node);
    }

    pub fn get(&self, inum: u32) -> Option<&UserNode> {
        self.nodes.get(&inum)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &UserNode)> {
        self.nodes.iter().map(|(&inum, node)| (inum, node))
    }

    /// Looks at an open namespace, its owner and all ancestors of both.
    pub fn learn(&mut self, file: &NsFile) {
        let NsName { ns_type, inum, id } = file.name;
        if ns_type == NsType::User {
            self.learn_user(file);
            return;
        }
        if self.owners.contains_key(&(ns_type, inum)) {
            return;
        }
        self.ids.insert((ns_type, inum), id);
        let owner = file.owner();
        if let Ok(owner) = &owner {
            self.learn_user(owner);
        }
        self.owners.insert((ns_type, inum), owner.map(|owner| owner.name.inum));
        if ns_type == NsType::Pid {
            let parent = file.parent();
            let parent_inum = parent.as_ref().map(|parent| parent.name.inum).map_err(|&errno| errno);
            self.parents.insert((ns_type, inum), parent_inum);
            if let Ok(parent) = parent {
                self.learn(&parent);
            }
        }
    }

    fn learn_user(&mut self, file: &NsFile) {
        let mut above: Option<NsFile> = None;
        loop {
            let at = above.as_ref().unwrap_or(file);
            let (inum, id) = (at.name.inum, at.name.id);
            if self.nodes.contains_key(&inum) {
                return;
            }
            let initial = self.initial == Some(inum);
            let parent = if initial { Err(Errno::PERM) } else { at.parent() };
            let node = UserNode {
                id,
                parent: parent.as_ref().ok().map(|parent| parent.name.inum),
                owner_uid: at.owner_uid().ok(),
                initial,
            };
            self.nodes.insert(inum, node);
            match parent {
                Ok(parent) => above = Some(parent),
                Err(_) => return,
            }
        }
    }

    /// The user namespace that owns `ns`; of a user namespace its parent. None: not learned.
    pub fn owner(&self, ns: NsName) -> Option<Result<u32, Errno>> {
        if ns.ns_type == NsType::User {
            return self.nodes.get(&ns.inum)?.parent.map(Ok);
        }
        self.owners.get(&(ns.ns_type, ns.inum)).copied()
    }

    /// Parent of a pid or user namespace.
    pub fn parent(&self, ns: NsName) -> Option<u32> {
        match ns.ns_type {
            NsType::User => self.nodes.get(&ns.inum)?.parent,
            _ => self.parents.get(&(ns.ns_type, ns.inum)).copied()?.ok(),
        }
    }

    /// The name of a user namespace of this tree.
    pub fn name(&self, inum: u32) -> NsName {
        NsName { ns_type: NsType::User, inum, id: self.nodes.get(&inum).and_then(|node| node.id) }
    }

    /// A namespace by number, with its id where that was learned.
    pub fn named(&self, ns_type: NsType, inum: u32) -> NsName {
        match ns_type {
            NsType::User => self.name(inum),
            _ => NsName { ns_type, inum, id: self.ids.get(&(ns_type, inum)).copied().flatten() },
        }
    }

    /// All namespaces learned that `user` owns, user namespaces excepted.
    pub fn owned_by(&self, user: u32) -> impl Iterator<Item = (NsType, u32)> + '_ {
        self.owners.iter().filter(move |(_, owner)| **owner == Ok(user)).map(|(&ns, _)| ns)
    }
}
