//! NST-013: a task is not where its last transition left it, or may do more than its program could.
//!
//! The record that would explain it may have been lost, and a loss is learned later than the records after it. So what looks
//! like one is a doubt until the stream says that nothing was lost up to that moment ([`Event::Accounted`]), and no doubt any more
//! when something was. From a loss to the end of the census that follows it, nothing is one. And nothing that was before the
//! end of a census is: it shows one task now and another one later, and the ring gives records from that time after it.
//!
//! [`Event::Accounted`]: crate::event::Event::Accounted

use serde::{Deserialize, Serialize};

use super::{Direction, Found, catalogue::MISMATCH, lineage::seen, words};
use crate::{
    deed::Deed,
    event::TaskInfo,
    model::{Mismatch, World},
    ns::NsName,
};

/// Doubts that are kept; whoever makes more at once is told of with these.
const MOST: usize = 256;

/// What seems to be forged, until it is known that nothing was lost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Doubts {
    waiting: Vec<Doubt>,
    /// Records were lost, and the census that follows is not complete.
    after_loss: bool,
    /// When the latest census was complete (boot time).
    #[serde(default)]
    census_end: u64,
    /// Not part of what is known: somebody has been asked.
    #[serde(skip)]
    asked: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Doubt {
    task: TaskInfo,
    /// When it was seen.
    boot_ns: u64,
    what: Difference,
    evidence: Vec<u64>,
}

/// What was a doubt and is a finding.
#[derive(Debug)]
pub struct Certain {
    pub found: Found,
    /// Boot time.
    pub seen: u64,
    /// `seq` of the lines it rests on.
    pub evidence: Vec<u64>,
    /// What it rests on and has no line yet.
    pub deed: Option<Box<Deed>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Difference {
    /// What a slot holds, and what it held at the boot time `since`.
    Slots { slots: Vec<(NsName, NsName)>, since: u64 },
    /// Effective capabilities, the most that the task can have, and what it did with them.
    Capabilities { has: u64, most: u64, by: Option<Box<Deed>> },
}

impl Doubts {
    /// A task is elsewhere.
    pub fn moved(&mut self, boot_ns: u64, mismatch: Mismatch, evidence: Vec<u64>) {
        let Mismatch { task, since, slots } = mismatch;
        self.add(Doubt { task, boot_ns, what: Difference::Slots { slots, since }, evidence });
    }

    /// A task has more capabilities than `most`.
    pub fn grown(&mut self, boot_ns: u64, task: &TaskInfo, most: u64, by: Option<Box<Deed>>, evidence: Vec<u64>) {
        let what = Difference::Capabilities { has: task.cap_effective, most, by };
        self.add(Doubt { task: *task, boot_ns, what, evidence });
    }

    fn add(&mut self, doubt: Doubt) {
        if !self.after_loss && doubt.boot_ns > self.census_end && self.waiting.len() < MOST {
            self.waiting.push(doubt);
        }
    }

    /// What is waited for may be among what was lost.
    pub fn lost(&mut self) {
        self.waiting.clear();
        self.after_loss = true;
    }

    /// A census was complete at the boot time `end`: the first one, or the one after a loss.
    pub fn census(&mut self, end: u64) {
        (self.after_loss, self.census_end) = (false, end);
    }

    /// It has to be asked whether anything was lost.
    pub fn ask(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.asked, true)
    }

    /// Nothing was lost up to `until`.
    pub fn accounted(&mut self, world: &World, until: u64) -> Vec<Certain> {
        self.asked = false;
        let (certain, waiting): (Vec<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|doubt| doubt.boot_ns <= until);
        self.waiting = waiting;
        certain.iter().flat_map(|doubt| doubt.findings(world)).collect()
    }
}

impl Doubt {
    fn findings(&self, world: &World) -> Vec<Certain> {
        let who = words::who(world, &self.task);
        let found = |explain| {
            let mut one = Found::new(&MISMATCH, &self.task, explain);
            one.direction = Some(Direction::Forged);
            one
        };
        let slot = |&(now, was): &(NsName, NsName), since| {
            let age = words::age(self.boot_ns.saturating_sub(since));
            let ns = seen(world, now);
            let there = ns.as_ref().map_or_else(|| now.to_string(), words::which);
            let mut one = found(format!("{who} is in {there}, and was in {was} {age} before: no call moved it"));
            one = match ns {
                Some(ns) => one.about(ns),
                None => one.with_object(now.inum.into()),
            };
            one.from = Some(was);
            one
        };
        let all = match &self.what {
            Difference::Slots { slots, since } => slots.iter().map(|pair| slot(pair, *since)).collect(),
            Difference::Capabilities { has, most, .. } => {
                let explain = format!(
                    "{who} has the capabilities {has:#x} though its program was started with no more than {most:#x}: no call gave it more"
                );
                vec![found(explain).with_object(*has)]
            }
        };
        let deed = || match &self.what {
            Difference::Capabilities { by, .. } => by.clone(),
            Difference::Slots { .. } => None,
        };
        let certain = |found| Certain { found, seen: self.boot_ns, evidence: self.evidence.clone(), deed: deed() };
        all.into_iter().map(certain).collect()
    }
}
