//! What keeps a namespace by what it is to others: its tasks, the namespaces below it, those it owns. Pure.

use std::collections::HashSet;

use super::{Holder, Namespace, NsIndex, Task, TaskIndex, build::TaskFact};
use crate::ns::{NsType, Slot};

/// Task, thread, zombie and pending holders; process counts. `tasks` has the threads of a process together, leader first.
pub(super) fn members(namespaces: &mut [Namespace], tasks: &[Task]) {
    room_for_members(namespaces, tasks);
    // Namespaces of one type that a process was counted in.
    let mut counted: Vec<NsIndex> = Vec::new();
    let mut start = 0;
    while start < tasks.len() {
        let end = start + tasks[start..].iter().take_while(|task| task.tgid == tasks[start].tgid).count();
        let leader = Some(&tasks[start]).filter(|task| task.is_leader());
        for t in NsType::ALL {
            let of_leader = leader.and_then(|task| task.member_of(t));
            counted.clear();
            for (i, task) in tasks.iter().enumerate().take(end).skip(start) {
                let Some(member) = task.member_of(t) else { continue };
                let ns = &mut namespaces[member.0];
                if !counted.contains(&member) {
                    counted.push(member);
                    ns.nprocs += 1;
                    ns.first.get_or_insert(TaskIndex(i));
                }
                let differs = of_leader != Some(member) || leader.is_some_and(|leader| leader.dead);
                if task.dead {
                    ns.holders.push(Holder::Zombie(TaskIndex(i)));
                } else if task.is_leader() {
                    ns.holders.push(Holder::Task(TaskIndex(i)));
                } else if differs {
                    ns.holders.push(Holder::Thread(TaskIndex(i)));
                }
            }
        }
        for t in [NsType::Pid, NsType::Time] {
            let slot = |task: &Task| pending(task, t);
            let of_leader = leader.and_then(slot);
            for (i, task) in tasks.iter().enumerate().take(end).skip(start) {
                if let Some(NsIndex(at)) = slot(task)
                    && (task.is_leader() || of_leader != Some(NsIndex(at)))
                {
                    namespaces[at].holders.push(Holder::Pending(TaskIndex(i)));
                }
            }
        }
        start = end;
    }
}

/// Makes room for the processes of each namespace at once.
fn room_for_members(namespaces: &mut [Namespace], tasks: &[Task]) {
    let mut rooms = vec![0; namespaces.len()];
    for task in tasks.iter().filter(|task| task.is_leader()) {
        NsType::ALL.into_iter().filter_map(|t| task.member_of(t)).for_each(|ns| rooms[ns.0] += 1);
    }
    for (ns, room) in namespaces.iter_mut().zip(rooms) {
        ns.holders.reserve_exact(room);
    }
}

/// The namespace that the task's children will live in, when it is another than its own.
fn pending(task: &Task, t: NsType) -> Option<NsIndex> {
    let at = Slot::ALL.iter().position(|slot| *slot == Slot::ForChildren(t))?;
    task.slots[at].filter(|&ns| Some(ns) != task.member_of(t))
}

/// References through nsproxy, cred and pid.
pub(super) fn references(namespaces: &mut [Namespace], tasks: &[Task], facts: &[TaskFact]) {
    // An nsproxy never changes, so whoever shares one says the same about it.
    let mut nsproxies: HashSet<u64, foldhash::fast::RandomState> = HashSet::default();
    for (task, fact) in tasks.iter().zip(facts) {
        let is_new = fact.nsproxy != 0 && nsproxies.insert(fact.nsproxy);
        for (number, slot) in Slot::ALL.into_iter().enumerate() {
            let Some(NsIndex(at)) = task.slots[number] else { continue };
            let accounts = &mut namespaces[at].accounts;
            match slot {
                Slot::Member(NsType::User) => {
                    if fact.ucounts != 0 {
                        accounts.ucounts.insert(fact.ucounts);
                    }
                    [fact.real_cred, fact.cred].into_iter().filter(|&c| c != 0).for_each(|c| accounts.creds.insert(c));
                }
                Slot::Member(NsType::Pid) if fact.pid != 0 => accounts.pids.insert(fact.pid),
                Slot::Member(NsType::Pid) => {}
                _ if is_new => {
                    // Ten slots.
                    accounts.nsproxies.insert((fact.nsproxy, u8::try_from(number).unwrap_or(u8::MAX)));
                }
                _ => {}
            }
        }
    }
}

/// Child and owned holders, each with its reference.
pub(super) fn structure(namespaces: &mut [Namespace]) {
    for i in 0..namespaces.len() {
        let (parent, owner) = (namespaces[i].parent, namespaces[i].owner);
        if let Some(NsIndex(parent)) = parent.filter(|&parent| parent != NsIndex(i)) {
            namespaces[parent].holders.push(Holder::Child(NsIndex(i)));
            namespaces[parent].accounts.below += 1;
        }
        // A user namespace's owner is its parent: one reference.
        if let Some(NsIndex(owner)) = owner.filter(|&owner| owner != NsIndex(i) && Some(owner) != parent) {
            namespaces[owner].holders.push(Holder::Owned(NsIndex(i)));
            namespaces[owner].accounts.below += 1;
        }
    }
}
