//! Facts from the kernel's own objects, by the census iterators.

use std::{collections::HashSet, thread};

use anyhow::bail;

use super::{
    Descriptor, Holder,
    build::{Builder, HolderFact, NamespaceFact, Object, TaskFact},
    collect::Depth,
};
use crate::{
    event::Comm,
    kernel::census_iterators::{CensusIterators, FileList, MountTree, Record},
    ns::{NsName, NsType},
};
use nstrace_common::{
    census::{File, Namespace, Pid, Task, what},
    task::PF_KTHREAD,
};

/// What the files said that has to be followed.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Files that are in no file table.
    queues: Vec<Queue>,
    /// Anonymous mount namespaces, and trees of mounts in none, with what keeps each.
    pub detached: Vec<(MountTree, Descriptor)>,
    /// Threads with a file table that is too large for one visit.
    large: HashSet<u32>,
}

impl Leads {
    fn extend(&mut self, other: Self) {
        self.queues.extend(other.queues);
        self.detached.extend(other.detached);
        self.large.extend(other.large);
    }
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

/// Adds every task, the namespaces they refer to, and with `depth` for all holders what they hold by files. The inner error
/// is of files alone.
pub(super) fn processes(
    readers: &mut [CensusIterators],
    builder: &mut Builder,
    depth: Depth,
) -> anyhow::Result<anyhow::Result<Leads>> {
    let Some((first, others)) = readers.split_first_mut() else { bail!("there is no reader") };
    let shares = thread::scope(|scope| {
        let others: Vec<_> = others.iter_mut().map(|reader| scope.spawn(|| share(reader, depth))).collect();
        let first = share(first, depth);
        let others = others.into_iter().map(|other| other.join().unwrap_or_else(|_| bail!("a reader has failed")));
        std::iter::once(first).chain(others).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut all = Ok(Leads::default());
    for (part, leads) in shares {
        builder.absorb(part);
        match (&mut all, leads) {
            (Ok(all), Ok(leads)) => all.extend(leads),
            (Ok(_), Err(error)) => all = Err(error),
            (Err(_), _) => {}
        }
    }
    Ok(all)
}

/// One share of the processes.
fn share(reader: &mut CensusIterators, depth: Depth) -> anyhow::Result<(Builder, anyhow::Result<Leads>)> {
    let mut builder = Builder::with_threads(reader.threads(), depth == Depth::Holders);
    let mut leads = Leads::default();
    let mut files = Ok(());
    if depth == Depth::Holders {
        files = reader.processes(|record| add(record, &mut builder, &mut leads));
    }
    if depth == Depth::Members || files.is_err() {
        reader.tasks(|record| add(record, &mut builder, &mut leads))?;
    }
    let files = files.and_then(|()| large_tables(reader, &mut builder, &mut leads));
    rest(reader, depth, &mut builder)?;
    Ok((builder, files.map(|()| leads)))
}

/// Adds the holders among open files of threads that have too many for one visit.
fn large_tables(reader: &mut CensusIterators, builder: &mut Builder, leads: &mut Leads) -> anyhow::Result<()> {
    if leads.large.is_empty() {
        return Ok(());
    }
    let large = leads.large.clone();
    reader.files(|record| match record {
        // What was found twice counts once.
        Record::File(record) if !large.contains(&record.tid) => {}
        record => add(record, builder, leads),
    })
}

/// Adds namespaces that were named and are not described yet.
fn rest(reader: &mut CensusIterators, depth: Depth, builder: &mut Builder) -> anyhow::Result<()> {
    for _ in 0..MORE_PASSES {
        let before = builder.undescribed();
        if before == 0 {
            break;
        }
        // By the program that is loaded already.
        let mut each = |record: Record<'_>| {
            if let Record::Namespace(record) = record {
                builder.namespace_record(record);
            }
        };
        if depth == Depth::Members || reader.processes(&mut each).is_err() {
            reader.tasks(each)?;
        }
        // What stays ended before it could be described.
        if builder.undescribed() == before {
            break;
        }
    }
    Ok(())
}

/// Adds the holders among files that are in no file table: in flight, registered with io_uring, and inodes that are watched.
pub(super) fn queues(iterators: &mut CensusIterators, builder: &mut Builder, leads: &mut Leads) -> anyhow::Result<()> {
    let mut walked = HashSet::new();
    loop {
        let mut queues = std::mem::take(&mut leads.queues);
        // By whichever descriptor it is reached first.
        queues.retain(|queue| walked.insert(queue.list));
        if queues.is_empty() {
            return rest(iterators, Depth::Holders, builder);
        }
        let lists: Vec<FileList> = queues.iter().map(|queue| queue.list).collect();
        iterators.queues(&lists, |first, record| match record {
            Record::Namespace(record) => builder.namespace_record(record),
            Record::File(record) => {
                let number = usize::try_from(record.fd).ok().and_then(|n| first.checked_add(n));
                if let Some(queue) = number.and_then(|n| queues.get(n)) {
                    file(record, Some(*queue), builder, leads);
                }
            }
            Record::Task(_) | Record::Mount(_) => {}
        })?;
    }
}

/// Mapped files and attached shared memory segments. Trees of mounts that only a mapping keeps are not walked.
pub(super) fn memory(reader: &mut CensusIterators) -> anyhow::Result<Builder> {
    let mut builder = Builder::default();
    let mut leads = Leads::default();
    reader.memory(|record| add(record, &mut builder, &mut leads))?;
    rest(reader, Depth::Holders, &mut builder)?;
    Ok(builder)
}

/// Adds every namespace on the kernel's own lists, also those that no holder led to.
pub(super) fn lists(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    let mut leads = Leads::default();
    iterators.listed(&builder.initial_keys(), |record| add(record, builder, &mut leads))?;
    rest(iterators, Depth::Holders, builder)
}

/// Adds one record; mounts are for [`super::from_mounts`].
fn add(record: Record<'_>, builder: &mut Builder, leads: &mut Leads) {
    match record {
        Record::Namespace(record) => builder.namespace_record(record),
        Record::Task(record) => builder.task(task(record)),
        Record::File(record) => file(record, None, builder, leads),
        Record::Mount(_) => {}
    }
}

impl Builder {
    /// A namespace of unknown type, which a newer kernel may have, is left out.
    pub(super) fn namespace_record(&mut self, record: &Namespace) {
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
            mqueue_mount: if ns_type == NsType::Ipc { record.mqueue_mount } else { 0 },
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
        what::NUMBERS => (Holder::SuperblockFile(at), Object::Mount(object)),
        what::CREATOR => (Holder::SuperblockFile(at), Object::Cred { cred: object, ucounts: record.ucounts }),
        what::IDMAPPED => (other("on an idmapped mount"), Object::Mount(object)),
        what::PROCFS => (Holder::ProcfsFile(at), Object::SuperBlock(object)),
        what::SHM => (Holder::Shm { pid: record.tgid, id: record.detail }, Object::File(object)),
        what::FS_CONTEXT => (other("file system context"), Object::File(object)),
        what::MOUNT_TABLE => (other("open mount table"), Object::File(object)),
        what::NET_TABLE => (other("open table of the network"), Object::File(object)),
        what::CGROUP_FILE => (other("open cgroup file"), Object::File(object)),
        what::PERF_EVENT => (other("perf event"), Object::File(object)),
        what::WATCH => (other("watch on its file"), Object::Nsfs),
        what::DETACHED_MOUNT => {
            leads.detached.push((MountTree(object), at));
            (Holder::DetachedMount(at), Object::Anonymous(object))
        }
        what::LOOSE_MOUNT => return leads.detached.push((MountTree::loose(object), at)),
        what::MORE => {
            leads.large.insert(record.tid);
            return;
        }
        what::QUEUE => return leads.queues.push(Queue { list: FileList::Sock(object), at }),
        what::CONNECTIONS => return leads.queues.push(Queue { list: FileList::Connections(object), at }),
        what::IO_URING => return leads.queues.push(Queue { list: FileList::Ring(object), at }),
        what::WATCHES => return leads.queues.push(Queue { list: FileList::Watches(object), at }),
        _ => return,
    };
    builder.holder(HolderFact { ns: record.ns, holder, object });
}

const AF_UNIX: u16 = 1;
