//! Tasks change namespaces: from what a record shows of a task to who joined and who left.

use nstrace_common::slots::{CLONE_NEW_ANY, SLOTS, TIME, TYPES};

use super::{
    Cause, Change, What, World,
    lifetimes::{Maker, makes_namespaces},
    sets::{NONE, NsIndex, SetId, Slots},
    snapshot::Phase,
    tasks::KnownTask,
};
use crate::{
    event::{Call, SlotSet, Stamp, TaskInfo, Via},
    ns::{NsName, NsType, Slot},
};

/// A task is where `after` says.
#[derive(Debug)]
pub(super) struct Move<'a> {
    stamp: Stamp,
    task: &'a TaskInfo,
    /// Where it was, if the record says so.
    before: Option<&'a SlotSet>,
    after: &'a SlotSet,
    /// What brings the task there; of slots that are not in `by_call` the way is unknown (records were lost).
    cause: Cause,
    by_call: [bool; SLOTS],
    /// The call that makes namespaces, of the types in `makes`.
    maker: Option<Maker<'a>>,
    makes: u64,
    /// The maker of a new task; its namespaces are a good guess for those of the child.
    creator: Option<&'a TaskInfo>,
}

impl<'a> Move<'a> {
    pub fn fork(stamp: Stamp, call: &'a Call, creator: &'a TaskInfo, child: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        Self {
            maker: Some(Maker { task: creator, call }),
            makes: call.flags & CLONE_NEW_ANY,
            creator: Some(creator),
            by_call: [true; SLOTS],
            cause: call.into(),
            ..Self::seen(stamp, child, slots)
        }
    }

    pub fn transition(
        stamp: Stamp,
        call: &'a Call,
        task: &'a TaskInfo,
        before: &'a SlotSet,
        after: &'a SlotSet,
    ) -> Self {
        let failed = call.errno.is_some();
        Self {
            before: Some(before),
            maker: Some(Maker { task, call }),
            makes: if makes_namespaces(call.via) && !failed { call.flags & CLONE_NEW_ANY } else { 0 },
            by_call: Slot::ALL
                .map(|slot| !failed && (before.get(slot) != after.get(slot) || before.get(slot).is_none())),
            cause: call.into(),
            ..Self::seen(stamp, task, after)
        }
    }

    /// execve(2) moves a task into its `time_for_children` (6.3+), nothing else.
    pub fn exec(stamp: Stamp, task: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        let mut by_call = [false; SLOTS];
        by_call[TIME] = true;
        Self { by_call, cause: Cause::by(Via::Exec), ..Self::seen(stamp, task, slots) }
    }

    /// A visit found it there.
    pub fn seen(stamp: Stamp, task: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        Self {
            stamp,
            task,
            before: None,
            after: slots,
            cause: Cause::UNKNOWN,
            by_call: [false; SLOTS],
            maker: None,
            makes: 0,
            creator: None,
        }
    }

    fn maker_of(&self, ns_type: NsType) -> Option<&Maker<'a>> {
        self.maker.as_ref().filter(|_| self.makes & ns_type.clone_flag() != 0)
    }
}

/// What a record about a task finds.
#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Something newer is known.
    Stale,
    /// The task is not known.
    Unknown,
    /// It was seen in the initial namespaces only.
    Initial,
    Known(SetId),
}

/// Which of the namespaces joined and left are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tell {
    Nothing,
    /// All but the initial ones.
    Foreign,
    Everything,
}

/// Causes of leaving and joining, per slot.
type Causes = [(Cause, Cause); SLOTS];

impl World {
    pub(super) fn move_task(&mut self, m: &Move<'_>, out: &mut Vec<Change>) {
        let (tid, boot_ns) = (m.task.key.tid, m.stamp.boot_ns);
        let standing = self.standing(m.stamp, m.task, out);
        let initial = match standing {
            Standing::Stale => return self.note_births(m),
            Standing::Known(set) => {
                if self.sets.matches(set, m.after) {
                    if let Some(known) = self.tasks.get_mut(tid) {
                        (known.task, known.boot_ns) = (m.task.into(), boot_ns);
                    }
                    return;
                }
                false
            }
            Standing::Unknown | Standing::Initial => self.is_initial(m.after),
        };
        if initial && !self.keeps_initial() && m.before.is_none_or(|before| self.is_initial(before)) {
            return;
        }
        match standing {
            Standing::Initial => self.settle(m.stamp, m.task, None, Some(self.initial), Tell::Nothing, &NO_CAUSE, out),
            Standing::Unknown => {
                if let Some(before) = m.before {
                    let slots = self.resolve_all(m.stamp, before, &{ self.initial }, &[NONE; SLOTS], |_| None, out);
                    self.settle(m.stamp, m.task, None, Some(slots), Tell::Nothing, &NO_CAUSE, out);
                }
            }
            Standing::Known(_) | Standing::Stale => {}
        }

        let old = self.tasks.get(tid).map(|known| known.set);
        let unreadable = old.map_or([NONE; SLOTS], |set| self.sets.get(set).slots);
        let guess = match (old, m.creator.and_then(|creator| self.tasks.get(creator.key.tid))) {
            (Some(_), _) => unreadable,
            (None, Some(creator)) => self.sets.get(creator.set).slots,
            (None, None) => self.initial,
        };
        let slots = self.resolve_all(m.stamp, m.after, &guess, &unreadable, |ns_type| m.maker_of(ns_type), out);

        // Resolving may have ended namespaces, so look again.
        let old = self.tasks.get(tid).map(|known| known.set);
        let causes = self.causes(m, old);
        let tell = if old.is_some() { Tell::Everything } else { Tell::Foreign };
        self.settle(m.stamp, m.task, old, Some(slots), tell, &causes, out);
        self.forget_initial(tid);
    }

    /// The task is dying: it leaves everything.
    pub(super) fn exit(&mut self, stamp: Stamp, task: &TaskInfo, slots: &SlotSet, out: &mut Vec<Change>) {
        let tid = task.key.tid;
        // An end is an end, however old its record is; but a leader lives again when one of its threads called execve.
        let departed = self.tasks.departed(task.key);
        if departed.is_some_and(|d| d.exited && d.boot_ns >= stamp.boot_ns) {
            return;
        }
        let known = self.tasks.get(tid).filter(|known| known.task.is(task)).map(|known| known.set);
        if known.is_none() {
            let at_rest = departed.is_some_and(|d| d.exited || d.boot_ns >= stamp.boot_ns);
            if at_rest || matches!(self.standing(stamp, task, out), Standing::Stale) || self.is_initial(slots) {
                self.tasks.depart_unless_newer(task.key, stamp.boot_ns);
                return;
            }
            let slots = self.resolve_all(stamp, slots, &{ self.initial }, &[NONE; SLOTS], |_| None, out);
            self.settle(stamp, task, None, Some(slots), Tell::Nothing, &NO_CAUSE, out);
        }
        let old = self.tasks.get(tid).map(|known| known.set);
        let cause = Cause::by(Via::Exit);
        self.settle(stamp, task, old, None, Tell::Foreign, &[(cause, cause); SLOTS], out);
        self.log.containers.forget_task(tid);
        self.attempts.forget_task(tid);
    }

    /// execve(2) leaves one thread in a process, under the leader's tid and start time (de_thread). When another thread
    /// called it, the leader's exit was reported before, and no record ever ends the caller's old tid.
    pub(super) fn take_over_threads(&mut self, stamp: Stamp, task: &TaskInfo, out: &mut Vec<Change>) {
        let Some(process) = self.tasks.process(task.tgid) else { return };
        if process.tids.as_slice() == [task.key.tid] {
            return;
        }
        let mut others: Vec<u32> = process.tids.iter().copied().filter(|&tid| tid != task.key.tid).collect();
        others.retain(|&tid| self.tasks.get(tid).is_some_and(|known| known.boot_ns <= stamp.boot_ns));
        others.sort_unstable();
        let standing = self.standing(stamp, task, out);
        if self.tasks.get(task.key.tid).is_some_and(|known| !known.task.is(task)) {
            return; // about an earlier process of this pid
        }
        let mut others = others.into_iter();
        if matches!(standing, Standing::Unknown | Standing::Initial)
            && let Some(caller) = others.next()
        {
            self.tasks.rename(caller, task, stamp.boot_ns);
        }
        for tid in others {
            self.lose(stamp, tid, out);
        }
    }

    /// A task is gone, nobody knows how.
    pub(super) fn lose(&mut self, stamp: Stamp, tid: u32, out: &mut Vec<Change>) {
        if let Some((info, set)) = self.tasks.get(tid).map(|known| (known.task.info(), known.set)) {
            self.settle(stamp, &info, Some(set), None, Tell::Foreign, &NO_CAUSE, out);
            self.log.containers.forget_task(tid);
            self.attempts.forget_task(tid);
        }
    }

    /// Takes these tasks out of `ns`, by no known way, and says where each of them was before.
    pub(super) fn take_out(
        &mut self,
        stamp: Stamp,
        tids: &[u32],
        ns: NsIndex,
        out: &mut Vec<Change>,
    ) -> Vec<(TaskInfo, u64, Slots)> {
        let mut were = Vec::with_capacity(tids.len());
        for &tid in tids {
            if let Some(known) = self.tasks.get(tid) {
                let (info, boot_ns) = (known.task.info(), known.boot_ns);
                let slots = self.sets.get(known.set).slots;
                let without = slots.map(|s| if s == ns { NONE } else { s });
                self.place(stamp, &info, boot_ns, without, out);
                were.push((info, boot_ns, slots));
            }
        }
        were
    }

    /// Puts tasks that were taken out of `old` back, into its successor.
    pub(super) fn put_back(
        &mut self,
        stamp: Stamp,
        were: Vec<(TaskInfo, u64, Slots)>,
        old: NsIndex,
        successor: NsIndex,
        out: &mut Vec<Change>,
    ) {
        for (info, boot_ns, slots) in were {
            self.place(stamp, &info, boot_ns, slots.map(|s| if s == old { successor } else { s }), out);
        }
    }

    /// A task turned out to be elsewhere; that does not make what is known of it newer.
    fn place(&mut self, stamp: Stamp, info: &TaskInfo, boot_ns: u64, slots: Slots, out: &mut Vec<Change>) {
        let tid = info.key.tid;
        let old = self.tasks.get(tid).map(|known| known.set);
        let tell = if old.is_some() { Tell::Everything } else { Tell::Foreign };
        self.settle(stamp, info, old, Some(slots), tell, &NO_CAUSE, out);
        if let Some(known) = self.tasks.get_mut(tid) {
            known.boot_ns = boot_ns;
        }
        self.displaced.push(tid);
    }

    fn standing(&mut self, stamp: Stamp, task: &TaskInfo, out: &mut Vec<Change>) -> Standing {
        let key = task.key;
        if let Some(known) = self.tasks.get(key.tid) {
            let known_key = known.task.key();
            if known.task.is(task) {
                return if stamp.boot_ns < known.boot_ns { Standing::Stale } else { Standing::Known(known.set) };
            }
            if key.start_boottime < known_key.start_boottime {
                return Standing::Stale; // about an earlier task of this tid
            }
            // The tid is used again: the exit was lost. With a leader the whole process is gone.
            let tgid = known.task.tgid();
            let mut gone = match self.tasks.process(tgid) {
                Some(process) if tgid == key.tid => process.tids.to_vec(),
                _ => vec![key.tid],
            };
            gone.sort_unstable();
            for tid in gone {
                self.lose(stamp, tid, out);
            }
        }
        match self.tasks.departed(key) {
            Some(d) if stamp.boot_ns <= d.boot_ns => Standing::Stale,
            Some(d) if !d.exited => Standing::Initial,
            _ => Standing::Unknown,
        }
    }

    /// Calls that made namespaces which a newer state of their task has shown already.
    fn note_births(&mut self, m: &Move<'_>) {
        if m.makes == 0 {
            return;
        }
        for (slot, name) in m.after.iter() {
            if let Some(maker) = m.maker_of(slot.ns_type())
                && m.before.is_none_or(|before| before.get(slot) != Some(name))
            {
                self.note_birth(m.stamp, name, maker);
            }
        }
    }

    /// Namespaces for names. `guess`: what they probably are; `unreadable`: what stands where the record has nothing.
    fn resolve_all<'m>(
        &mut self,
        stamp: Stamp,
        names: &SlotSet,
        guess: &Slots,
        unreadable: &Slots,
        maker: impl Fn(NsType) -> Option<&'m Maker<'m>>,
        out: &mut Vec<Change>,
    ) -> Slots {
        let ended = self.namespaces.ended();
        let mut slots = *unreadable;
        for (i, slot) in Slot::ALL.into_iter().enumerate() {
            if let Some(name) = names.get(slot) {
                slots[i] = if self.is_named(guess[i], name) {
                    guess[i]
                } else {
                    self.resolve(stamp, name, maker(slot.ns_type()), out).unwrap_or(NONE)
                };
            }
        }
        if self.namespaces.ended() != ended {
            // A record that gives one number to two types contradicts itself: the later one stands.
            for (i, slot) in Slot::ALL.into_iter().enumerate() {
                if slots[i] != NONE {
                    let known = self.namespaces.get(slots[i]).name;
                    let read = names.get(slot).unwrap_or(known);
                    if self.namespaces.find(read) != Some(slots[i]) || known.ns_type != slot.ns_type() {
                        slots[i] = NONE;
                    }
                }
            }
        }
        slots
    }

    /// `ns` is what `name` says, as exactly as the name can.
    fn is_named(&self, ns: NsIndex, name: NsName) -> bool {
        ns != NONE && {
            let known = self.namespaces.get(ns).name;
            known == name || (name.id.is_none() && known.inum == name.inum && known.ns_type == name.ns_type)
        }
    }

    fn is_initial(&self, names: &SlotSet) -> bool {
        Slot::ALL
            .into_iter()
            .zip(self.initial)
            .all(|(slot, ns)| names.get(slot).is_none_or(|name| self.is_named(ns, name)))
    }

    fn causes(&self, m: &Move<'_>, old: Option<SetId>) -> Causes {
        let Some(old) = old else {
            let cause = if m.creator.is_some() { m.cause } else { Cause::UNKNOWN };
            return [(cause, cause); SLOTS];
        };
        let old = &self.sets.get(old).slots;
        std::array::from_fn(|i| {
            if !m.by_call[i] {
                return (Cause::UNKNOWN, Cause::UNKNOWN);
            }
            // It was not where the model thought: it left that place before, unseen.
            let before = m.before.and_then(|before| before.get(Slot::ALL[i]));
            let left_here = before.is_none_or(|name| self.is_named(old[i], name));
            (if left_here { m.cause } else { Cause::UNKNOWN }, m.cause)
        })
    }

    /// While snapshots are merged every task counts, later only those that are not in the initial namespaces.
    fn keeps_initial(&self) -> bool {
        matches!(self.phase, Phase::Snapshot { .. })
    }

    fn is_all_initial(&self, set: SetId) -> bool {
        self.sets.get(set).slots.iter().all(|&ns| ns == NONE || self.namespaces.get(ns).initial)
    }

    /// Forgets a task that refers to initial namespaces only.
    pub(super) fn forget_initial(&mut self, tid: u32) {
        if self.keeps_initial() {
            return;
        }
        if let Some((set, boot_ns)) = self.tasks.get(tid).map(|known| (known.set, known.boot_ns))
            && self.is_all_initial(set)
        {
            self.tasks.take(tid, false, boot_ns);
            self.drop_set(set);
        }
    }

    /// Puts `task`, which has the set `old` or none, into `slots`, or takes it out, and tells what that changes.
    ///
    /// Members are processes: a thread joins for its process what no other thread of it is in, and leaves likewise.
    #[expect(clippy::too_many_arguments, reason = "one step with all it needs to know; three callers")]
    fn settle(
        &mut self,
        stamp: Stamp,
        task: &TaskInfo,
        old: Option<SetId>,
        slots: Option<Slots>,
        tell: Tell,
        causes: &Causes,
        out: &mut Vec<Change>,
    ) {
        let before = old.map_or([NONE; SLOTS], |set| self.sets.get(set).slots);
        let after = slots.unwrap_or([NONE; SLOTS]);
        let (mut left, mut joined) = (0_u32, 0_u32);
        if before != after {
            // The leader of a thread, when it is not kept, is in the initial namespaces.
            let leader_initial = !task.is_leader() && self.tasks.get(task.tgid).is_none();
            let process = self.tasks.process(task.tgid);
            let another = |of_type: usize, ns: NsIndex, without: Option<SetId>| {
                (leader_initial && self.namespaces.get(ns).initial)
                    || process.is_some_and(|p| p.has_member(&self.sets, of_type, ns, without))
            };
            for of_type in 0..TYPES {
                let (from, to) = (before[of_type], after[of_type]);
                if from != to {
                    left |= u32::from(from != NONE && !another(of_type, from, old)) << of_type;
                    joined |= u32::from(to != NONE && !another(of_type, to, None)) << of_type;
                }
            }
        }

        match slots {
            Some(slots) => {
                let namespaces = &self.namespaces;
                let (set, new) = self.sets.add(slots, |ns| namespaces.get(ns).name);
                if new {
                    for &ns in slots.iter().filter(|&&ns| ns != NONE) {
                        self.namespaces.get_mut(ns).sets += 1;
                    }
                }
                self.tasks.put(KnownTask { task: task.into(), boot_ns: stamp.boot_ns, set }, old);
            }
            None => {
                self.tasks.take(task.key.tid, true, stamp.boot_ns);
            }
        }
        if let Some(old) = old {
            self.drop_set(old);
        }

        for of_type in 0..TYPES {
            if joined & 1 << of_type != 0 {
                self.namespaces.get_mut(after[of_type]).nprocs += 1;
            }
            if left & 1 << of_type != 0 {
                let nprocs = &mut self.namespaces.get_mut(before[of_type]).nprocs;
                *nprocs = nprocs.saturating_sub(1);
            }
        }
        for (i, &ns) in before.iter().enumerate() {
            if ns != NONE && !after.contains(&ns) {
                let known = self.namespaces.get(ns);
                if known.sets == 0 || (left & 1 << i != 0 && known.nprocs == 0) {
                    self.released(stamp, ns, Some(task), causes[i].0);
                }
            }
        }
        if tell == Tell::Nothing {
            return;
        }
        self.tell_members(stamp, task, (left, &before), tell, |ns| What::Left { ns }, |i| causes[i].0, out);
        self.tell_members(stamp, task, (joined, &after), tell, |ns| What::Joined { ns }, |i| causes[i].1, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the two halves of settle, alike but for what and cause")]
    fn tell_members(
        &mut self,
        stamp: Stamp,
        task: &TaskInfo,
        (which, slots): (u32, &Slots),
        tell: Tell,
        what: fn(super::NsSeen) -> What,
        cause: impl Fn(usize) -> Cause,
        out: &mut Vec<Change>,
    ) {
        for of_type in (0..TYPES).filter(|of_type| which & 1 << of_type != 0) {
            let ns = self.namespaces.get(slots[of_type]).seen();
            if !ns.initial || tell == Tell::Everything {
                self.log.write(out, stamp, what(ns), Some(task), Some(cause(of_type)));
            }
        }
    }

    /// One task less has this set.
    fn drop_set(&mut self, set: SetId) {
        if self.sets.drop_one(set) {
            for ns in self.sets.get(set).slots {
                if ns != NONE {
                    let sets = &mut self.namespaces.get_mut(ns).sets;
                    *sets = sets.saturating_sub(1);
                }
            }
        }
    }
}

const NO_CAUSE: Causes = [(Cause::UNKNOWN, Cause::UNKNOWN); SLOTS];
