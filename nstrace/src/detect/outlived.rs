//! NST-022: a namespace that all its members left, and that somebody keeps by a descriptor or a mount. NST-023: a container makes a
//! mount or pid namespace of its own for the first time: what is in it may be hidden from the rest.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Found, Sight,
    catalogue::{HIDING, ORPHAN},
    homes::Grade,
    lineage::Lineage,
    words,
};
use crate::{
    event::{TaskInfo, Via},
    model::{Change, NsKey, NsSeen, What, World},
    ns::NsType,
};

/// Managers keep a namespace for the moment between its last task and its removal: CLOCK_BOOTTIME from the last member's end on. What
/// is mounted in a container is told at once: it goes with the container.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Namespaces that are waited for; of more the oldest are forgotten.
const WAITING: usize = 16_384;

/// A namespace without members, since when, and who left it last.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Left {
    ns: NsKey,
    boot_ns: u64,
    task: TaskInfo,
}

/// Namespaces that may turn out to be kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outlived {
    /// In the order in which they were left.
    waiting: VecDeque<Left>,
    /// Made known by mount(2): kept by a mount, not by a descriptor.
    mounted: BTreeSet<NsKey>,
    told: BTreeSet<NsKey>,
}

/// It lives, nobody is in it, and a descriptor or mount keeps it.
fn kept(world: &World, key: NsKey) -> Option<NsSeen> {
    let ns = world.namespace(key)?;
    let is_kept = ns.nprocs() == Some(0) && ns.is_pinned();
    is_kept.then(|| NsSeen { key, name: ns.name(), initial: false })
}

impl Outlived {
    /// Looks at what one event changed, `boot_ns` being its time.
    pub(super) fn see(&mut self, sight: Sight<'_>, boot_ns: u64, changes: &[Change], found: &mut Vec<Found>) {
        let Sight { world, lineage } = sight;
        while let Some(left) = self.waiting.pop_front_if(|left| left.boot_ns.saturating_add(PATIENCE_NS) <= boot_ns) {
            self.tell(sight, &left, found);
        }
        for change in changes {
            match (&change.what, change.task) {
                (What::Left { ns }, Some(task)) if kept(world, ns.key).is_some() => {
                    let left = Left { ns: ns.key, boot_ns, task };
                    if self.mounted.contains(&ns.key) && lineage.is_contained(&task) {
                        self.tell(sight, &left, found);
                    } else {
                        if self.waiting.len() >= WAITING {
                            self.waiting.pop_front();
                        }
                        self.waiting.push_back(left);
                    }
                }
                (What::Pinned { ns }, _) if change.cause.is_some_and(|cause| cause.via == Via::Mount) => {
                    self.mounted.insert(ns.key);
                }
                (What::Unpinned { ns }, _) => {
                    self.mounted.remove(&ns.key);
                }
                (What::Destroyed { ns, .. }, _) => {
                    self.mounted.remove(&ns.key);
                    self.told.remove(&ns.key);
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, Sight { world, .. }: Sight<'_>, left: &Left, found: &mut Vec<Found>) {
        let Some(ns) = kept(world, left.ns).filter(|ns| !self.told.contains(&ns.key)) else { return };
        self.told.insert(ns.key);
        let explain = format!(
            "{} was the last one in {}, which is kept by a descriptor or a mount",
            words::who(world, &left.task),
            words::which(&ns)
        );
        found.push(Found::new(&ORPHAN, &left.task, explain).about(ns));
    }
}

/// The containers that make a mount or pid namespace for the first time, by what one event changed.
pub(super) fn first_made(lineage: &mut Lineage, world: &World, changes: &[Change], found: &mut Vec<Found>) {
    for change in changes {
        let (What::Created { ns, .. }, Some(task)) = (&change.what, &change.task) else { continue };
        if !matches!(ns.name.ns_type, NsType::Mnt | NsType::Pid) || !lineage.is_contained(task) {
            continue;
        }
        let home = lineage.home(task);
        let is_sandbox = lineage.homes.get(home).is_none_or(|home| home.grade == Grade::Sandbox);
        if !is_sandbox && lineage.homes.is_first_of_type(home, ns.name.ns_type) {
            let explain = format!(
                "{} made {}, the first {} namespace that its container has made since it started",
                words::who(world, task),
                words::which(ns),
                ns.name.ns_type
            );
            found.push(Found::new(&HIDING, task, explain).about(*ns));
        }
    }
}
