//! Birth and death of namespaces: which generation of an inode number a name means, what publishes one, what ends it.

use nstrace_common::slots::{TIME, TIME_FOR_CHILDREN};

use super::{
    Cause, Change, What, World,
    members::{Causes, Place, Step, Tell},
    namespaces::{Creation, Lookup, Release},
    sets::{NONE, NsIndex},
};
use crate::{
    event::{Call, NsFacts, Stamp, TaskInfo, TransitionAt, Via},
    ns::{NsName, NsType},
};

/// The call that made a namespace, if it is a new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maker<'a> {
    /// The caller: the parent, for clone.
    pub task: &'a TaskInfo,
    pub call: &'a Call,
    /// Boot time before which nobody can have seen what the call makes, nanoseconds. What was seen before is another namespace.
    pub since: u64,
}

/// unshare(2) gives a task its new credentials after its other new namespaces, which name the user namespace as their owner: it
/// can be seen so long before, nanoseconds. Also what stands for the length of a call whose entry was not seen.
const COMMITTING: u64 = 10_000_000;

/// From when on what a call makes can have been seen, by where its record comes from.
pub(super) fn shown_since(stamp: Stamp, at: TransitionAt, entered_boot_ns: Option<u64>) -> u64 {
    match at {
        TransitionAt::Switch | TransitionAt::Copy => stamp.boot_ns,
        TransitionAt::Creds | TransitionAt::Return => {
            entered_boot_ns.unwrap_or(stamp.boot_ns.saturating_sub(COMMITTING))
        }
    }
}

impl Maker<'_> {
    fn creation(&self, stamp: Stamp) -> Box<Creation> {
        Box::new(Creation::new(stamp.boot_ns, self.call.via, self.call.flags, self.task))
    }
}

impl World {
    /// The namespace that `name` means at `stamp`. One that was not known is published: by `maker`, the call that made
    /// it if it is new, or else by an unknown call.
    ///
    /// None for a name that contradicts what is certain: the number of an initial namespace under another type, or a
    /// record older than the present meaning of the number.
    pub(super) fn resolve(
        &mut self,
        stamp: Stamp,
        name: NsName,
        maker: Option<&Maker<'_>>,
        out: &mut Vec<Change>,
    ) -> Option<NsIndex> {
        match self.namespaces.lookup(name) {
            Lookup::Absent if self.namespaces.is_freed(name.inum, stamp.boot_ns) => return None,
            Lookup::Absent => {}
            Lookup::Other(ns) if self.namespaces.get(ns).first_seen > stamp.boot_ns => return None,
            Lookup::Other(ns) if self.namespaces.get(ns).initial => return None,
            Lookup::Other(ns) => self.displace(stamp, ns, out),
            Lookup::Live { ns, by_id } => {
                let known = self.namespaces.get(ns);
                // The kernel has just made a namespace of this number. One whose origin is known, or that was seen before that
                // could be, is another one, whose end was lost. Else it is this one: another task's record (it joined through
                // /proc) came before that of the maker.
                if stamp.boot_ns < known.first_seen && !by_id && !known.snapshot && !known.initial {
                    return None;
                }
                let is_older = maker.is_some_and(|maker| {
                    let has_past = known.snapshot || known.creation.is_some() || known.was_seen_before(maker.since);
                    has_past && known.first_seen < stamp.boot_ns
                });
                if by_id || known.initial || !is_older {
                    self.recognise(stamp, ns, name, maker);
                    return Some(ns);
                }
                self.displace(stamp, ns, out);
            }
        }
        Some(self.publish(stamp, name, maker, out))
    }

    /// A name means this namespace: it may tell more about it.
    fn recognise(&mut self, stamp: Stamp, ns: NsIndex, name: NsName, maker: Option<&Maker<'_>>) {
        let silent = self.log.silent;
        let announced = self.namespaces.announced(name).copied();
        let known = self.namespaces.get_mut(ns);
        if known.initial {
            known.name.id = known.name.id.or(name.id);
            return;
        }
        if let Some(maker) = maker
            && known.creation.is_none()
        {
            known.creation = Some(maker.creation(stamp));
        }
        if silent {
            known.first_seen = known.first_seen.min(stamp.boot_ns);
        }
        known.name.id = known.name.id.or(name.id);
        if known.facts.is_none() {
            known.facts = announced.map(Box::new);
        }
    }

    fn publish(&mut self, stamp: Stamp, name: NsName, maker: Option<&Maker<'_>>, out: &mut Vec<Change>) -> NsIndex {
        let ns = self.namespaces.add(name, stamp.boot_ns, false, self.log.silent);
        let entry = self.namespaces.get_mut(ns);
        entry.creation = maker.map(|m| m.creation(stamp));
        let what = What::Created { ns: entry.seen(), owner: entry.owner(), parent: entry.parent() };
        let cause = maker.map_or(Cause::UNKNOWN, |m| m.call.into());
        self.suspect(ns);
        self.log.write(out, stamp, what, maker.map(|m| m.task), Some(cause));
        ns
    }

    /// A call seen late: what it made is known already (from a visit of the snapshot), by whom is new.
    pub(super) fn note_birth(&mut self, stamp: Stamp, name: NsName, maker: &Maker<'_>) {
        if let Some(ns) = self.namespaces.find(name) {
            let known = self.namespaces.get_mut(ns);
            if !known.initial && known.creation.is_none() && known.first_seen >= stamp.boot_ns {
                known.creation = Some(maker.creation(stamp));
            }
        }
    }

    /// The kernel described a namespace that a record is about to show.
    pub(super) fn announced(&mut self, stamp: Stamp, facts: &NsFacts) {
        if self.namespaces.is_freed(facts.ns.inum, stamp.boot_ns) {
            return;
        }
        if let Some(ns) = self.namespaces.find(facts.ns) {
            let known = self.namespaces.get_mut(ns);
            if known.facts.as_deref() == Some(facts) || known.initial {
                return;
            }
            // Of a namespace known by number only this may yet be the next generation: then the facts are wanted again.
            if known.facts.is_none() {
                known.facts = Some(Box::new(*facts));
            }
        }
        self.namespaces.announce(*facts, stamp.boot_ns);
    }

    /// One of the namespaces that every boot begins with.
    pub(super) fn initial_namespace(&mut self, stamp: Stamp, name: NsName, out: &mut Vec<Change>) -> NsIndex {
        match self.namespaces.lookup(name) {
            Lookup::Live { ns, .. } => {
                let known = self.namespaces.get_mut(ns);
                (known.initial, known.first_seen) = (true, 0);
                known.name.id = known.name.id.or(name.id);
                return ns;
            }
            Lookup::Other(ns) => self.displace(stamp, ns, out),
            Lookup::Absent => {}
        }
        self.namespaces.add(name, 0, true, true)
    }

    /// The kernel gave a number back (`proc_free_inum`), or `source` found out that it must have.
    pub(super) fn freed(
        &mut self,
        stamp: Stamp,
        inum: u32,
        id: Option<u64>,
        ns_type: Option<NsType>,
        out: &mut Vec<Change>,
    ) {
        self.namespaces.withdraw(inum, stamp.boot_ns);
        let Some(ns) = self.namespaces.by_inum(inum) else { return };
        let known = self.namespaces.get(ns);
        let other_id = known.name.id.zip(id).is_some_and(|(a, b)| a != b);
        if known.initial || other_id || stamp.boot_ns < known.first_seen {
            return;
        }
        if known.name.ns_type == NsType::Time {
            self.expect_exec(stamp, ns, out);
        }
        let known = self.namespaces.get(ns);
        // Of another type: the end of the one that is known was lost, but so it ended.
        let lost = ns_type.is_some_and(|t| t != known.name.ns_type);
        let name = known.name;
        // Tasks that were seen in it later are in the next generation, made while a snapshot went round.
        let (inside, next): (Vec<u32>, Vec<u32>) = self
            .tasks_with(ns)
            .into_iter()
            .partition(|&tid| self.tasks.get(tid).is_none_or(|known| known.boot_ns <= stamp.boot_ns));
        let next_seen = next.iter().filter_map(|&tid| self.tasks.get(tid)).map(|known| known.boot_ns).min();
        let moved = self.take_out(stamp, &next, ns, out);
        self.take_out(stamp, &inside, ns, out);
        self.retire(stamp, ns, lost || !inside.is_empty(), out);
        if let Some(next_seen) = next_seen {
            let successor = self.publish(stamp, NsName { id: None, ..name }, None, out);
            let entry = self.namespaces.get_mut(successor);
            (entry.snapshot, entry.first_seen) = (true, next_seen);
            self.put_back(stamp, moved, ns, successor, out);
        }
    }

    /// A time namespace has ended. execve(2) lets go of it some time before it is told; other calls are told before they let
    /// go of anything. So who is still inside, with another one for its children, is on the way to that by execve.
    fn expect_exec(&mut self, stamp: Stamp, ns: NsIndex, out: &mut Vec<Change>) {
        for tid in self.tasks_with(ns) {
            let known = self.tasks.get(tid).filter(|known| known.boot_ns <= stamp.boot_ns);
            let Some((info, set)) = known.map(|known| (known.task.info(), known.set)) else { continue };
            let mut slots = self.sets.get(set).slots;
            let next = slots[TIME_FOR_CHILDREN];
            if slots[TIME] != ns || next == ns || next == NONE {
                continue;
            }
            slots[TIME] = next;
            let causes = Causes::all(Cause::by(Via::Exec));
            let step = Step { stamp, visit: false, task: &info, tell: Tell::Everything, causes };
            self.settle(step, Some(set), Place::Slots(slots), out);
        }
    }

    /// The number of a namespace stands for another one now: its end, and that of its members, was lost.
    fn displace(&mut self, stamp: Stamp, ns: NsIndex, out: &mut Vec<Change>) {
        let inside = self.tasks_with(ns);
        self.take_out(stamp, &inside, ns, out);
        self.retire(stamp, ns, !inside.is_empty(), out);
    }

    /// The tasks that refer to it, by tid. Walks over all tasks: only for what was lost.
    fn tasks_with(&self, ns: NsIndex) -> Vec<u32> {
        if self.namespaces.get(ns).sets == 0 {
            return Vec::new();
        }
        let mut tids: Vec<u32> = self
            .tasks
            .iter()
            .filter(|known| self.sets.get(known.set).slots.contains(&ns))
            .map(|known| known.task.key().tid)
            .collect();
        tids.sort_unstable();
        tids
    }

    /// Forgets a namespace that no task refers to. `lost`: nobody knows how it ended.
    pub(super) fn retire(&mut self, stamp: Stamp, ns: NsIndex, lost: bool, out: &mut Vec<Change>) {
        let known = self.namespaces.get_mut(ns);
        // What files and mounts hold does not end, so the last of them went unseen.
        let held = std::mem::take(&mut known.pinned);
        if held {
            let what = What::Unpinned { ns: known.seen() };
            self.log.write(out, stamp, what, None, Some(Cause::UNKNOWN));
        }
        let known = self.namespaces.get_mut(ns);
        let lifetime_ns = known.creation.as_ref().map(|c| stamp.boot_ns.saturating_sub(c.boot_ns));
        let what = What::Destroyed { ns: known.seen(), lifetime_ns };
        let release = known.release.take().filter(|_| !lost && !held);
        let above = [known.owner(), known.parent()];
        let (task, cause) = match &release {
            Some(r) => (r.task.as_ref().map(super::tasks::CompactTask::info), r.cause()),
            None => (None, Cause::UNKNOWN),
        };
        self.log.write(out, stamp, what, task.as_ref(), Some(cause));
        self.namespaces.remove(ns);
        // It held its owner and its parent.
        for name in above.into_iter().flatten() {
            if let Some(ns) = self.namespaces.find(name) {
                self.released(stamp, ns, task.as_ref(), cause);
            }
        }
    }

    /// A reference was let go, by `task` if that is known. The last of these is what ended the namespace.
    pub(super) fn released(&mut self, stamp: Stamp, ns: NsIndex, task: Option<&TaskInfo>, cause: Cause) {
        let known = self.namespaces.get_mut(ns);
        if !known.initial && known.release.as_ref().is_none_or(|last| last.boot_ns <= stamp.boot_ns) {
            let Cause { via, flags, .. } = cause;
            known.release = Some(Box::new(Release { boot_ns: stamp.boot_ns, task: task.map(Into::into), via, flags }));
            self.suspect(ns);
        }
    }

    /// Its end may come without a record ([`World::take_suspects`]).
    fn suspect(&mut self, ns: NsIndex) {
        let known = self.namespaces.get(ns);
        if known.nprocs > 0 || known.initial {
            return;
        }
        if self.suspects.len() >= 2 * self.namespaces.len() + 64 {
            // Nobody asks for them (the kernel tells by itself), or not often.
            let namespaces = &self.namespaces;
            self.suspects.sort_unstable();
            self.suspects.dedup();
            self.suspects.retain(|&key| namespaces.by_key(key).is_some());
        }
        self.suspects.push(self.namespaces.get(ns).key);
    }
}

impl Release {
    fn cause(&self) -> Cause {
        Cause { flags: self.flags, ..Cause::by(self.via) }
    }
}

/// Which of the ways to make a task or to move one make namespaces by their flags. The flags of setns(2) only look alike.
pub(super) const fn makes_namespaces(via: Via) -> bool {
    matches!(via, Via::Clone | Via::Clone3 | Via::Unshare)
}
