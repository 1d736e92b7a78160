//! The census of a moment that was recorded: what the model knew then. Keys are those of the stream.

use std::collections::HashMap;

use super::{
    Census, Holder,
    build::{Builder, HolderFact, Key, NamespaceFact, Object, TaskFact},
};
use crate::{
    model::World,
    ns::{NsName, Slot},
};

/// What no recording knows.
const MISSING: [&str; 3] = [
    "tasks that were in the initial namespaces only: nobody records them",
    "who held namespaces by sockets, mounts and descriptors, beyond that some nsfs file or bind mount did: ls and why on \
     the running system",
    "reference counts: the same",
];

/// Takes it. `boot_id`: of the recorded boot.
pub fn census(world: &World, boot_id: &str) -> Census {
    let mut builder = Builder::default();
    let key = |name: Option<NsName>| -> Key { name.and_then(|name| world.find(name)).map_or(0, |ns| ns.key().0) };
    for ns in world.namespaces() {
        if ns.is_initial() {
            builder.initial([ns.name().inum]);
        }
        let facts = ns.facts();
        builder.namespace(NamespaceFact {
            key: ns.key().0,
            name: ns.name(),
            owner: key(ns.owner()),
            parent: key(ns.parent()),
            ucounts: 0,
            mqueue: 0,
            mqueue_mount: 0,
            listing: 0,
            level: facts.and_then(|facts| facts.level),
            owner_uid: facts.and_then(|facts| facts.owner_uid),
            refs: None,
            segments: None,
        });
        if ns.is_pinned() {
            let holder = Holder::Other { at: None, what: "an nsfs file or bind mount" };
            builder.holder(HolderFact { ns: ns.key().0, holder, object: Object::Nsfs });
        }
    }
    let tasks = world.task_slots();
    for (task, slots) in &tasks {
        builder.task(TaskFact::without_objects(task, slots.map(|key| key.map_or(0, |key| key.0))));
    }
    let mut census = builder.finish();
    let containers: HashMap<u32, _> = tasks.iter().map(|(task, _)| (task.key.tid, world.container(task))).collect();
    for at in 0..census.namespaces.len() {
        let first = census.namespaces[at].first.map(|first| census.task(first).tid);
        census.namespaces[at].container = first.and_then(|tid| containers.get(&tid).cloned().flatten());
    }
    census.boot_id = boot_id.to_owned();
    census.missing = MISSING.map(str::to_owned).to_vec();
    census
}

/// The slots of a task are those of [`Slot::ALL`], here as there.
const _: () = assert!(Slot::ALL.len() == nstrace_common::slots::SLOTS);
