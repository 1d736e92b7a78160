//! `map pid`: every process with its PID at each level, translation both ways, what the inits ignore; pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    engine::{Engines, Named},
    inspect::{
        processes::{Process, ProcessTable},
        task::NsRef,
        user_tree::UserTree,
    },
    ns::{NsName, NsType},
};

use super::signals;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidNode {
    pub pid: u32,
    pub ppid: u32,
    /// From the reader's pid namespace down to its own.
    pub pids: Vec<u32>,
    /// Inode number of its pid namespace. None: a zombie has none any more, or it may not be seen.
    pub ns: Option<u32>,
    pub comm: String,
    pub state: char,
    pub zombie: bool,
    pub kernel_thread: bool,
    /// Process 1 of its pid namespace.
    pub init: bool,
    /// Orphans become its children though it is no init (PR_SET_CHILD_SUBREAPER): proved by a child older than itself.
    /// None: `/proc` does not tell.
    pub subreaper: Option<bool>,
    pub container: Option<Named>,
}

/// One pid namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidNs {
    pub ns: NsRef,
    /// None: the topmost one that can be seen.
    pub parent: Option<u32>,
    /// 0: the reader's own and what is on its level.
    pub level: usize,
    pub processes: usize,
    pub zombies: usize,
    pub init: Option<Init>,
    pub containers: Vec<Named>,
}

/// What process 1 of a pid namespace does with signals (pid_namespaces(7)): without a handler it gets none, from inside
/// not even SIGKILL and SIGSTOP; from an ancestor namespace these two do get through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Init {
    pub pid: u32,
    pub comm: String,
    /// Signals with a handler: the only ones that reach it.
    pub handles: Vec<String>,
    /// Signals that would end another process and are lost on this one, from wherever they come.
    pub deaf_to: Vec<String>,
    /// Of those it handles, the ones that wait (blocked).
    pub blocked: Vec<String>,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PidMap {
    pub namespaces: Vec<PidNs>,
    /// Ascending by PID.
    pub processes: Vec<PidNode>,
}

impl PidMap {
    /// `tree` has learned the pid namespaces.
    pub fn new(table: &ProcessTable, engines: &Engines, tree: &UserTree) -> Self {
        let adopts = adopters(table);
        let processes = table.iter().map(|p| node(p, engines, adopts.contains(&p.status.pid))).collect();
        Self { namespaces: namespaces(table, engines, tree), processes }
    }

    /// Only the processes in `ns` and below, and the namespaces they are in.
    pub fn restrict(&mut self, ns: u32) {
        let mut below = vec![ns];
        // Parents come before children in this list.
        for row in &self.namespaces {
            if row.parent.is_some_and(|parent| below.contains(&parent)) {
                below.push(row.ns.0.inum);
            }
        }
        self.namespaces.retain(|row| below.contains(&row.ns.0.inum));
        let members: Vec<u32> =
            self.processes.iter().filter(|p| p.ns.is_some_and(|ns| below.contains(&ns))).map(|p| p.pid).collect();
        self.processes.retain(|p| members.contains(&p.pid) || (p.zombie && members.contains(&p.ppid)));
    }
}

/// Processes that took over a child which is older than they are and that are no init of its namespace.
fn adopters(table: &ProcessTable) -> Vec<u32> {
    let adopted = table.iter().filter(|child| child.start != 0 && !child.status.kernel_thread);
    let mut found: Vec<u32> = adopted
        .filter_map(|child| {
            let parent = table.get(child.status.ppid)?;
            (parent.start > child.start && parent.status.own_pid() != 1).then_some(parent.status.pid)
        })
        .collect();
    found.dedup();
    found
}

fn node(process: &Process, engines: &Engines, adopter: bool) -> PidNode {
    let status = &process.status;
    PidNode {
        pid: status.pid,
        ppid: status.ppid,
        pids: status.pids.clone(),
        ns: process.member(NsType::Pid).map(|ns| ns.inum),
        comm: status.name.clone(),
        state: status.state,
        zombie: status.is_zombie(),
        kernel_thread: status.kernel_thread,
        init: status.own_pid() == 1,
        subreaper: adopter.then_some(true),
        container: process.containers().pop().map(|container| engines.name(container)),
    }
}

/// Pid namespaces with a member and all above them, parents first.
fn namespaces(table: &ProcessTable, engines: &Engines, tree: &UserTree) -> Vec<PidNs> {
    let mut rows: BTreeMap<u32, PidNs> = BTreeMap::new();
    let row = |ns: NsName, level: usize| PidNs {
        ns: NsRef(tree.named(NsType::Pid, ns.inum)),
        parent: tree.parent(ns),
        level,
        processes: 0,
        zombies: 0,
        init: None,
        containers: Vec::new(),
    };
    for process in table.iter() {
        let Some(mut ns) = process.member(NsType::Pid) else { continue };
        let mut level = process.status.pids.len() - 1;
        let own = rows.entry(ns.inum).or_insert_with(|| row(ns, level));
        own.processes += 1;
        if process.status.own_pid() == 1 {
            own.init = Some(init(process));
        }
        if let Some(container) = process.containers().pop() {
            let named = engines.name(container);
            if !own.containers.iter().any(|other| other.id == named.id) {
                own.containers.push(named);
            }
        }
        while let (Some(parent), Some(above)) = (tree.parent(ns), level.checked_sub(1)) {
            (ns, level) = (tree.named(NsType::Pid, parent), above);
            rows.entry(parent).or_insert_with(|| row(ns, level));
        }
    }
    for zombie in table.iter().filter(|p| p.status.is_zombie()) {
        // It has left its namespaces; its parent's is where it waits.
        if let Some(ns) = table.get(zombie.status.ppid).and_then(|parent| parent.member(NsType::Pid))
            && let Some(row) = rows.get_mut(&ns.inum)
        {
            row.zombies += 1;
        }
    }
    let mut rows: Vec<PidNs> = rows.into_values().collect();
    rows.sort_by_key(|row| (row.level, row.ns.0.inum));
    rows
}

fn init(process: &Process) -> Init {
    let signals = process.status.signals;
    Init {
        pid: process.status.pid,
        comm: process.status.name.clone(),
        handles: signals::names(signals.caught),
        deaf_to: signals::names(signals::DEADLY & !signals.caught),
        blocked: signals::names(signals.blocked & signals.caught),
    }
}

/// A process found by translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Translation {
    pub pid: u32,
    pub comm: String,
    pub levels: Vec<crate::inspect::task::PidAt>,
    pub container: Option<Named>,
}

/// The PIDs of a process at all levels. None: there is no such process.
pub fn translate(table: &ProcessTable, engines: &Engines, tree: &UserTree, pid: u32) -> Option<Translation> {
    let process = table.get(pid)?;
    let mut at = process.member(NsType::Pid);
    let mut levels = Vec::new();
    for &pid in process.status.pids.iter().rev() {
        levels.push(crate::inspect::task::PidAt { ns: at.map(|ns| NsRef(tree.named(NsType::Pid, ns.inum))), pid });
        at = at.and_then(|ns| tree.parent(ns)).map(|inum| tree.named(NsType::Pid, inum));
    }
    levels.reverse();
    Some(Translation {
        pid,
        comm: process.status.name.clone(),
        levels,
        container: process.containers().pop().map(|container| engines.name(container)),
    })
}

/// The process that is `pid` in the pid namespace `ns`, on the reader's level.
pub fn reverse(table: &ProcessTable, tree: &UserTree, ns: u32, pid: u32) -> Option<u32> {
    let found = table.iter().find(|process| {
        let mut at = process.member(NsType::Pid);
        process.status.pids.iter().rev().any(|&level| {
            let here = at.is_some_and(|at| at.inum == ns);
            at = at.and_then(|ns| tree.parent(ns)).map(|inum| tree.named(NsType::Pid, inum));
            here && level == pid
        })
    });
    // A zombie has no namespace any more; its parent has.
    let zombie = || {
        table.iter().find(|p| {
            p.status.is_zombie()
                && p.status.own_pid() == pid
                && table
                    .get(p.status.ppid)
                    .and_then(|parent| parent.member(NsType::Pid))
                    .is_some_and(|at| at.inum == ns)
        })
    };
    found.or_else(zombie).map(|process| process.status.pid)
}
