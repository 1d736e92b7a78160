//! Detectors: from facts and from what the model makes of them to findings. Pure, like the model: no I/O, no clock, so a
//! replay finds what the live watch found.
//!
//! Every detector asks two things: is the task *contained* ([`lineage`]), and does the object belong to its *home*
//! ([`homes`])? Both are told from kernel objects alone. What the kernel refused is told as `denied`, and is no finding.

mod access;
mod blind;
pub mod catalogue;
mod cgroups;
mod explain;
mod extend;
mod finding;
mod forged;
mod handles;
pub mod homes;
mod leave;
pub mod lineage;
mod location;
mod mismatch;
mod mounts;
mod outlived;
mod pairs;
mod posture;
mod repeats;
mod sinks;
mod sockets;
mod switch;
mod words;

pub use catalogue::{RULES, Rule, Severity};
pub use explain::{EXPLANATIONS, Explanation};
pub use finding::{Direction, Finding};
pub use posture::{Grant, UnknownGrant};

use serde::{Deserialize, Serialize};

use self::{finding::Found, lineage::Lineage, mismatch::Certain, repeats::Repeats, switch::Switch};
use crate::{
    deed::{Act, Deed},
    event::{Event, Stamp, TaskInfo, TaskKey, Via},
    model::{Cause, Change, Mismatch, What, World, is_by_itself},
};

/// Hashes alike in every run.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

/// The state of all detectors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Detectors {
    lineage: Lineage,
    repeats: Repeats,
    #[serde(default)]
    cgroups: cgroups::Paths,
    #[serde(default)]
    helpers: sinks::Helpers,
    #[serde(default)]
    outlived: outlived::Outlived,
    #[serde(default)]
    doubts: mismatch::Doubts,
}

/// What one detector looks at.
#[derive(Clone, Copy, Debug)]
struct Sight<'a> {
    world: &'a World,
    lineage: &'a Lineage,
}

/// A finding, and who it is about.
#[derive(Debug)]
pub(crate) struct Told {
    pub finding: Finding,
    pub task: Option<TaskInfo>,
    pub cause: Option<Cause>,
    /// Boot time of what it is about, when that was not this event.
    pub seen: Option<u64>,
    /// What it rests on, when that was not this event and has no line yet.
    pub deed: Option<Box<Deed>>,
}

impl Detectors {
    /// Looks at one event of a live stream, which `world` has taken in with `changes`; appends what is found.
    pub(crate) fn see(&mut self, world: &World, stamp: Stamp, event: &Event, changes: &[Change], out: &mut Vec<Told>) {
        let mut found = Vec::new();
        self.lineage.learn_makers(event, changes);
        outlived::first_made(&mut self.lineage, world, changes, &mut found);
        // Before the last one that leaves is forgotten.
        let sight = Sight { world, lineage: &self.lineage };
        self.outlived.see(sight, stamp.boot_ns, changes, &mut found);
        match event {
            Event::Fork { call, creator, child, .. } => self.lineage.forked(call, creator, child),
            Event::Exec { task, former_tid: Some(former), .. } => self.lineage.took_over(*former, task),
            Event::Exit { task, .. } => self.lineage.exited(task),
            Event::Transition { at, call, task, before, after, .. }
                if self.lineage.moved(world, task, before, after) =>
            {
                let sight = Sight { world, lineage: &self.lineage };
                let switch = Switch { at: *at, call, task, before, after };
                forged::transition(sight, &switch, &mut found);
                leave::transition(sight, &switch, &mut found);
            }
            Event::Placed(placed) => {
                let is_new = self.lineage.placed(world, placed);
                let sight = Sight { world, lineage: &self.lineage };
                location::placed(sight, placed, is_new, &mut found);
                if is_new {
                    posture::founded(sight, placed, &mut found);
                }
            }
            Event::Deed(deed) => {
                let sight = Sight { world, lineage: &self.lineage };
                let contained = self.lineage.is_contained(&deed.task);
                // What the kernel refused was not done.
                if deed.call.errno.is_none() {
                    if contained {
                        handles::deed(sight, deed, &mut found);
                        location::deed(sight, deed, &mut found);
                        access::deed(sight, deed, &mut found);
                    }
                    sinks::deed(sight, contained, &mut self.helpers, deed, &mut found);
                    if contained {
                        mounts::deed(sight, deed, &mut found);
                        extend::deed(sight, deed, &mut found);
                        cgroups::deed(sight, &self.cgroups, deed, &mut found);
                        sockets::deed(sight, deed, &mut found);
                    }
                    forged::deed(sight, deed, &mut found);
                }
            }
            Event::Lost { count, hook, .. } => blind::lost(*count, hook.as_deref(), &mut found),
            _ => {}
        }
        for change in changes {
            if let What::Destroyed { ns, .. } = &change.what {
                self.lineage.homes.gone(ns.key);
            }
        }
        let cause = match event {
            Event::Transition { call, .. } => Some(call.into()),
            Event::Deed(deed) => Some((&deed.call).into()),
            Event::Placed(_) => Some(Cause { via: Via::Exec, flags: 0, errno: None }),
            _ => None,
        };
        for found in found {
            let Some(count) = self.count(found.rule.id, found.task.as_ref(), found.object) else { continue };
            let task = found.task;
            out.push(Told { finding: finish(found, count, changes), task, cause, seen: None, deed: None });
        }
        if let Event::Accounted { until } = event {
            self.accounted(world, *until, out);
        }
    }

    /// What the event shows otherwise than it should be; `changes` is what it led to.
    pub(crate) fn doubt(&mut self, boot_ns: u64, event: &Event, mismatch: Option<Mismatch>, changes: &[Change]) {
        if let Event::Lost { .. } = event {
            self.doubts.lost();
            self.lineage.forget_limits();
        }
        let evidence = || changes.iter().map(|change| change.seq).collect();
        if let Some(mismatch) = mismatch {
            self.doubts.moved(boot_ns, mismatch, evidence());
        }
        let (task, by_itself) = match event {
            Event::Deed(deed) => (&deed.task, is_by_itself(deed)),
            Event::Fork { creator, .. } => (creator, true),
            _ => return,
        };
        if let Some(most) = self.lineage.limit(task).filter(|most| by_itself && task.cap_effective & !most != 0) {
            let by = match event {
                Event::Deed(deed) => Some(deed.clone()),
                _ => None,
            };
            self.doubts.grown(boot_ns, task, most, by, evidence());
            self.lineage.raise_limit(task, task.cap_effective);
        }
        if let Event::Deed(deed) = event
            && deed.act == Act::Credentials
        {
            self.lineage.raise_limit(task, deed.number);
        }
    }

    /// Nothing was lost up to `until`.
    fn accounted(&mut self, world: &World, until: u64, out: &mut Vec<Told>) {
        for Certain { found, seen, evidence, deed } in self.doubts.accounted(world, until) {
            let Some(count) = self.count(found.rule.id, found.task.as_ref(), found.object) else { continue };
            let task = found.task;
            let finding = Finding { evidence, ..finish(found, count, &[]) };
            out.push(Told { finding, task, cause: None, seen: Some(seen), deed });
        }
    }

    /// Whether the source has to be asked for an account of what was lost; once for each time.
    pub(crate) fn take_doubt(&mut self) -> bool {
        self.doubts.ask()
    }

    /// A census is complete; what came meanwhile may still have to be looked at.
    pub(crate) fn census(&mut self, end: Stamp) {
        self.doubts.census(end.boot_ns);
    }

    /// Where a cgroup is.
    pub(crate) fn learn_cgroup(&mut self, cgroup: u64, path: &str) {
        self.cgroups.learn(cgroup, path);
    }

    /// What the home of a task has of the host; None: it is in none.
    pub(crate) fn granted(&self, task: &TaskInfo) -> Option<&std::collections::BTreeSet<Grant>> {
        self.lineage.granted(task)
    }

    /// How often this rule of a user's was true of this process and this object by now; None: not to be told this time.
    pub(crate) fn count(&mut self, rule: &str, task: Option<&TaskInfo>, object: u64) -> Option<u64> {
        self.repeats.count(rule, task.map_or(0, |task| task.tgid), object)
    }

    /// Of this task, unless it is the host's; see [`Lineage::contained`].
    pub(crate) fn contained(&self, task: &TaskInfo) -> Option<(u64, bool, Option<lineage::Powers>)> {
        self.lineage.contained(task)
    }

    /// Kept state is none that could have been: of data from elsewhere.
    pub(crate) fn is_sound(&self) -> bool {
        self.lineage.homes.is_sound()
    }

    /// Forgets the tasks of which this is true, after a loss: their ends were not seen.
    pub(crate) fn forget(&mut self, gone: impl Fn(TaskKey) -> bool) {
        self.lineage.forget(gone);
    }

    /// Where the tasks of the start-up snapshot stand. Nothing is found by it: what was before the watch began is for `audit`.
    pub(crate) fn snapshot(&mut self, world: &World, placed: &crate::deed::Placed) {
        self.lineage.placed(world, placed);
    }
}

fn finish(found: Found, count: u64, changes: &[Change]) -> Finding {
    let Found { rule, severity, explain, task, direction, ns, from, object: _ } = found;
    let of_task = |change: &&Change| match (&change.task, &task) {
        (Some(theirs), Some(task)) => theirs.key.same_task(task.key),
        _ => true,
    };
    Finding {
        rule: rule.id.into(),
        severity,
        title: rule.title.into(),
        mitre: rule.mitre.iter().map(|&technique| technique.into()).collect(),
        explain,
        evidence: changes.iter().filter(of_task).map(|change| change.seq).collect(),
        count,
        direction,
        ns,
        from,
        suppressed: None,
    }
}
