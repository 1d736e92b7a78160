//! Facts from `/proc` alone: the way without BPF. Keys are inode numbers, which no kernel address can be.

use std::collections::HashMap;

use super::build::{Builder, Key, NamespaceFact, TaskFact};
use crate::{
    discover::{Missed, Proc, ReadError},
    ns::{NsName, Slot},
};
use nstrace_common::task::PF_KTHREAD;

/// Adds every task that may be read, and the namespaces they refer to.
pub(super) fn tasks(proc: &Proc, builder: &mut Builder) -> Result<Missed, ReadError> {
    let scan = proc.tasks()?;
    let mut known: HashMap<u32, ()> = HashMap::new();
    for scanned in &scan.tasks {
        let mut slots: [Key; Slot::ALL.len()] = [0; Slot::ALL.len()];
        for (at, slot) in Slot::ALL.into_iter().enumerate() {
            let Some(name) = scanned.slots.get(slot) else { continue };
            slots[at] = name.inum.into();
            known.entry(name.inum).or_insert_with(|| builder.namespace(undescribed(name)));
        }
        let task = &scanned.task;
        builder.task(TaskFact {
            tid: task.key.tid,
            tgid: task.tgid,
            ppid: None,
            uid: task.uid,
            comm: task.comm,
            dead: false,
            kernel_thread: task.flags & PF_KTHREAD != 0,
            cgroup: task.cgroup,
            slots,
            nsproxy: 0,
            real_cred: 0,
            cred: 0,
            pid: 0,
            ucounts: 0,

            mm: (0, 0),
            groups: [(0, 0); 2],
            exe_cred: (0, 0),
        });
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
        listing: 0,
        level: None,
        owner_uid: None,
        refs: None,
        segments: None,
    }
}
