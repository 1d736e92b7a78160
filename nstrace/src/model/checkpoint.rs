//! Everything a [`World`] knows, as data: to go on from the middle of a stream as if it had been read from its start.

use std::sync::Arc;

use nstrace_common::slots::SLOTS;
use serde::{Deserialize, Serialize};

use super::{
    Container, Creation, FixedMap, Namespace, NsKey, World,
    namespaces::{Release, Tentative},
    sets::{NONE, NsIndex, Slots},
    snapshot::Phase,
    tasks::{CompactTask, Departed, KnownTask},
};
use crate::{
    container::{ContainerFacts, Seat},
    detect::Detectors,
    event::{NsFacts, TaskKey},
    ns::{NsName, Slot},
};

/// Counters beyond this are no counters of ours: they could overflow.
const MANY: u64 = 1 << 62;

/// The state of a [`World`] after some event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    clock: Option<(u64, i64)>,
    last_seq: u64,
    last_key: u64,
    initial: [Option<NsKey>; SLOTS],
    namespaces: Vec<KeptNamespace>,
    tasks: Vec<KeptTask>,
    departed: Vec<Departed>,
    freed: Vec<(u32, u64)>,
    tentative: Vec<(NsFacts, u64)>,
    cgroups: Vec<(u64, KeptContainer)>,
    placed: Vec<(TaskKey, KeptContainer)>,
    #[serde(default)]
    seats: Vec<(u64, Seat)>,
    #[serde(default)]
    task_seats: Vec<(TaskKey, Seat)>,
    /// What engines told of containers.
    #[serde(default)]
    told: Vec<ContainerFacts>,
    sweep_at: usize,
    refused: Vec<(TaskKey, NsName, u64)>,
    reported: Vec<(TaskKey, u64)>,
    /// Of the detectors; absent in recordings that were made before there were any.
    #[serde(default)]
    detectors: Detectors,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptNamespace {
    key: NsKey,
    name: NsName,
    initial: bool,
    facts: Option<NsFacts>,
    creation: Option<Creation>,
    snapshot: bool,
    first_seen: u64,
    nprocs: u32,
    pinned: bool,
    pin_boot_ns: u64,
    #[serde(default)]
    found_boot_ns: Option<u64>,
    release: Option<Release>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptTask {
    task: CompactTask,
    boot_ns: u64,
    visited: bool,
    #[serde(default)]
    raced: bool,
    slots: [Option<NsKey>; SLOTS],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptContainer {
    runtime: String,
    id: String,
    pod: Option<String>,
}

/// Why data is no state of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("two of its namespaces have one number")]
    Twice,
    #[error("it names namespace {0}, which it does not have, or not of that type")]
    Unknown(u64),
    #[error("two of its tasks have the PID {0}")]
    Task(u32),
    #[error("its homes of tasks are not inside each other in the order in which they were made")]
    Homes,
    #[error("its counters are out of range")]
    Counter,
}

impl World {
    /// What is known now. None while a snapshot comes in: what is half known cannot be kept.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        if !matches!(self.phase, Phase::Live) {
            return None;
        }
        let keys = |slots: &Slots| slots.map(|ns| (ns != NONE).then(|| self.namespaces.get(ns).key));
        let mut namespaces: Vec<KeptNamespace> = self.namespaces.iter().map(|(_, ns)| ns.into()).collect();
        namespaces.sort_unstable_by_key(|ns| ns.key);
        let mut tasks: Vec<KeptTask> = self
            .tasks
            .iter()
            .map(|known| KeptTask {
                task: known.task.clone(),
                boot_ns: known.boot_ns,
                visited: known.visited,
                raced: known.raced,
                slots: keys(&self.sets.get(known.set).slots),
            })
            .collect();
        tasks.sort_unstable_by_key(|kept| kept.task.key().tid);
        let mut tentative: Vec<(NsFacts, u64)> =
            self.namespaces.tentative.values().map(|t| (t.facts, t.boot_ns)).collect();
        tentative.sort_unstable_by_key(|(facts, _)| facts.ns.inum);
        let containers = &self.log.containers;
        let mut cgroups: Vec<(u64, KeptContainer)> =
            containers.by_cgroup.iter().map(|(&cgroup, container)| (cgroup, (&**container).into())).collect();
        cgroups.sort_unstable_by_key(|(cgroup, _)| *cgroup);
        let mut placed: Vec<(TaskKey, KeptContainer)> =
            containers.by_task.values().map(|(task, container)| (*task, (&**container).into())).collect();
        placed.sort_unstable_by_key(|(task, _)| *task);
        let mut seats: Vec<_> = containers.seats.iter().map(|(&cgroup, seat)| (cgroup, seat.clone())).collect();
        seats.sort_unstable_by_key(|(cgroup, _)| *cgroup);
        let mut task_seats: Vec<_> = containers.task_seats.values().cloned().collect();
        task_seats.sort_unstable_by_key(|(task, _)| *task);
        let mut refused: Vec<_> = self.attempts.refused.values().copied().collect();
        refused.sort_unstable_by_key(|(task, ..)| *task);
        Some(Checkpoint {
            clock: self.log.anchor,
            last_seq: self.log.last_seq,
            last_key: self.namespaces.last_key,
            initial: keys(&self.initial),
            namespaces,
            tasks,
            departed: self.tasks.all_departed().copied().collect(),
            freed: self.namespaces.freed.iter().copied().filter(|freed| *freed != (0, 0)).collect(),
            tentative,
            cgroups,
            placed,
            seats,
            task_seats,
            told: containers.told.values().cloned().collect(),
            sweep_at: containers.sweep_at,
            refused,
            reported: self.attempts.reported.iter().copied().collect(),
            detectors: self.detectors.clone(),
        })
    }

    /// A world that goes on where [`World::checkpoint`] was taken.
    ///
    /// # Errors
    /// When the data cannot have come from there.
    pub fn restore(kept: Checkpoint, container_of: fn(&str) -> Option<Container>) -> Result<Self, CheckpointError> {
        let mut world = Self::new(container_of);
        let most = u32::try_from(kept.tasks.len()).unwrap_or(u32::MAX / 2).min(u32::MAX / 2);
        if kept.last_seq > MANY || kept.last_key > MANY || kept.namespaces.iter().any(|ns| ns.key.0 > kept.last_key) {
            return Err(CheckpointError::Counter);
        }
        (world.log.anchor, world.log.last_seq, world.log.silent) = (kept.clock, kept.last_seq, false);
        let mut index: FixedMap<NsKey, (NsIndex, NsName)> = FixedMap::default();
        for ns in kept.namespaces {
            if !ns.initial && ns.nprocs > most {
                return Err(CheckpointError::Counter);
            }
            let (key, name) = (ns.key, ns.name);
            if !world.namespaces.put_back(ns.restore(most)) {
                return Err(CheckpointError::Twice);
            }
            let at = world.namespaces.by_key(key).ok_or(CheckpointError::Unknown(key.0))?;
            index.insert(key, (at, name));
        }
        world.namespaces.last_key = kept.last_key;
        let slots = |keys: &[Option<NsKey>; SLOTS]| -> Result<Slots, CheckpointError> {
            let mut slots = [NONE; SLOTS];
            for (i, (slot, key)) in Slot::ALL.into_iter().zip(keys).enumerate() {
                if let Some(key) = key {
                    let (at, _) = index
                        .get(key)
                        .filter(|(_, name)| name.ns_type == slot.ns_type())
                        .ok_or(CheckpointError::Unknown(key.0))?;
                    slots[i] = *at;
                }
            }
            Ok(slots)
        };
        world.initial = slots(&kept.initial)?;
        for KeptTask { task, boot_ns, visited, raced, slots: keys } in kept.tasks {
            let slots = slots(&keys)?;
            let tid = task.key().tid;
            if world.tasks.get(tid).is_some() {
                return Err(CheckpointError::Task(tid));
            }
            let set = world.add_set(slots);
            world.tasks.put(KnownTask { task, boot_ns, visited, raced, set }, None);
        }
        for Departed { key, boot_ns, exited } in kept.departed {
            world.tasks.depart(key, exited, boot_ns);
        }
        for (inum, boot_ns) in kept.freed {
            world.namespaces.withdraw(inum, boot_ns);
        }
        for (facts, boot_ns) in kept.tentative {
            world.namespaces.tentative.insert(facts.ns.inum, Tentative { facts, boot_ns });
        }
        let containers = &mut world.log.containers;
        for (cgroup, container) in kept.cgroups {
            containers.by_cgroup.insert(cgroup, Arc::new(container.into()));
        }
        for (task, container) in kept.placed {
            containers.by_task.insert(task.tid, (task, Arc::new(container.into())));
        }
        containers.seats = kept.seats.into_iter().collect();
        containers.task_seats = kept.task_seats.into_iter().map(|(task, seat)| (task.tid, (task, seat))).collect();
        kept.told.iter().for_each(|facts| containers.learn_facts(facts));
        containers.sweep_at = containers.sweep_at.max(kept.sweep_at);
        for (task, ns, boot_ns) in kept.refused {
            world.attempts.refused.insert(task.tid, (task, ns, boot_ns));
        }
        world.attempts.reported = kept.reported.into();
        if !kept.detectors.is_sound() {
            return Err(CheckpointError::Homes);
        }
        world.detectors = kept.detectors;
        world.phase = Phase::Live;
        Ok(world)
    }
}

impl From<&Namespace> for KeptNamespace {
    fn from(ns: &Namespace) -> Self {
        Self {
            key: ns.key,
            name: ns.name,
            initial: ns.initial,
            facts: ns.facts.as_deref().copied(),
            creation: ns.creation.as_deref().cloned(),
            snapshot: ns.snapshot,
            first_seen: ns.first_seen,
            nprocs: ns.nprocs,
            pinned: ns.pinned,
            pin_boot_ns: ns.pin_boot_ns,
            found_boot_ns: ns.found_boot_ns,
            release: ns.release.as_deref().cloned(),
        }
    }
}

impl KeptNamespace {
    /// Without the sets that name it: those come with the tasks.
    fn restore(self, most: u32) -> Namespace {
        Namespace {
            key: self.key,
            name: self.name,
            initial: self.initial,
            facts: self.facts.map(Box::new),
            creation: self.creation.map(Box::new),
            snapshot: self.snapshot,
            first_seen: self.first_seen,
            sets: 0,
            nprocs: if self.initial { self.nprocs.min(most.max(1 << 20)) } else { self.nprocs },
            pinned: self.pinned,
            pin_boot_ns: self.pin_boot_ns,
            found_boot_ns: self.found_boot_ns,
            release: self.release.map(Box::new),
            holders: Vec::new(),
        }
    }
}

impl From<&Container> for KeptContainer {
    fn from(container: &Container) -> Self {
        Self { runtime: container.runtime.to_owned(), id: container.id.clone(), pod: container.pod.clone() }
    }
}

impl From<KeptContainer> for Container {
    fn from(kept: KeptContainer) -> Self {
        let runtime = Self::RUNTIMES.into_iter().find(|runtime| *runtime == kept.runtime);
        Self { runtime: runtime.unwrap_or("unknown"), id: kept.id, pod: kept.pod }
    }
}
