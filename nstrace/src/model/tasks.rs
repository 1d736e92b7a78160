//! The tasks that refer to a namespace other than the initial ones, and their processes.
//!
//! Tasks that live in the initial namespaces only are not kept: the kernel side does not report their end.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    FixedMap,
    sets::{NsIndex, SetId, Sets},
};
use crate::event::{Comm, Pids, TaskInfo, TaskKey};

/// A [`TaskInfo`] in half the bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "TaskInfo", from = "TaskInfo")]
pub(super) struct CompactTask {
    start_boottime: u64,
    cgroup: u64,
    cap_effective: u64,
    pids: SmallVec<[u32; 4]>,
    comm: Comm,
    tid: u32,
    tgid: u32,
    uid: u32,
    euid: u32,
    flags: u32,
}

impl From<&TaskInfo> for CompactTask {
    fn from(task: &TaskInfo) -> Self {
        let TaskInfo { key, tgid, uid, euid, cap_effective, cgroup, flags, ref pids, comm } = *task;
        Self {
            start_boottime: key.start_boottime,
            cgroup,
            cap_effective,
            pids: SmallVec::from_slice(pids.as_slice()),
            comm,
            tid: key.tid,
            tgid,
            uid,
            euid,
            flags,
        }
    }
}

impl From<TaskInfo> for CompactTask {
    fn from(task: TaskInfo) -> Self {
        (&task).into()
    }
}

impl From<CompactTask> for TaskInfo {
    fn from(task: CompactTask) -> Self {
        task.info()
    }
}

impl CompactTask {
    pub fn key(&self) -> TaskKey {
        TaskKey { tid: self.tid, start_boottime: self.start_boottime }
    }

    /// The same task. A task keeps its process.
    pub fn is(&self, task: &TaskInfo) -> bool {
        self.key().same_task(task.key) && self.tgid == task.tgid
    }

    pub fn cgroup(&self) -> u64 {
        self.cgroup
    }

    pub fn tgid(&self) -> u32 {
        self.tgid
    }

    pub fn info(&self) -> TaskInfo {
        TaskInfo {
            key: self.key(),
            tgid: self.tgid,
            uid: self.uid,
            euid: self.euid,
            cap_effective: self.cap_effective,
            cgroup: self.cgroup,
            flags: self.flags,
            pids: Pids::new(&self.pids),
            comm: self.comm,
        }
    }
}

/// A task and the namespaces it refers to.
#[derive(Debug)]
pub(super) struct KnownTask {
    pub task: CompactTask,
    /// When this was so; older events do not apply.
    pub boot_ns: u64,
    /// By a visit of a snapshot, not by a record.
    pub visited: bool,
    /// The visit may have come in the middle of a change: what it shows is no evidence.
    pub raced: bool,
    pub set: SetId,
}

/// What is known of a task that is not kept (any more).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Departed {
    pub key: TaskKey,
    pub boot_ns: u64,
    /// It is dead; otherwise it lives in the initial namespaces only.
    pub exited: bool,
}

/// A process: those of its threads that are kept.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub tids: SmallVec<[u32; 4]>,
    /// The sets of these threads, each with how many of them have it.
    sets: SmallVec<[(SetId, u32); 1]>,
}

impl Process {
    /// Threads of the process that are members of `ns` of the type with this index, one thread of set `without` not counted.
    pub fn has_member(&self, sets: &Sets, of_type: usize, ns: NsIndex, without: Option<SetId>) -> bool {
        self.sets
            .iter()
            .any(|&(set, threads)| sets.get(set).slots[of_type] == ns && threads > u32::from(without == Some(set)))
    }

    pub fn sets(&self) -> impl Iterator<Item = SetId> + '_ {
        self.sets.iter().map(|&(set, _)| set)
    }

    fn add_set(&mut self, set: SetId) {
        match self.sets.iter_mut().find(|(s, _)| *s == set) {
            Some((_, threads)) => *threads += 1,
            None => self.sets.push((set, 1)),
        }
    }

    fn drop_set(&mut self, set: SetId) {
        if let Some(i) = self.sets.iter().position(|&(s, _)| s == set) {
            self.sets[i].1 -= 1;
            if self.sets[i].1 == 0 {
                self.sets.swap_remove(i);
            }
        }
    }
}

/// How many tasks that are not kept any more are remembered, for late and duplicate records about them.
const DEPARTED: usize = 4096;

#[derive(Debug)]
pub(super) struct Tasks {
    by_tid: FixedMap<u32, KnownTask>,
    processes: FixedMap<u32, Process>,
    /// Indexed by the low bits of the tid: a newer one takes the place of an older one.
    departed: Box<[Option<Departed>]>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            by_tid: FixedMap::default(),
            processes: FixedMap::default(),
            departed: vec![None; DEPARTED].into_boxed_slice(),
        }
    }
}

impl Tasks {
    pub fn get(&self, tid: u32) -> Option<&KnownTask> {
        self.by_tid.get(&tid)
    }

    pub fn get_mut(&mut self, tid: u32) -> Option<&mut KnownTask> {
        self.by_tid.get_mut(&tid)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &KnownTask> {
        self.by_tid.values()
    }

    /// In no order.
    pub fn processes(&self) -> impl Iterator<Item = (u32, &Process)> {
        self.processes.iter().map(|(&tgid, process)| (tgid, process))
    }

    pub fn process(&self, tgid: u32) -> Option<&Process> {
        self.processes.get(&tgid)
    }

    /// Puts a task where it is (now): a new one, or one that had `old`.
    pub fn put(&mut self, known: KnownTask, old: Option<SetId>) {
        let (tid, tgid, set) = (known.task.tid, known.task.tgid, known.set);
        let process = self.processes.entry(tgid).or_default();
        match old {
            Some(old) => process.drop_set(old),
            None => process.tids.push(tid),
        }
        process.add_set(set);
        self.by_tid.insert(tid, known);
    }

    /// Takes a task out.
    pub fn take(&mut self, tid: u32, exited: bool, boot_ns: u64) -> Option<KnownTask> {
        let known = self.by_tid.remove(&tid)?;
        if let Some(process) = self.processes.get_mut(&known.task.tgid) {
            if let Some(i) = process.tids.iter().position(|&t| t == tid) {
                process.tids.swap_remove(i);
            }
            process.drop_set(known.set);
            if process.tids.is_empty() {
                self.processes.remove(&known.task.tgid);
            }
        }
        self.depart(known.task.key(), exited, boot_ns);
        Some(known)
    }

    pub fn depart(&mut self, key: TaskKey, exited: bool, boot_ns: u64) {
        self.departed[key.tid as usize % DEPARTED] = Some(Departed { key, boot_ns, exited });
    }

    /// The same for a task that may have been remembered since.
    pub fn depart_unless_newer(&mut self, key: TaskKey, boot_ns: u64) {
        match self.departed(key) {
            Some(d) if d.boot_ns >= boot_ns => {}
            _ => self.depart(key, true, boot_ns),
        }
    }

    /// A thread goes on under the tid of its leader, with the set it has.
    pub fn rename(&mut self, tid: u32, leader: &TaskInfo, boot_ns: u64) {
        let Some(mut known) = self.by_tid.remove(&tid) else { return };
        self.depart(known.task.key(), true, boot_ns);
        known.task = leader.into();
        if let Some(process) = self.processes.get_mut(&leader.tgid)
            && let Some(place) = process.tids.iter_mut().find(|t| **t == tid)
        {
            *place = leader.key.tid;
        }
        self.by_tid.insert(leader.key.tid, known);
    }

    pub fn departed(&self, key: TaskKey) -> Option<Departed> {
        self.departed[key.tid as usize % DEPARTED].filter(|d| d.key.same_task(key))
    }

    /// All that are remembered.
    pub fn all_departed(&self) -> impl Iterator<Item = &Departed> {
        self.departed.iter().flatten()
    }

    pub fn shrink(&mut self) {
        self.by_tid.shrink_to_fit();
        self.processes.shrink_to_fit();
    }
}
