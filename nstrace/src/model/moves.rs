//! Tasks change namespaces: from what a record shows of a task to who joined and who left.

use nstrace_common::slots::{CLONE_NEW_ANY, SLOTS, TIME};

use super::{
    Cause, Change, World,
    lifetimes::{Maker, makes_namespaces},
    members::{Causes, Place, Step, Tell},
    sets::{NONE, NsIndex, SetId, Slots},
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
    visit: bool,
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
            // Nobody finds a child before it has its start time.
            maker: Some(Maker { task: creator, call, since: child.key.start_boottime }),
            makes: call.flags & CLONE_NEW_ANY,
            creator: Some(creator),
            by_call: [true; SLOTS],
            cause: call.into(),
            ..Self::seen(stamp, child, slots)
        }
    }

    /// `maker`: the task itself, and the call that it is in.
    pub fn transition(stamp: Stamp, maker: Maker<'a>, before: &'a SlotSet, after: &'a SlotSet) -> Self {
        let Maker { task, call, .. } = maker;
        let failed = call.errno.is_some();
        Self {
            before: Some(before),
            maker: Some(maker),
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

    /// It is there, by no call that is known.
    pub fn elsewhere(stamp: Stamp, task: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        Self::seen(stamp, task, slots)
    }

    /// A visit found it there.
    pub fn visit(stamp: Stamp, task: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        Self { visit: true, ..Self::seen(stamp, task, slots) }
    }

    fn seen(stamp: Stamp, task: &'a TaskInfo, slots: &'a SlotSet) -> Self {
        Self {
            stamp,
            task,
            visit: false,
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
pub(super) enum Standing {
    /// Something newer is known.
    Stale,
    /// The task is not known.
    Unknown,
    /// It was seen in the initial namespaces only.
    Initial,
    Known(SetId),
}

impl World {
    pub(super) fn move_task(&mut self, m: &Move<'_>, out: &mut Vec<Change>) {
        let (tid, boot_ns) = (m.task.key.tid, m.stamp.boot_ns);
        let standing = self.standing(m.stamp, m.task, out);
        let initial = match standing {
            Standing::Stale => {
                self.note_race(m);
                return self.note_births(m);
            }
            Standing::Known(set) => {
                if self.sets.matches(set, m.after) {
                    if let Some(known) = self.tasks.get_mut(tid) {
                        (known.task, known.boot_ns, known.visited) = (m.task.into(), boot_ns, m.visit);
                        known.raced = false;
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
        let creator = m.creator.and_then(|creator| self.tasks.get(creator.key.tid)).map(|known| known.set);
        let quietly =
            Step { stamp: m.stamp, visit: m.visit, task: m.task, tell: Tell::Nothing, causes: Causes::UNKNOWN };
        match (standing, m.before, creator) {
            (Standing::Initial, ..) => self.settle(quietly, None, Place::Slots(self.initial), out),
            (Standing::Unknown, Some(before), _) => {
                let slots = self.resolve_all(m.stamp, before, &{ self.initial }, &[NONE; SLOTS], |_| None, out);
                // How it got there was lost, so nothing else will ever say that it is there.
                self.settle(Step { tell: Tell::Foreign, ..quietly }, None, Place::Slots(slots), out);
            }
            // As most children are.
            (Standing::Unknown, None, Some(set)) if m.makes == 0 && self.sets.matches(set, m.after) => {
                let step = Step { tell: Tell::Foreign, causes: Causes::all(m.cause), ..quietly };
                return self.settle(step, None, Place::Set(set), out);
            }
            _ => {}
        }

        let old = self.tasks.get(tid).map(|known| known.set);
        let unreadable = old.map_or([NONE; SLOTS], |set| self.sets.get(set).slots);
        let guess = old.or(creator).map_or(self.initial, |set| self.sets.get(set).slots);
        let slots = self.resolve_all(m.stamp, m.after, &guess, &unreadable, |ns_type| m.maker_of(ns_type), out);

        // Resolving may have ended namespaces, so look again.
        let old = self.tasks.get(tid).map(|known| known.set);
        let causes = self.causes(m, old);
        let tell = if old.is_some() { Tell::Everything } else { Tell::Foreign };
        self.settle(Step { tell, causes, ..quietly }, old, Place::Slots(slots), out);
        if let Some(known) = self.tasks.get_mut(tid).filter(|_| m.visit && old.is_some()) {
            // What moved it was lost, or the visit came in the middle of it.
            known.raced = true;
        }
        self.forget_initial(tid);
    }

    pub(super) fn standing(&mut self, stamp: Stamp, task: &TaskInfo, out: &mut Vec<Change>) -> Standing {
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

    /// A visit that began after a call took effect, to its hook, and shows another state than it led to: one of them came in the
    /// middle of the other.
    fn note_race(&mut self, m: &Move<'_>) {
        let tid = m.task.key.tid;
        if let Some(known) = self.tasks.get(tid).filter(|known| known.visited && known.task.is(m.task))
            && m.before.is_some()
            && !self.sets.matches(known.set, m.after)
            && let Some(known) = self.tasks.get_mut(tid)
        {
            known.raced = true;
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
    pub(super) fn resolve_all<'m>(
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

    pub(super) fn is_initial(&self, names: &SlotSet) -> bool {
        Slot::ALL
            .into_iter()
            .zip(self.initial)
            .all(|(slot, ns)| names.get(slot).is_none_or(|name| self.is_named(ns, name)))
    }

    fn causes(&self, m: &Move<'_>, old: Option<SetId>) -> Causes {
        let Some(old) = old else {
            return if m.creator.is_some() { Causes::all(m.cause) } else { Causes::UNKNOWN };
        };
        let old = &self.sets.get(old).slots;
        let (mut left, mut joined) = (0, 0);
        for (i, slot) in Slot::ALL.into_iter().enumerate().filter(|&(i, _)| m.by_call[i]) {
            // When it was not where the model thought, it left that place before, unseen.
            let was_there = m.before.and_then(|before| before.get(slot)).is_none_or(|name| self.is_named(old[i], name));
            left |= u32::from(was_there) << i;
            joined |= 1 << i;
        }
        Causes::partly(m.cause, left, joined)
    }
}
