//! The names of the containers that a live source meets.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::selection::Selection;
use crate::{
    container::ContainerFacts,
    discover::clock,
    engine::{Engines, Named, asking::Asking},
    event::{Event, Stamp, Stamped},
    inspect::{
        Places,
        processes::{ProcessTable, containers_of},
    },
    recording::containers::Containers,
};

/// Ids that are remembered as asked for; then some are asked for again.
const MOST: usize = 1 << 16;
/// At its end a recording waits so long for what was asked and not answered yet.
const LAST: Duration = Duration::from_millis(700);

#[derive(Debug)]
pub(super) struct Naming {
    asking: Asking,
    asked: HashSet<String>,
    /// What was told and recorded.
    known: BTreeMap<String, Named>,
    /// Asked for since an answer came.
    open: bool,
}

impl Naming {
    /// Asks the engines of this machine.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn of_this_machine() -> std::io::Result<Self> {
        Self::of(ask)
    }

    fn of(ask: impl Fn() -> Engines + Send + 'static) -> std::io::Result<Self> {
        Ok(Self { asking: Asking::start(ask)?, asked: HashSet::new(), known: BTreeMap::new(), open: false })
    }

    /// Asks about the containers that an event names.
    pub fn meet(&mut self, event: &Event) {
        let (Event::CgroupPath { path, .. } | Event::TaskCgroupPath { path, .. }) = event else { return };
        for container in containers_of(path) {
            if self.asked.len() >= MOST {
                self.asked.clear();
            }
            if self.asked.insert(container.id.clone()) {
                self.open = true;
                self.asking.about(Engines::default().name(container));
            }
        }
    }

    /// What was told since the last call and is news.
    pub fn news(&mut self) -> Option<Containers> {
        let answers = self.asking.answers();
        self.learn(answers)
    }

    /// The same at the end, after waiting a moment for what was asked.
    pub fn last_news(&mut self) -> Option<Containers> {
        let answers = if self.open { self.asking.wait(LAST) } else { Vec::new() };
        self.learn(answers)
    }

    /// Everything that was told.
    pub fn all(&self) -> Option<Containers> {
        let containers: Vec<Named> = self.known.values().cloned().collect();
        (!containers.is_empty()).then_some(Containers { containers })
    }

    fn learn(&mut self, answers: Vec<Named>) -> Option<Containers> {
        self.open &= answers.is_empty();
        let mut containers = Vec::new();
        for named in answers {
            while self.known.len() >= MOST {
                self.known.pop_first();
            }
            if self.known.get(&named.id) != Some(&named) {
                self.known.insert(named.id.clone(), named.clone());
                containers.push(named);
            }
        }
        (!containers.is_empty()).then_some(Containers { containers })
    }
}

/// Asks all engines of this machine once, for at most half a second.
fn ask() -> Engines {
    let places = Places::default();
    match ProcessTable::read(&places.proc, Some(&places.oci())) {
        Ok(table) => Engines::read(&places, &table),
        Err(_) => Engines::default(),
    }
}

/// Prepares a selection for a live source: containers may be asked for by names that only their engines know. Those of
/// containers to come are told by [`Naming`].
pub(super) fn know_live(selection: &mut Selection) {
    if selection.is_of_named() {
        selection.know_all(ask().iter());
        selection.names_come = true;
    }
}

/// The same as events, for exceptions and for who asks for a container by name.
pub(super) fn told(news: &Containers) -> impl Iterator<Item = Stamped> + '_ {
    let stamp = Stamp { boot_ns: clock::boot_ns(), cpu: 0, seq: 0 };
    news.containers.iter().map(move |named| Stamped { stamp, event: Event::Container(Box::new(named.into())) })
}

impl From<&Named> for ContainerFacts {
    fn from(named: &Named) -> Self {
        Self {
            id: named.id.clone(),
            name: named.name.clone(),
            image: named.image.clone(),
            image_digest: named.image_id.clone(),
            pod: named.pod.clone(),
            kubernetes_namespace: named.pod_namespace.clone(),
            // No engine tells it.
            service_account: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_paths_name_are_asked_for_once() {
        let id = "5".repeat(64);
        let web = Named { id: id.clone(), name: Some("web".to_owned()), ..Named::default() };
        let told = web.clone();
        let mut naming = Naming::of(move || Engines::of(vec![told.clone()])).expect("a thread");
        naming.meet(&Event::SnapshotEnd);
        naming.meet(&Event::CgroupPath { cgroup: 1, path: "/user.slice".to_owned() });
        assert_eq!((naming.last_news(), naming.all()), (None, None));
        for cgroup in [7, 8] {
            naming.meet(&Event::CgroupPath { cgroup, path: format!("/system.slice/docker-{id}.scope") });
        }
        let news = naming.asking.wait(Duration::from_secs(60));
        let known = naming.learn(news).expect("it is told");
        let named = Named { runtime: "docker".to_owned(), ..web };
        assert_eq!(known.containers, [named]);
        assert_eq!(naming.all(), Some(known));
        assert_eq!(naming.news(), None);
    }
}
