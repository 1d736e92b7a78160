//! The world as the events tell it: which namespaces live, who is in them, what holds them. Pure: no I/O, no clock.

mod attempts;
mod change;
mod checkpoint;
mod containers;
mod detection;
mod difference;
mod ends;
mod lifetimes;
mod log;
mod members;
mod mismatch;
mod moves;
mod namespaces;
mod pins;
mod resync;
mod sets;
mod snapshot;
mod tasks;

pub use change::{Cause, Change, Container, NsSeen, What};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use difference::{Changed, Difference, Member, State};
pub(crate) use mismatch::{Mismatch, is_by_itself};
pub use namespaces::{Creation, Namespace};

use serde::{Deserialize, Serialize};

use self::{
    attempts::Attempts,
    containers::Containers,
    lifetimes::{Maker, shown_since},
    log::Log,
    moves::Move,
    namespaces::Namespaces,
    resync::Resync,
    sets::{NONE, Sets, Slots},
    snapshot::Phase,
    tasks::Tasks,
};
use crate::{
    detect::Detectors,
    event::{Event, Stamp, Stamped, TaskInfo, TransitionAt, Via},
    ns::{NsName, NsType, Slot},
    policy::Policy,
};

/// A namespace of this stream: never reused, unlike its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NsKey(pub u64);

/// Hashes alike in every run: a replay is the same work as the watch it repeats.
type FixedMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

/// Everything known of namespaces and of the tasks in them.
///
/// Feed it the events of one stream in order. Until the start-up snapshot is complete ([`Event::SnapshotEnd`]) it
/// answers nothing; events of the kernel that come before are held and applied after.
#[derive(Debug)]
pub struct World {
    phase: Phase,
    log: Log,
    namespaces: Namespaces,
    sets: Sets,
    tasks: Tasks,
    /// Initial namespaces, per slot.
    initial: Slots,
    attempts: Attempts,
    suspects: Vec<NsKey>,
    detectors: Detectors,
    policy: Policy,
}

impl World {
    /// `container_of` tells the container from a cgroup path.
    pub fn new(container_of: fn(&str) -> Option<Container>) -> Self {
        Self {
            phase: Phase::default(),
            log: Log::new(Containers::new(container_of)),
            namespaces: Namespaces::default(),
            sets: Sets::default(),
            tasks: Tasks::default(),
            initial: [NONE; nstrace_common::slots::SLOTS],
            attempts: Attempts::default(),
            suspects: Vec::new(),
            detectors: Detectors::default(),
            policy: Policy::default(),
        }
    }

    /// From now on these rules and exceptions are in force.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// From now on none are; those that were.
    pub fn take_policy(&mut self) -> Policy {
        std::mem::take(&mut self.policy)
    }

    /// What the rules and exceptions have to say on stderr since the last call. Hostile.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.policy.take_notices()
    }

    /// Learns one event and appends what changed by it.
    pub fn apply(&mut self, event: &Stamped, out: &mut Vec<Change>) {
        let told = out.len();
        self.take_in(event, out);
        self.judge(event.stamp, told, out);
    }

    fn take_in(&mut self, event: &Stamped, out: &mut Vec<Change>) {
        let Stamped { stamp, ref event } = *event;
        match event {
            // What user space learns holds at any time.
            Event::CgroupPath { cgroup, path } => {
                self.log.containers.learn_cgroup(*cgroup, path);
                self.detectors.learn_cgroup(*cgroup, path);
                self.log.containers.sweep(self.tasks.iter().map(|t| (t.task.key().tid, t.task.cgroup())));
            }
            Event::TaskCgroupPath { task, path } => {
                self.log.containers.learn_task(*task, path);
                self.log.containers.sweep(self.tasks.iter().map(|t| (t.task.key().tid, t.task.cgroup())));
            }
            Event::Container(facts) => self.log.containers.learn_facts(facts),
            Event::Clock { utc_ns } if !self.log.has_clock() => self.log.set_clock(stamp.boot_ns, *utc_ns),
            Event::Initial { slots } => {
                for (i, slot) in Slot::ALL.into_iter().enumerate() {
                    if let Some(name) = slots.get(slot) {
                        self.initial[i] = self.initial_namespace(stamp, name, out);
                    }
                }
            }
            Event::SnapshotTask { task, slots } => self.snapshot_task(stamp, task, slots, out),
            Event::SnapshotPin { ns, holder } => self.snapshot_pin(stamp, *ns, holder, out),
            Event::Namespace(facts) if stamp.seq == 0 => self.snapshot_namespace(stamp, facts, out),
            Event::SnapshotEnd => self.snapshot_end(stamp, out),
            // Of a task that a snapshot visits: nothing that happens.
            Event::Placed(placed) if !placed.executed => self.stands(placed),
            _ => match &mut self.phase {
                Phase::Live => self.apply_live(stamp, event, out),
                Phase::Snapshot { held } | Phase::Resync(Resync { held, .. }) => {
                    held.push(Stamped { stamp, event: event.clone() });
                }
            },
        }
    }

    /// What the kernel said.
    fn apply_live(&mut self, stamp: Stamp, event: &Event, out: &mut Vec<Change>) {
        let told = out.len();
        let mismatch = self.mismatch(stamp, event);
        self.learn(stamp, event, out);
        if let (Some(mismatch), Event::Deed(_)) = (&mismatch, event) {
            // No other record need say where the task is now.
            self.move_task(&Move::elsewhere(stamp, &mismatch.task, &mismatch.now()), out);
        }
        self.detect(stamp, event, mismatch, told, out);
    }

    fn learn(&mut self, stamp: Stamp, event: &Event, out: &mut Vec<Change>) {
        match event {
            Event::Clock { utc_ns } => self.log.set_clock(stamp.boot_ns, *utc_ns),
            Event::Fork { call, creator, child, slots } => {
                self.move_task(&Move::fork(stamp, call, creator, child, slots), out);
            }
            Event::Transition { at, call, task, before, after, entered_boot_ns } => {
                if *at == TransitionAt::Copy {
                    return; // for a child that may never be: its Fork tells
                }
                if call.via == Via::Exec {
                    // The last thread enters its time namespace before the exec itself is told.
                    self.take_over_threads(stamp, task, out);
                }
                let maker = Maker { task, call, since: shown_since(stamp, *at, *entered_boot_ns) };
                self.move_task(&Move::transition(stamp, maker, before, after), out);
                if *at == TransitionAt::Return {
                    self.returned(stamp, call, task, out);
                }
            }
            Event::Return { call, task } => self.returned(stamp, call, task, out),
            Event::Install { call, task, ns } => self.installed(stamp, call, task, *ns, out),
            Event::Exec { task, slots, .. } => {
                self.take_over_threads(stamp, task, out);
                self.move_task(&Move::exec(stamp, task, slots), out);
            }
            Event::Exit { task, slots } => self.exit(stamp, task, slots, out),
            Event::Namespace(facts) => self.announced(stamp, facts),
            Event::Freed { inum, id, ns_type } => self.freed(stamp, *inum, *id, *ns_type, out),
            Event::Pinned { call, task, ns } => self.pinned(stamp, call, task, *ns, out),
            Event::Unpinned { call, task, ns } => self.unpinned(stamp, call, task, *ns, out),
            Event::Lost { count, hook, cgroup } => {
                let told = out.len();
                self.log.write(out, stamp, What::Lost { count: *count, hook: hook.clone() }, None, None);
                // Whose records they were: a container that floods the ring is named.
                if let (Some(change), Some(cgroup)) = (out.get_mut(told), cgroup) {
                    change.container = self.log.containers.of_cgroup(*cgroup);
                }
            }
            Event::Initial { .. }
            | Event::SnapshotTask { .. }
            | Event::SnapshotPin { .. }
            | Event::SnapshotEnd
            | Event::CgroupPath { .. }
            | Event::TaskCgroupPath { .. }
            | Event::Container(_)
            | Event::Placed(_)
            | Event::Deed(_)
            | Event::Accounted { .. } => {}
        }
    }

    /// The namespaces, other than the initial ones, that lost their last member or were made without any since the last
    /// call, and live without members still: where the kernel does not tell of their end, it has to be asked for.
    pub fn take_suspects(&mut self) -> Vec<NsName> {
        let mut keys = std::mem::take(&mut self.suspects);
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| self.namespace(key))
            .filter(|ns| !ns.initial && ns.nprocs == 0)
            .map(|ns| ns.name)
            .collect()
    }

    /// Something looks as if kernel memory had been written to, unless records were lost: the source has to be asked for an
    /// [`Event::Accounted`]. True once for each time that it has to be.
    pub fn take_doubt(&mut self) -> bool {
        self.detectors.take_doubt()
    }

    /// The first snapshot is complete, and no other one is coming in.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// UTC of a boot time, in nanoseconds, by the last clock anchor; 0 before the first one.
    pub fn utc_ns(&self, boot_ns: u64) -> i64 {
        self.log.utc_ns(boot_ns)
    }

    /// The container that a cgroup is of.
    pub fn whose_cgroup(&self, cgroup: u64) -> Option<std::sync::Arc<Container>> {
        self.log.containers.of_cgroup(cgroup)
    }

    /// The container a task belongs to.
    pub fn container(&self, task: &TaskInfo) -> Option<std::sync::Arc<Container>> {
        self.log.containers.of(task)
    }

    /// The namespaces that live, by type and inode number.
    pub fn namespaces(&self) -> Vec<&Namespace> {
        let mut all: Vec<&Namespace> = self.namespaces.iter().map(|(_, ns)| ns).collect();
        all.sort_unstable_by_key(|ns| (ns.name.ns_type, ns.name.inum));
        all
    }

    /// A namespace of this stream, while it lives.
    pub fn namespace(&self, key: NsKey) -> Option<&Namespace> {
        self.namespaces.by_key(key).map(|ns| self.namespaces.get(ns))
    }

    /// The namespace that a name stands for now.
    pub fn find(&self, name: NsName) -> Option<&Namespace> {
        self.namespaces.find(name).map(|ns| self.namespaces.get(ns))
    }

    /// The namespace of this type that every boot begins with.
    pub fn initial(&self, ns_type: NsType) -> Option<&Namespace> {
        let ns = self.initial[ns_type.index()];
        (ns != NONE).then(|| self.namespaces.get(ns))
    }

    /// The tasks that refer to a namespace other than the initial ones, by tid, with the namespaces they are members of
    /// (indexed by [`NsType::index`]).
    ///
    /// [`World::task_slots`] has the other slots too.
    pub fn tasks(&self) -> Vec<(TaskInfo, [Option<NsKey>; NsType::ALL.len()])> {
        let mut all: Vec<_> = self
            .tasks
            .iter()
            .map(|known| {
                let slots = &self.sets.get(known.set).slots;
                let key = |i: usize| (slots[i] != NONE).then(|| self.namespaces.get(slots[i]).key);
                (known.task.info(), std::array::from_fn(key))
            })
            .collect();
        all.sort_unstable_by_key(|(task, _)| task.key.tid);
        all
    }

    /// The same tasks with all their slots, in the order of [`Slot::ALL`].
    pub fn task_slots(&self) -> Vec<(TaskInfo, [Option<NsKey>; Slot::ALL.len()])> {
        let mut all: Vec<_> = self
            .tasks
            .iter()
            .map(|known| {
                let slots = self.sets.get(known.set).slots;
                (known.task.info(), slots.map(|ns| (ns != NONE).then(|| self.namespaces.get(ns).key)))
            })
            .collect();
        all.sort_unstable_by_key(|(task, _)| task.key.tid);
        all
    }
}
