//! Facts from `/proc` alone: the way without BPF. Keys are inode numbers, which no kernel address can be.

use std::collections::HashSet;

use super::build::{Builder, Key, NamespaceFact, TaskFact};
use crate::{
    discover::{Missed, Proc, ReadError},
    ns::{NsName, Slot},
};

/// Adds every task that may be read, and the namespaces they refer to.
pub(super) fn tasks(proc: &Proc, builder: &mut Builder) -> Result<Missed, ReadError> {
    let scan = proc.tasks()?;
    let mut known = HashSet::new();
    for scanned in &scan.tasks {
        let mut slots: [Key; Slot::ALL.len()] = [0; Slot::ALL.len()];
        for (at, slot) in Slot::ALL.into_iter().enumerate() {
            let Some(name) = scanned.slots.get(slot) else { continue };
            slots[at] = name.inum.into();
            if known.insert(name.inum) {
                builder.namespace(undescribed(name));
            }
        }
        builder.task(TaskFact::without_objects(&scanned.task, slots));
    }
    Ok(scan.missed)
}

/// A namespace of which only the name is known.
pub(super) fn undescribed(name: NsName) -> NamespaceFact {
    NamespaceFact {
        key: name.inum.into(),
        name,
        owner: 0,
        parent: 0,
        ucounts: 0,
        mqueue: 0,
        mqueue_mount: 0,
        listing: 0,
        level: None,
        owner_uid: None,
        refs: None,
        segments: None,
    }
}
