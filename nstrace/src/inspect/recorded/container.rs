//! One container as recorded.

use serde::Serialize;

use super::{RecordedMember, Scene};
use crate::engine::Named;

/// With all its processes that are in some namespace other than the initial ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedContainer {
    #[serde(flatten)]
    pub container: Named,
    pub processes: Vec<RecordedMember>,
    /// Process 1 of its pid namespace, else its first process.
    #[serde(skip)]
    pub init: Option<u32>,
}

/// What a name may stand for.
#[derive(Debug)]
pub(super) enum Found {
    None,
    One(Box<RecordedContainer>),
    /// Several, each by name and id.
    Several(Vec<String>),
}

impl Scene<'_> {
    /// By name, id or id prefix; a whole name or id wins over a prefix.
    pub(super) fn find_container(&self, wanted: &str) -> Found {
        let mut known: Vec<Named> = Vec::new();
        for (task, _) in &self.tasks {
            if let Some(container) = self.world.container(task)
                && !known.iter().any(|other| other.id == container.id)
            {
                known.push(self.engines.name((*container).clone()));
            }
        }
        let exact = |named: &&Named| named.id == wanted || named.name.as_deref() == Some(wanted);
        let mut matching: Vec<&Named> = known.iter().filter(exact).collect();
        if matching.is_empty() {
            matching = known.iter().filter(|named| named.id.starts_with(wanted)).collect();
        }
        match matching.as_slice() {
            [] => Found::None,
            [one] => Found::One(Box::new(self.container((*one).clone()))),
            several => Found::Several(several.iter().map(|named| named.to_string()).collect()),
        }
    }

    fn container(&self, container: Named) -> RecordedContainer {
        let is_in = |member: &RecordedMember| member.container.as_ref().is_some_and(|its| its.id == container.id);
        let mut processes: Vec<RecordedMember> = Vec::new();
        for (task, _) in &self.tasks {
            if task.is_leader() || self.task(task.tgid).is_none() {
                let member = self.member(task);
                if is_in(&member) && processes.last().is_none_or(|last| last.pid != member.pid) {
                    processes.push(member);
                }
            }
        }
        let init = processes.iter().find(|p| p.pids.len() > 1 && p.pids.last() == Some(&1)).or(processes.first());
        RecordedContainer { init: init.map(|p| p.pid), container, processes }
    }
}
