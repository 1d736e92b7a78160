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
    kernel::census_iterators::{CensusIterators, MountTree, Record, records},
    ns::{NsName, NsType},
};
use nstrace_common::{
    census::{File, Mount, Namespace, Task, mount_of, what},
    task::PF_KTHREAD,
};

/// What the files said that only user space can finish.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Descriptors of io_uring instances.
    pub io_urings: Vec<Descriptor>,
    /// Anonymous mount namespaces by address, with the descriptor that keeps each.
    pub detached: Vec<(u64, Descriptor)>,
    /// Sockets that have more files in flight than were looked at.
    pub more_in_flight: Vec<Descriptor>,
}

/// Passes over the tasks for namespaces that were met faster than one pass can describe them.
const MORE_PASSES: usize = 8;

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

/// Adds the attached shared memory segments.
pub(super) fn memory(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    let bytes = iterators.memory()?;
    add(&bytes, builder, &mut Leads::default(), &mut Vec::new());
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
    detached: &[(u64, Descriptor)],
) -> anyhow::Result<u32> {
    let mut places = Places::default();
    let mut walked = HashSet::new();
    let mut torn = 0;
    let mut trees: Vec<MountTree> = detached.iter().map(|&(tree, _)| MountTree(tree)).collect();
    loop {
        let names: HashMap<MountTree, (u64, NsName)> = builder
            .mount_namespaces()
            .into_iter()
            .map(|(key, name)| (iterators.tree_of(key, name.inum), (key, name)))
            .collect();
        trees.extend(names.keys());
        trees.retain(|&tree| walked.insert(tree));
        if trees.is_empty() {
            return Ok(torn);
        }
        let (bytes, some_torn) = iterators.mounts(&trees)?;
        torn += some_torn;
        let mut found = Vec::new();
        add(&bytes, builder, &mut Leads::default(), &mut found);
        let mut wanted: HashMap<MountTree, HashSet<u64>> = HashMap::new();
        for record in &found {
            wanted.entry(MountTree(record.mnt_ns)).or_default().insert(record.id.into());
        }
        for (tree, ids) in &wanted {
            if let Some((key, name)) = names.get(tree) {
                places.learn(proc, *name, builder.members_of_mounts(*key), ids);
            }
        }
        for record in found {
            let by: Vec<Descriptor> =
                detached.iter().filter(|(tree, _)| *tree == record.mnt_ns).map(|&(_, at)| at).collect();
            let at = places.of(&record, names.get(&MountTree(record.mnt_ns)).map(|(_, name)| name.inum));
            mount(&record, &by, at, builder);
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
    fn learn(&mut self, proc: &Proc, name: NsName, members: impl Iterator<Item = (u32, u32)>, wanted: &HashSet<u64>) {
        if !self.read.insert(name.inum) {
            return;
        }
        let mut places = proc.mount_places_of(name.inum, members, wanted).unwrap_or_default();
        if let Some(id) = name.id.filter(|_| places.is_empty()) {
            places = listed_mounts(id, name.inum);
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
            Record::File(record) => file(&record, builder, leads),
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
        exe_cred: (record.exe_cred, record.exe_user),
    }
}

fn file(record: &File, builder: &mut Builder, leads: &mut Leads) {
    let at = Descriptor { pid: record.tgid, tid: record.tid, fd: record.fd };
    let (holder, object) = match record.what {
        what::NSFS => (Holder::Fd(at), Object::Nsfs),
        what::IN_FLIGHT => (Holder::InFlight(at), Object::Nsfs),
        what::SOCKET => {
            // skc_family has sixteen bits.
            let family = u16::try_from(record.detail).unwrap_or(0);
            (Holder::Socket { at, family }, Object::Sock(record.object))
        }
        what::TUN => (Holder::Tun(at), Object::Sock(record.object)),
        what::PIDFD => (Holder::Pidfd(at), Object::Pid(record.object)),
        what::CRED => (Holder::Cred(at), Object::Cred { cred: record.object, ucounts: record.ucounts }),
        what::SUPER_BLOCK => (Holder::SuperblockFile(at), Object::SuperBlock(record.object)),
        what::PROCFS => (Holder::ProcfsFile(at), Object::SuperBlock(record.object)),
        what::SHM => (Holder::Shm { pid: record.tgid, id: record.detail }, Object::Attachment(record.object)),
        what::DETACHED_MOUNT => {
            leads.detached.push((record.object, at));
            (Holder::DetachedMount(at), Object::Anonymous(record.object))
        }
        what::MORE_IN_FLIGHT => {
            leads.more_in_flight.push(at);
            return;
        }
        what::IO_URING => {
            leads.io_urings.push(at);
            return;
        }
        _ => return,
    };
    builder.holder(HolderFact { ns: record.ns, holder, object });
}
