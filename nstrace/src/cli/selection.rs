//! Which changes are printed: `-t`, `--container`, `--containers`, `-Q`.

use std::{collections::BTreeSet, ops::Bound};

use crate::{
    engine::{Named, is_same},
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
    /// Ids of containers that an engine calls otherwise.
    pub others: BTreeSet<String>,
    /// Engines are asked while containers come: a name may be told after a container's first changes.
    pub names_come: bool,
    /// Only what belongs to some container.
    pub only_containers: bool,
    pub filter: Option<Filter>,
    /// Not before this time and not after that one, UTC in nanoseconds.
    pub since: Option<i64>,
    pub until: Option<i64>,
}

/// Whether a change is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Yes,
    No,
    /// If its container turns out to have one of the names asked for.
    IfNamed,
}

/// Containers whose names are remembered as others; of one too many the name is as good as not told.
const MOST_OTHERS: usize = 1 << 16;

impl Selection {
    /// True when containers are asked for one by one.
    pub fn is_of_named(&self) -> bool {
        !self.containers.is_empty()
    }

    /// Takes in what an engine calls a container: from then on its id is as good as its name. Tells whether it is asked for.
    pub fn know(&mut self, id: &str, name: Option<&str>) -> bool {
        if !self.is_of_named() || self.has_id(id) {
            return true;
        }
        let is_wanted = name.is_some_and(|name| self.containers.iter().any(|wanted| wanted == name));
        if is_wanted {
            self.containers.push(id.to_owned());
        } else if self.others.len() < MOST_OTHERS {
            self.others.insert(id.to_owned());
        }
        is_wanted
    }

    /// The same for all of these.
    pub fn know_all<'a>(&mut self, known: impl IntoIterator<Item = &'a Named>) {
        for named in known {
            self.know(&named.id, named.name.as_deref());
        }
    }

    pub fn admits(&self, change: &Change) -> Admission {
        let filter = self.filter.as_ref();
        if !self.is_in_time(change) || filter.is_some_and(|filter| !filter.matches(change)) {
            return Admission::No;
        }
        // Accounting is about no type and no container: hiding it would pass an incomplete stream off as complete.
        match change.what {
            What::Lost { .. } | What::Resynced => Admission::Yes,
            _ if self.admits_type(change) => self.admits_container(change),
            _ => Admission::No,
        }
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

    fn admits_container(&self, change: &Change) -> Admission {
        let is_admitted = match change.container.as_deref() {
            None => !self.is_of_named() && !self.only_containers,
            Some(container) if !self.is_of_named() || self.has_id(&container.id) => true,
            Some(container) if self.names_come && !self.is_other(&container.id) => return Admission::IfNamed,
            Some(_) => false,
        };
        if is_admitted { Admission::Yes } else { Admission::No }
    }

    fn is_other(&self, id: &str) -> bool {
        // What starts with an id follows it.
        self.others
            .range::<str, _>((Bound::Included(id), Bound::Unbounded))
            .next()
            .is_some_and(|told| is_same(id, told))
    }

    fn has_id(&self, id: &str) -> bool {
        self.containers.iter().any(|wanted| id.starts_with(wanted.as_str()) || is_same(id, wanted))
    }
}
