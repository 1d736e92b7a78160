//! Which changes are printed: `-t`, `--container`, `--containers`, `-Q`.

use crate::{
    engine::Named,
    filter::Filter,
    model::{Change, What},
    ns::NsType,
};

/// All conditions hold for what is selected; the default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Namespace types; empty = all.
    pub types: Vec<NsType>,
    /// Container ids, their prefixes, or names as their cgroup or their engine has them; empty = all, and outside of
    /// containers.
    pub containers: Vec<String>,
    /// Only what belongs to some container.
    pub only_containers: bool,
    pub filter: Option<Filter>,
    /// Not before this time and not after that one, UTC in nanoseconds.
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl Selection {
    /// Names among the containers asked for mean the ids that `known` has for them, too.
    pub fn know(&mut self, known: &[Named]) {
        let is_wanted = |named: &&Named| named.name.as_ref().is_some_and(|name| self.containers.contains(name));
        let ids: Vec<String> = known.iter().filter(is_wanted).map(|named| named.id.clone()).collect();
        self.containers.extend(ids);
    }

    pub fn admits(&self, change: &Change) -> bool {
        // Accounting is about no type and no container: hiding it would pass an incomplete stream off as complete.
        let is_accounting = matches!(change.what, What::Lost { .. } | What::Resynced);
        (is_accounting || (self.admits_type(change) && self.admits_container(change)))
            && self.is_in_time(change)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(change))
    }

    /// Between [`Selection::since`] and [`Selection::until`].
    pub fn is_in_time(&self, change: &Change) -> bool {
        self.since.is_none_or(|since| change.utc_ns >= since) && self.until.is_none_or(|until| change.utc_ns <= until)
    }

    fn admits_type(&self, change: &Change) -> bool {
        // A finding about no namespace at all, and what it rests on, is about all types.
        let untyped = matches!(change.what, What::Deed(_) | What::Finding(_)) && change.what.ns_type().is_none();
        self.types.is_empty() || untyped || change.what.ns_type().is_some_and(|t| self.types.contains(&t))
    }

    fn admits_container(&self, change: &Change) -> bool {
        match change.container.as_deref() {
            None => self.containers.is_empty() && !self.only_containers,
            Some(container) => {
                self.containers.is_empty() || self.containers.iter().any(|name| container.id.starts_with(name))
            }
        }
    }
}
