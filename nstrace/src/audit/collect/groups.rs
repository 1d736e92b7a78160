//! Which processes make a container: by cgroup and engine where they tell, and by namespaces and root directory where
//! nobody does; pure.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Named;

/// A process that may be part of one.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    pub pid: u32,
    /// Its number in its own pid namespace.
    pub own_pid: u32,
    pub start: u64,
    /// Innermost container of its cgroup, or what an engine says.
    pub named: Option<Named>,
    /// Its mount namespace, unless that is the initial one or unknown.
    pub own_mnt: Option<u32>,
    /// Its pid namespace, likewise.
    pub own_pid_ns: Option<u32>,
    /// Its root directory is the host's. None: not known.
    pub host_root: Option<bool>,
}

/// Processes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub named: Option<Named>,
    /// The host's root directory in a mount namespace of its own: a host service.
    pub sandbox: bool,
    pub init: u32,
    /// Ascending.
    pub pids: Vec<u32>,
}

/// Groups by their init.
pub fn group(candidates: &[Candidate]) -> Vec<Group> {
    let mut by_id: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        if let Some(named) = &candidate.named {
            by_id.entry(&named.id).or_default().push(candidate);
        }
    }
    // A process without a name that lives where a named container does was put there by somebody: it is part of it.
    let mut homes: HashMap<(Home, u32), &str> = HashMap::new();
    for (id, members) in &by_id {
        for member in members {
            for home in member.homes() {
                homes.entry(home).or_insert(id);
            }
        }
    }
    let mut nameless: Vec<&Candidate> = Vec::new();
    for candidate in candidates.iter().filter(|c| c.named.is_none() && c.own_mnt.is_some()) {
        match candidate.homes().find_map(|home| homes.get(&home)) {
            Some(id) => by_id.entry(id).or_default().push(candidate),
            None => nameless.push(candidate),
        }
    }
    let mut groups: Vec<Group> = by_id
        .into_values()
        .filter_map(|members| {
            let named = members.iter().find_map(|member| member.named.clone());
            let init = init(&members, named.as_ref().and_then(|named| named.pid))?.pid;
            Some(Group { named, sandbox: false, init, pids: pids(&members) })
        })
        .collect();
    groups.extend(by_home(nameless).into_values().filter_map(anonymous));
    groups.sort_by_key(|group| group.init);
    groups
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Home {
    Mnt,
    Pid,
}

impl Candidate {
    fn homes(&self) -> impl Iterator<Item = (Home, u32)> {
        let homes = [self.own_mnt.map(|inum| (Home::Mnt, inum)), self.own_pid_ns.map(|inum| (Home::Pid, inum))];
        homes.into_iter().flatten()
    }
}

/// Sets that share a mount or a pid namespace, by number.
fn by_home(nameless: Vec<&Candidate>) -> BTreeMap<usize, Vec<&Candidate>> {
    let mut sets: BTreeMap<usize, Vec<&Candidate>> = BTreeMap::new();
    let mut at: HashMap<(Home, u32), usize> = HashMap::new();
    for (number, candidate) in nameless.into_iter().enumerate() {
        let mut joined: Vec<usize> = candidate.homes().filter_map(|home| at.get(&home).copied()).collect();
        joined.sort_unstable();
        joined.dedup();
        let set = joined.first().copied().unwrap_or(number);
        for other in joined.into_iter().skip(1) {
            let moved = sets.remove(&other).unwrap_or_default();
            sets.entry(set).or_default().extend(moved);
            at.values_mut().filter(|at| **at == other).for_each(|at| *at = set);
        }
        sets.entry(set).or_default().push(candidate);
        for home in candidate.homes() {
            at.insert(home, set);
        }
    }
    sets
}

/// Process 1 of a pid namespace, else the oldest; `known`: what the engine says.
fn init<'c>(members: &[&'c Candidate], known: Option<u32>) -> Option<&'c Candidate> {
    let named = members.iter().find(|member| Some(member.pid) == known);
    named.or_else(|| members.iter().min_by_key(|m| (m.own_pid != 1, m.start, m.pid))).copied()
}

fn pids(members: &[&Candidate]) -> Vec<u32> {
    let mut pids: Vec<u32> = members.iter().map(|member| member.pid).collect();
    pids.sort_unstable();
    pids
}

fn anonymous(members: Vec<&Candidate>) -> Option<Group> {
    let first = init(&members, None)?;
    let sandbox = first.host_root == Some(true);
    // In a mount namespace of a container but still with the host's root: set-up code that goes on waiting.
    let inside: Vec<&Candidate> =
        members.into_iter().filter(|member| sandbox || member.host_root != Some(true)).collect();
    Some(Group { named: None, sandbox, init: first.pid, pids: pids(&inside) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str) -> Option<Named> {
        Some(Named { id: id.to_owned(), ..Named::default() })
    }

    fn candidate(pid: u32, mnt: u32, pid_ns: u32, host_root: bool) -> Candidate {
        let own = |inum: u32| (inum != 0).then_some(inum);
        Candidate {
            pid,
            own_pid: if pid_ns == 0 { pid } else { 1 },
            start: u64::from(pid),
            own_mnt: own(mnt),
            own_pid_ns: own(pid_ns),
            host_root: Some(host_root),
            ..Candidate::default()
        }
    }

    fn shown(groups: &[Group]) -> Vec<(u32, bool, &[u32])> {
        groups.iter().map(|group| (group.init, group.sandbox, group.pids.as_slice())).collect()
    }

    #[test]
    fn without_any_name() {
        let groups = group(&[
            candidate(10, 0, 0, true),
            candidate(20, 5, 0, true),
            candidate(21, 5, 0, true),
            candidate(30, 6, 0, false),
            candidate(31, 0, 9, true),
        ]);
        // Its own pid namespace alone makes no container.
        assert_eq!(shown(&groups), [(20, true, &[20, 21][..]), (30, false, &[30])]);
    }

    #[test]
    fn set_up_code_is_no_part_of_a_container() {
        let parent = candidate(40, 7, 0, true);
        let groups = group(&[parent, candidate(41, 7, 8, false), candidate(42, 77, 8, false)]);
        assert_eq!(shown(&groups), [(41, false, &[41, 42][..])]);
    }

    #[test]
    fn sets_grow_together() {
        let groups = group(&[
            candidate(50, 1, 0, false),
            candidate(51, 2, 3, false),
            candidate(52, 1, 3, false),
            candidate(53, 2, 0, false),
        ]);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].pids, [50, 51, 52, 53]);
    }

    #[test]
    fn names_first() {
        let of = |candidate: Candidate, id: &str| Candidate { named: named(id), ..candidate };
        let groups = group(&[
            of(candidate(60, 4, 4, false), "a"),
            of(candidate(61, 0, 0, true), "a"),
            candidate(62, 4, 0, false),
            of(candidate(63, 4, 4, false), "b"),
        ]);
        assert_eq!(shown(&groups), [(60, false, &[60, 61, 62][..]), (63, false, &[63])]);
        assert_eq!(groups[1].named, named("b"));
    }
}
