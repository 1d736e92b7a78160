//! The last step to a [`Census`]: who holds what, and which objects take the references. Pure.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use super::{
    Census, Holder, NsIndex,
    build::{Builder, HolderFact, Key, Object, TaskFact},
};
use crate::ns::NsType;

/// A census that further holders can be added to.
#[derive(Debug)]
pub(super) struct Settled {
    pub census: Census,
    pub by_key: HashMap<Key, usize, foldhash::fast::RandomState>,
    /// By number of the fact.
    pub place: Vec<NsIndex>,
    pub elsewhere: Elsewhere,
}

impl Settled {
    /// Adds the holders that `found` has; namespaces and tasks that are not known stay so.
    pub fn add(&mut self, found: Builder) {
        self.hold(found.into_holders());
    }

    pub fn hold(&mut self, facts: Vec<HolderFact>) {
        let namespaces = &mut self.census.namespaces;
        // Neighbours are mostly of one namespace.
        let mut known = (0, None);
        let mut rooms = vec![0; namespaces.len()];
        let places: Vec<Option<NsIndex>> = facts
            .iter()
            .map(|fact| {
                if known.0 != fact.ns {
                    known = (fact.ns, self.by_key.get(&fact.ns).map(|&i| self.place[i]));
                }
                known.1.inspect(|ns| rooms[ns.0] += 1)
            })
            .collect();
        for (ns, room) in namespaces.iter_mut().zip(rooms) {
            ns.holders.reserve_exact(room);
        }
        for (fact, place) in facts.into_iter().zip(places) {
            let Some(NsIndex(at)) = place else { continue };
            let adds = self.elsewhere.adds(&fact);
            let HolderFact { holder, object, .. } = fact;
            let ns = &mut namespaces[at];
            match object {
                Object::Nsfs => ns.accounts.nsfs = true,
                Object::Sock(sock) => ns.accounts.socks.insert(sock),
                Object::Cred { cred, ucounts } => {
                    ns.accounts.creds.insert(cred);
                    if ucounts != 0 {
                        ns.accounts.ucounts.insert(ucounts);
                    }
                }
                Object::Pid(pid) => ns.accounts.pids.insert(pid),
                Object::Mount(mount) => ns.accounts.mounts.insert(mount),
                Object::SuperBlock(block) => ns.accounts.super_blocks.insert(block),
                Object::File(file) => ns.accounts.files.insert(file),
                Object::Anonymous(tree) => ns.accounts.anonymous.insert(tree),
                Object::None => {}
            }
            if adds {
                ns.holders.push(holder);
            }
        }
        for ns in namespaces {
            ns.accounts.settle();
            ns.holders.sort_by(by_kind);
            ns.holders.dedup();
        }
    }

    /// Some reference to a namespace of this type is unexplained.
    pub fn has_unexplained(&self, ns_type: NsType) -> bool {
        let mut of_type = self.census.namespaces.iter().filter(|ns| ns.name.ns_type == ns_type);
        of_type.any(|ns| ns.unexplained().is_some_and(|rest| rest > 0))
    }
}

/// What makes a holder no news: the task that it belongs to, and the mount that it is reached by.
#[derive(Debug)]
pub(super) struct Elsewhere {
    /// User namespace of each thread.
    users: HashMap<u32, Key, foldhash::fast::RandomState>,
    /// Super blocks that are mounted, or that an open file is on.
    super_blocks: HashSet<u64, foldhash::fast::RandomState>,
    /// As those, of mounts.
    mounts: HashSet<u64, foldhash::fast::RandomState>,
}

impl Elsewhere {
    pub fn new(tasks: &[TaskFact], holders: &[HolderFact]) -> Self {
        let credentials = holders.iter().any(|fact| matches!(fact.holder, Holder::Cred(_)));
        let user = NsType::User.index();
        let users = tasks.iter().filter(|_| credentials).map(|task| (task.tid, task.slots[user]));
        let mut elsewhere =
            Self { users: users.collect(), super_blocks: HashSet::default(), mounts: HashSet::default() };
        for fact in holders.iter().filter(|fact| !is_placed(&fact.holder)) {
            match fact.object {
                Object::SuperBlock(block) => _ = elsewhere.super_blocks.insert(block),
                Object::Mount(mount) => _ = elsewhere.mounts.insert(mount),
                _ => {}
            }
        }
        elsewhere
    }

    /// Credentials of the user namespace that the task is in anyway are none of another, and directories and mappings tell of
    /// a file system only where nothing better does.
    fn adds(&self, fact: &HolderFact) -> bool {
        match (&fact.holder, fact.object) {
            (Holder::Cred(at), _) => self.users.get(&at.tid) != Some(&fact.ns),
            (holder, _) if !is_placed(holder) => true,
            (_, Object::SuperBlock(block)) => !self.super_blocks.contains(&block),
            // Its super block has been told of.
            (Holder::SuperblockFile(_), Object::Mount(_) | Object::Cred { .. }) => false,
            (_, Object::Mount(mount)) => !self.mounts.contains(&mount),
            _ => true,
        }
    }
}

/// It is by a directory, a mapping or a program, no descriptor or mount.
fn is_placed(holder: &Holder) -> bool {
    holder.descriptor().is_some_and(|at| at.place().is_some())
}

/// By kind, then by process, thread and number.
fn by_kind(a: &Holder, b: &Holder) -> Ordering {
    let number = |holder: &Holder| match holder {
        Holder::Shm { pid, .. } => *pid as usize,
        _ => holder.task().map(|task| task.0).or(holder.namespace().map(|ns| ns.0)).unwrap_or(0),
    };
    a.kind()
        .cmp(&b.kind())
        .then_with(|| number(a).cmp(&number(b)))
        .then_with(|| a.descriptor().cmp(&b.descriptor()))
        .then_with(|| place(a).cmp(&place(b)))
}

fn place(holder: &Holder) -> Option<(Option<u32>, Option<&str>)> {
    holder.mount().map(|mount| (mount.mnt_ns, mount.path.as_deref()))
}
