//! Facts from the kernel's own objects, by the census iterators.

use std::collections::{HashMap, HashSet};

use super::{
    Descriptor, Holder,
    build::{Builder, HolderFact, NamespaceFact, Object, TaskFact},
    holder::MountHolder,
};
use crate::{
    discover::{MountPlace, Proc, listed_mounts},
    event::Comm,
    kernel::census_iterators::{CensusIterators, FileList, MountTree, Record, records},
    ns::{NsName, NsType},
};
use nstrace_common::{
    census::{File, Mount, Namespace, Pid, Task, mount_of, what},
    task::PF_KTHREAD,
};

/// What the files said that has to be followed.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Files that are in no file table.
    queues: Vec<Queue>,
    /// Anonymous mount namespaces, and trees of mounts in none, with what keeps each.
    detached: Vec<(MountTree, Descriptor)>,
}

/// A queue, or table, of files.
#[derive(Clone, Copy, Debug)]
struct Queue {
    list: FileList,
    /// By which descriptor it is reached.
    at: Descriptor,
}

/// Passes over the tasks for namespaces that were met faster than one pass can describe them.
const MORE_PASSES: usize = 8;

/// Further walks over the mounts when a tree changed under one: what was found twice counts once.
const MORE_WALKS: usize = 3;

/// Adds every task and the namespaces they refer to.
pub(super) fn tasks(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    let bytes = iterators.tasks()?;
    let mut leads = Leads::default();
    add(&bytes, builder, &mut leads, &mut Vec::new());
    rest(iterators, builder)
}

/// Adds namespaces that were named and are not described yet.
fn rest(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    for _ in 0..MORE_PASSES {
        let before = builder.undescribed();
        if before == 0 {
            break;
        }
        let bytes = iterators.tasks()?;
        for record in records(&bytes) {
            if let Record::Namespace(record) = record {
                builder.namespace_record(&record);
            }
        }
        // What stays ended before it could be described.
        if builder.undescribed() == before {
            break;
        }
    }
    Ok(())
}

/// Adds the holders among open files.
pub(super) fn files(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<Leads> {
    let bytes = iterators.files()?;
    let mut leads = Leads::default();
    add(&bytes, builder, &mut leads, &mut Vec::new());
    rest(iterators, builder)?;
    Ok(leads)
}

/// Adds what tasks hold by their directories and programs.
pub(super) fn places(iterators: &mut CensusIterators, builder: &mut Builder, leads: &mut Leads) -> anyhow::Result<()> {
    let bytes = iterators.places()?;
    add(&bytes, builder, leads, &mut Vec::new());
    rest(iterators, builder)
}

/// Adds the holders among files that are in no file table: in flight, registered with io_uring, and inodes that are watched.
pub(super) fn queues(iterators: &mut CensusIterators, builder: &mut Builder, leads: &mut Leads) -> anyhow::Result<()> {
    let mut walked = HashSet::new();
    loop {
        let mut queues = std::mem::take(&mut leads.queues);
        // By whichever descriptor it is reached first.
        queues.retain(|queue| walked.insert(queue.list));
        if queues.is_empty() {
            return rest(iterators, builder);
        }
        let lists: Vec<FileList> = queues.iter().map(|queue| queue.list).collect();
        for (first, bytes) in iterators.queues(&lists)? {
            for record in records(&bytes) {
                match record {
                    Record::Namespace(record) => builder.namespace_record(&record),
                    Record::File(record) => {
                        let number = usize::try_from(record.fd).ok().and_then(|n| first.checked_add(n));
                        if let Some(queue) = number.and_then(|n| queues.get(n)) {
                            file(&record, Some(*queue), builder, leads);
                        }
                    }
                    Record::Task(_) | Record::Mount(_) => {}
                }
            }
        }
    }
}

/// Adds mapped files and attached shared memory segments.
pub(super) fn memory(iterators: &mut CensusIterators, builder: &mut Builder, leads: &mut Leads) -> anyhow::Result<()> {
    let bytes = iterators.memory()?;
    add(&bytes, builder, leads, &mut Vec::new());
    rest(iterators, builder)
}

/// Adds every namespace on the kernel's own lists, also those that no holder led to.
pub(super) fn lists(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    let bytes = iterators.listed(&builder.initial_keys())?;
    add(&bytes, builder, &mut Leads::default(), &mut Vec::new());
    rest(iterators, builder)
}

/// Adds the holders among mounts: those of every known mount namespace, of mount namespaces that only such a mount holds,
/// and of trees that only a descriptor keeps. Returns the number of trees that changed meanwhile.
pub(super) fn mounts(
    iterators: &mut CensusIterators,
    proc: &Proc,
    builder: &mut Builder,
    leads: &Leads,
) -> anyhow::Result<u32> {
    let mut places = Places::default();
    let mut walked = HashSet::new();
    let mut torn = 0;
    let mut trees: Vec<MountTree> = leads.detached.iter().map(|&(tree, _)| tree).collect();
    loop {
        let of_namespaces: HashMap<MountTree, NamespaceFact> =
            builder.mount_namespaces().map(|fact| (iterators.tree_of(fact.key, fact.name.inum), *fact)).collect();
        trees.extend(of_namespaces.keys());
        trees.retain(|&tree| walked.insert(tree));
        if trees.is_empty() {
            return Ok(torn);
        }
        let (mut bytes, mut some_torn) = iterators.mounts(&trees)?;
        for _ in 0..MORE_WALKS {
            if some_torn == 0 {
                break;
            }
            let (again, torn_again) = iterators.mounts(&trees)?;
            bytes.extend(again);
            some_torn = torn_again;
        }
        torn += some_torn;
        let mut found = Vec::new();
        add(&bytes, builder, &mut Leads::default(), &mut found);
        let mut wanted: HashMap<MountTree, HashSet<u64>> = HashMap::new();
        for record in &found {
            wanted.entry(MountTree(record.mnt_ns)).or_default().insert(record.id.into());
        }
        for (tree, ids) in &wanted {
            if let Some(fact) = of_namespaces.get(tree) {
                places.learn(proc, fact, builder.members_of_mounts(fact.key), ids);
            }
        }
        for record in found {
            let tree = MountTree(record.mnt_ns);
            let by: Vec<Descriptor> =
                leads.detached.iter().filter(|(other, _)| *other == tree).map(|&(_, at)| at).collect();
            mount(&record, &by, places.of(&record, of_namespaces.get(&tree).map(|fact| fact.name.inum)), builder);
        }
        trees.clear();
    }
}

fn mount(record: &Mount, detached: &[Descriptor], at: MountHolder, builder: &mut Builder) {
    let object = if record.what == mount_of::NSFS { Object::Nsfs } else { Object::SuperBlock(record.super_block) };
    let ns = record.ns;
    for &by in detached {
        let holder = match record.what {
            mount_of::NSFS => Holder::DetachedMount(by),
            mount_of::PROCFS => Holder::ProcfsFile(by),
            _ => Holder::SuperblockFile(by),
        };
        builder.holder(HolderFact { ns, holder, object });
    }
    if !detached.is_empty() {
        return;
    }
    let holder = match record.what {
        mount_of::NSFS => Holder::Mount(at),
        mount_of::PROCFS => Holder::Procfs(at),
        _ => Holder::Superblock(at),
    };
    builder.holder(HolderFact { ns, holder, object });
}

/// Where mounts are, as far as mount tables tell.
#[derive(Debug, Default)]
struct Places {
    by_id: HashMap<u32, MountHolder>,
    /// Inode numbers of the mount namespaces whose tables were read.
    read: HashSet<u32>,
}

impl Places {
    /// Looks up where these mounts of a mount namespace are: in the tables of its members, or, when no process is in it,
    /// in the kernel's list where there is one. Tables only add paths to what is known, so one that is refused hides nothing.
    fn learn(
        &mut self,
        proc: &Proc,
        fact: &NamespaceFact,
        members: impl Iterator<Item = (u32, u32)>,
        wanted: &HashSet<u64>,
    ) {
        if !self.read.insert(fact.name.inum) {
            return;
        }
        let mut places = proc.mount_places_of(fact.name.inum, members, wanted).unwrap_or_default();
        if places.is_empty() && fact.listing != 0 {
            places = listed_mounts(fact.listing, fact.name.inum);
        }
        for MountPlace { id, mnt_ns, path, hidden } in places {
            if let Ok(id) = u32::try_from(id) {
                self.by_id.insert(id, MountHolder { mnt_ns: Some(mnt_ns), path: Some(path), hidden });
            }
        }
    }

    fn of(&self, record: &Mount, mnt_ns: Option<u32>) -> MountHolder {
        let known = self.by_id.get(&record.id).filter(|place| mnt_ns.is_some() && place.mnt_ns == mnt_ns);
        known.cloned().unwrap_or_else(|| MountHolder::unnamed(mnt_ns))
    }
}

fn add(bytes: &[u8], builder: &mut Builder, leads: &mut Leads, mounts: &mut Vec<Mount>) {
    for record in records(bytes) {
        match record {
            Record::Namespace(record) => builder.namespace_record(&record),
            Record::Task(record) => builder.task(task(&record)),
            Record::File(record) => file(&record, None, builder, leads),
            Record::Mount(record) => mounts.push(record),
        }
    }
}

impl Builder {
    /// A namespace of unknown type, which a newer kernel may have, is left out.
    fn namespace_record(&mut self, record: &Namespace) {
        let Some(ns_type) = NsType::from_clone_flag(record.clone_flag.into()) else { return };
        let (parent, level) = match ns_type {
            NsType::Pid => (record.parent, Some(record.pid_level)),
            NsType::User => (record.owner, Some(record.user_level)),
            _ => (0, None),
        };
        self.namespace(NamespaceFact {
            key: record.key,
            name: NsName { ns_type, inum: record.inum, id: Some(record.id).filter(|&id| id != 0) },
            owner: record.owner,
            parent,
            ucounts: record.ucounts,
            mqueue: if ns_type == NsType::Ipc { record.mqueue } else { 0 },
            listing: match (ns_type, record.id) {
                (NsType::Mnt, 0) => record.mnt_seq,
                (_, id) => id,
            },
            level,
            owner_uid: (ns_type == NsType::User).then_some(record.owner_uid),
            refs: Some(record.refs).filter(|&refs| refs != u32::MAX),
            segments: Some(record.segments).filter(|&segments| ns_type == NsType::Ipc && segments != u32::MAX),
        });
    }
}

fn task(record: &Task) -> TaskFact {
    TaskFact {
        tid: record.tid,
        tgid: record.tgid,
        ppid: Some(record.ppid),
        uid: record.uid,
        comm: Comm::new(&record.comm),
        dead: record.exit_state != 0,
        kernel_thread: record.flags & PF_KTHREAD != 0,
        cgroup: record.cgroup,
        slots: record.slots,
        nsproxy: record.nsproxy,
        real_cred: record.real_cred,
        cred: record.cred,
        pid: record.pid,
        ucounts: record.ucounts,
        mm: (record.mm, record.mm_user),
        groups: [record.group, record.session].map(|Pid { pid, ns }| (pid, ns)),
        exe_cred: (record.exe_cred, record.exe_user),
    }
}

/// What a file holds. `queue`: it is in no file table but there.
fn file(record: &File, queue: Option<Queue>, builder: &mut Builder, leads: &mut Leads) {
    let of_table = Descriptor { pid: record.tgid, tid: record.tid, fd: record.fd };
    let at = queue.map_or(of_table, |queue| queue.at);
    let other = |what| Holder::Other { at: Some(at), what };
    let object = record.object;
    let (holder, object) = match record.what {
        what::NSFS => {
            let holder = match queue.map(|queue| queue.list) {
                None => Holder::Fd(at),
                Some(FileList::Ring(_)) => Holder::IoUring(at),
                Some(_) => Holder::InFlight(at),
            };
            (holder, Object::Nsfs)
        }
        what::SOCKET | what::PEER_PID => {
            // skc_family has sixteen bits; only unix sockets know their peer.
            let family = if record.what == what::SOCKET { u16::try_from(record.detail).unwrap_or(0) } else { AF_UNIX };
            let object = if record.what == what::SOCKET { Object::Sock(object) } else { Object::Pid(object) };
            (Holder::Socket { at, family }, object)
        }
        what::TUN => (Holder::Tun(at), Object::Sock(object)),
        what::PIDFD => (Holder::Pidfd(at), Object::Pid(object)),
        what::PROC_PID => (Holder::ProcfsFile(at), Object::Pid(object)),
        what::SENDER_PID => (Holder::InFlight(at), Object::Pid(object)),
        what::OWNER_PID => (other("owner of an open file"), Object::Pid(object)),
        what::CRED | what::PEER_CRED => (Holder::Cred(at), Object::Cred { cred: object, ucounts: record.ucounts }),
        what::SUPER_BLOCK => (Holder::SuperblockFile(at), Object::SuperBlock(object)),
        what::PROCFS => (Holder::ProcfsFile(at), Object::SuperBlock(object)),
        what::SHM => (Holder::Shm { pid: record.tgid, id: record.detail }, Object::File(object)),
        what::FS_CONTEXT => (other("file system context"), Object::File(object)),
        what::MOUNT_TABLE => (other("open mount table"), Object::File(object)),
        what::NET_TABLE => (other("open table of the network"), Object::File(object)),
        what::CGROUP_FILE => (other("open cgroup file"), Object::File(object)),
        what::WATCH => (other("watch on its file"), Object::Nsfs),
        what::DETACHED_MOUNT => {
            leads.detached.push((MountTree(object), at));
            (Holder::DetachedMount(at), Object::Anonymous(object))
        }
        what::LOOSE_MOUNT => return leads.detached.push((MountTree::loose(object), at)),
        what::QUEUE => return leads.queues.push(Queue { list: FileList::Sock(object), at }),
        what::CONNECTIONS => return leads.queues.push(Queue { list: FileList::Connections(object), at }),
        what::IO_URING => return leads.queues.push(Queue { list: FileList::Ring(object), at }),
        what::WATCHES => return leads.queues.push(Queue { list: FileList::Watches(object), at }),
        _ => return,
    };
    builder.holder(HolderFact { ns: record.ns, holder, object });
}

const AF_UNIX: u16 = 1;
