//! What the logs ask for against what was said, process by process; and what does not count as a difference, because a hook at
//! a call's return cannot tell it in time.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    expected::{Expected, Item},
    lives::Name,
};

/// What a hook at a call's return cannot tell in time. Other tasks run between what the call did and its return.
#[derive(Clone, Copy, Debug)]
pub struct Late<'a> {
    /// Namespaces that another task entered before: created via `unknown`.
    pub orphans: &'a HashSet<Name>,
}

/// What does not count as a difference, and how often there was any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerated {
    /// Records that came later than what followed from them.
    pub overtaken: u64,
}

impl Expected {
    /// Where the lines differ from what is expected. `late`: None when no hook is.
    pub fn differences(
        &self,
        said: &HashMap<(u32, &'static str), Vec<Item>>,
        late: Option<Late<'_>>,
    ) -> (BTreeSet<String>, Tolerated) {
        let none = Vec::new();
        let mute = self.mute(said);
        let (mut differences, mut tolerated) = (BTreeSet::new(), Tolerated::default());
        for key in self.items.keys().chain(said.keys().filter(|key| !self.items.contains_key(key))) {
            let (wanted, got) = (self.items.get(key).unwrap_or(&none), said.get(key).unwrap_or(&none));
            if self.excused.contains(&key.0) || mute.contains(&key.0) {
                continue;
            }
            // During execve the comm does not tell whose process it is: of another run, when no log ever named it.
            let by_exec = |item: &Item| matches!(item, Item::Change { via, .. } if via == "exec");
            if !self.named.contains(&key.0) && got.iter().all(by_exec) {
                continue;
            }
            let (mut wanted, mut got) = (sorted_exits(wanted), sorted_exits(got));
            // Threads in the initial namespaces alone are not followed, so whether the last one left is not known.
            if self.threaded.contains(&key.0) {
                let initial = |item: &Item| matches!(item, Item::Change { event: "left" | "joined", inum, .. } if self.initial.contains(inum));
                wanted.retain(|item| !initial(item));
                got.retain(|item| !initial(item));
            }
            if let Some(late) = late {
                tolerated.overtaken +=
                    drop_overtaken(&mut wanted, &mut got) + drop_orphans(key.1, &mut wanted, &got, late);
            }
            let equal = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(wanted, got)| wanted.allows(got));
            if !equal {
                let at = wanted.iter().zip(&got).take_while(|(wanted, got)| wanted.allows(got)).count();
                differences.insert(format!(
                    "process {} {}: {} lines expected, {} said; the first that differs is number {at}: expected {:?}, \
                     said {:?}",
                    key.0,
                    key.1,
                    wanted.len(),
                    got.len(),
                    wanted.get(at),
                    got.get(at)
                ));
            }
        }
        (differences, tolerated)
    }

    /// Processes that were killed before they could say who they are: no more of them than their parents told of, and they came
    /// and went, nothing else.
    fn mute(&self, said: &HashMap<(u32, &'static str), Vec<Item>>) -> HashSet<u32> {
        let unnamed = || said.iter().filter(|((pid, _), _)| !self.named.contains(pid));
        let came_or_went = |item: &Item| match item {
            Item::Change { event, via, .. } => {
                *event == "joined" && via != "setns" && via != "unshare" || *event == "left" && via == "exit"
            }
            Item::Denied { .. } => false,
        };
        let mut mute: HashSet<u32> = unnamed().map(|((pid, _), _)| *pid).collect();
        for ((pid, _), _) in unnamed().filter(|(_, items)| !items.iter().all(came_or_went)) {
            mute.remove(pid);
        }
        if mute.len() > self.mute { HashSet::new() } else { mute }
    }
}

/// Leaves out creations that were said to be by nobody knows whom, where `got` goes on without them: another namespace of that
/// number may have been told well in the same round.
fn drop_orphans(ns_type: &'static str, wanted: &mut Vec<Item>, got: &[Item], late: Late<'_>) -> u64 {
    let before = wanted.len();
    let mut said = got.iter().peekable();
    wanted.retain(|item| {
        let orphan = matches!(item, Item::Change { event: "created", via, inum, .. }
            if via == "unshare" && late.orphans.contains(&(ns_type, *inum)));
        let missing = orphan && !said.peek().is_some_and(|got| item.allows(got));
        if !missing {
            said.next();
        }
        !missing
    });
    (before - wanted.len()) as u64
}

/// Leaves out departures by a call that were said to be by an unknown one, on both sides. The kernel let go of the old
/// namespaces, and their numbers were in use again before the call returned: nstrace learns from the new owner of a number
/// that nobody can be in the old namespace any more.
fn drop_overtaken(wanted: &mut Vec<Item>, got: &mut Vec<Item>) -> u64 {
    let mut count = 0;
    let of = |item: &Item, wanted: u32| matches!(item, Item::Change { event: "left", inum, .. } if *inum == wanted);
    let unknown = |item: &Item| matches!(item, Item::Change { event: "left", via, .. } if via == "unknown");
    while let Some(at) = got.iter().position(unknown) {
        let Item::Change { inum, .. } = got[at] else { break };
        // The number may have come back: the same departure, counted from the first.
        let nth = got[..at].iter().filter(|item| of(item, inum)).count();
        let Some(asked) = wanted.iter().enumerate().filter(|(_, item)| of(item, inum)).nth(nth).map(|(i, _)| i) else {
            break;
        };
        if matches!(&wanted[asked], Item::Change { via, .. } if via == "exit") {
            break;
        }
        wanted.remove(asked);
        got.remove(at);
        count += 1;
    }
    count
}

/// In which order the threads of a process end is not told: neighbouring exits in one order.
fn sorted_exits(items: &[Item]) -> Vec<Item> {
    let is_exit = |item: &Item| matches!(item, Item::Change { event: "left", via, .. } if via == "exit");
    let mut items = items.to_vec();
    for run in items.chunk_by_mut(|a, b| is_exit(a) && is_exit(b)) {
        if run.len() > 1 {
            run.sort();
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::Record, walk::Walk};

    const INITIAL: [u32; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 5, 8];
    const UTS: usize = 2;

    fn change(event: &'static str, via: &str, flags: u64, inum: u32) -> Item {
        Item::Change { event, via: via.to_owned(), flags, inum }
    }

    /// A worker that goes from one UTS namespace to the next by unshare.
    fn wanderer(through: &[u32]) -> (Expected, Vec<Item>) {
        const NEWUTS: u64 = 0x0400_0000;
        let mut expected = Expected::default();
        expected.read(&Record::Worker { pid: 10, slots: INITIAL });
        let mut said = Vec::new();
        let mut before = INITIAL[UTS];
        for &inum in through {
            let mut after = INITIAL;
            after[UTS] = inum;
            let call = "unshare".to_owned();
            expected.read(&Record::Call { pid: 10, tid: 10, call, flags: NEWUTS, errno: None, after });
            for (event, inum) in [("created", inum), ("left", before), ("joined", inum)] {
                said.push(change(event, "unshare", NEWUTS, inum));
            }
            before = inum;
        }
        (expected, said)
    }

    fn found(expected: &Expected, said: Vec<Item>, orphans: Option<&[u32]>) -> usize {
        let orphans: Option<HashSet<Name>> = orphans.map(|inums| inums.iter().map(|inum| ("uts", *inum)).collect());
        let late = orphans.as_ref().map(|orphans| Late { orphans });
        expected.differences(&HashMap::from([((10, "uts"), said)]), late).0.len()
    }

    #[test]
    fn a_process_that_never_spoke_is_tolerated_when_its_parent_told_of_it() {
        for (told, went, tolerated) in [(1, "exit", 0), (0, "exit", 1), (1, "setns", 1)] {
            let mut expected = Expected::default();
            for _ in 0..told {
                expected.read(&Record::Killed { pid: None, parent: 9 });
            }
            assert_eq!(
                found(&expected, vec![change("joined", "fork", 0, 100), change("left", went, 0, 100)], None),
                tolerated
            );
        }
    }

    #[test]
    fn a_process_that_was_killed_before_its_parent_knew_it_is_buried_once() {
        let (mut expected, _) = wanderer(&[]);
        let born = |pid| Record::Born { pid, parent: 10, call: "fork".to_owned(), flags: 0, slots: INITIAL };
        expected.read(&born(11));
        expected.read(&born(12));
        expected.read(&Record::Killed { pid: None, parent: 10 });
        let mut walk = Walk::default();
        walk.members.insert(("uts", 1), BTreeSet::from([10]));
        assert_eq!(expected.unsaid_ends(&walk).len(), 1, "one of two was killed");
        assert_eq!(expected.unsaid_ends(&walk).len(), 1, "the other one has to be told");
    }

    #[test]
    fn what_was_said_as_asked_for_is_no_difference() {
        let (expected, said) = wanderer(&[100, 101, 100]);
        assert_eq!(found(&expected, said, None), 0);
    }

    #[test]
    fn every_line_that_is_missing_is_a_difference() {
        let (expected, said) = wanderer(&[100, 101, 100]);
        for missing in 0..said.len() {
            let mut said = said.clone();
            said.remove(missing);
            assert_eq!(found(&expected, said.clone(), None), 1, "line {missing}");
            // An orphan excuses the creations of its own number only.
            let excused = matches!(missing, 3);
            assert_eq!(found(&expected, said, Some(&[101])), usize::from(!excused), "line {missing}");
        }
    }

    #[test]
    fn a_line_said_twice_or_by_another_call_is_a_difference() {
        let (expected, said) = wanderer(&[100, 101]);
        for at in 0..said.len() {
            let mut twice = said.clone();
            twice.insert(at, said[at].clone());
            assert_eq!(found(&expected, twice, None), 1, "line {at}");
            let mut other = said.clone();
            if let Item::Change { via, .. } = &mut other[at] {
                "setns".clone_into(via);
            }
            assert_eq!(found(&expected, other, None), 1, "line {at}");
        }
    }

    /// The number of an orphan came back within the round: both creations were excused once, though one of them was told.
    #[test]
    fn an_orphan_excuses_no_creation_that_was_told() {
        let (expected, mut said) = wanderer(&[100, 101, 100]);
        said.remove(0);
        assert_eq!(found(&expected, said, Some(&[100])), 0);
    }

    #[test]
    fn a_departure_told_by_the_next_owner_of_a_number_is_tolerated_where_calls_are_seen_late() {
        let (expected, mut said) = wanderer(&[100, 101]);
        let left = said.remove(4);
        assert_eq!(left, change("left", "unshare", 0x0400_0000, 100));
        said.insert(2, change("left", "unknown", 0, 100));
        assert_eq!(found(&expected, said.clone(), Some(&[])), 0);
        assert_eq!(found(&expected, said, None), 1);
    }
}
