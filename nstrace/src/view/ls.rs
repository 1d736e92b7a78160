//! `nstrace ls`: rows of the census as a table. Pure.

use std::{borrow::Cow, fmt};

use super::{
    duration,
    escape::escaped,
    ls_columns::Column,
    ls_table::{Cell, Table},
    time,
};
use crate::{
    census::{Census, Holder, HolderKind, Namespace, NsIndex},
    engine::Named,
    filter::{Row, Value},
    inspect::seen::Seen,
};

/// One namespace with what was looked up for it.
#[derive(Clone, Debug)]
pub struct LsRow<'c> {
    pub census: &'c Census,
    pub index: NsIndex,
    /// Command line of the first process, or its name; hostile.
    pub command: Option<String>,
    /// User of the first process, or the one who made the user namespace, by name where it has one.
    pub user: Option<String>,
    /// Of a network namespace: the number by which the reader's own knows it.
    pub netnsid: Seen<NetNsId>,
    /// With what the engines know of it.
    pub container: Option<&'c Named>,
    /// Known to a recording or a running watch only.
    pub creation: Option<Creation>,
}

/// What lsns(8) calls `NETNSID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetNsId {
    /// Nothing in the reader's network namespace is tied to it.
    Unassigned,
    Is(u32),
}

impl fmt::Display for NetNsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unassigned => f.write_str("unassigned"),
            Self::Is(number) => number.fmt(f),
        }
    }
}

/// The moment a namespace came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Nanoseconds since the epoch.
    pub utc_ns: i64,
    /// Nanoseconds it has lived.
    pub age_ns: u64,
    /// Who made it: process and name, which is hostile. None: nobody could be named.
    pub creator: Option<(u32, String)>,
}

impl LsRow<'_> {
    pub(super) fn ns(&self) -> &Namespace {
        self.census.namespace(self.index)
    }

    pub(super) fn inum(&self, index: Option<NsIndex>) -> Option<u32> {
        index.map(|index| self.census.namespace(index).name.inum)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.ns().first.map(|first| self.census.task(first).tgid)
    }

    pub(super) fn ppid(&self) -> Option<u32> {
        self.ns().first.and_then(|first| self.census.task(first).ppid)
    }

    /// Of the first process, else of who made the user namespace.
    pub fn uid(&self) -> Option<u32> {
        self.ns().first.map(|first| self.census.task(first).uid).or(self.ns().owner_uid)
    }

    /// Of who made it, `4321 (runc)`.
    fn creator(&self) -> Option<String> {
        let (pid, name) = self.creation.as_ref()?.creator.as_ref()?;
        Some(format!("{pid} ({name})"))
    }

    /// Bind mounts that a path leads to, as lsns(8) lists them.
    pub(super) fn nsfs(&self) -> Vec<&str> {
        let mounts = self.ns().holders.iter().filter_map(|holder| match holder {
            Holder::Mount(mount) => mount.path.as_deref(),
            _ => None,
        });
        let mut paths: Vec<&str> = mounts.collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    pub(super) fn kept_by(&self) -> Vec<&'static str> {
        self.ns().kept_by().into_iter().map(HolderKind::name).collect()
    }

    fn text(&self, column: Column) -> Option<String> {
        let ns = self.ns();
        let clean = |text: &str| escaped(text.as_bytes()).to_string();
        match column {
            Column::Ns => Some(ns.name.inum.to_string()),
            Column::Type => Some(ns.name.ns_type.to_string()),
            Column::NProcs => Some(ns.nprocs.to_string()),
            Column::Pid => self.pid().map(|pid| pid.to_string()),
            Column::PPid => self.ppid().map(|pid| pid.to_string()),
            Column::Command => self.command.as_deref().map(clean),
            Column::Uid => self.uid().map(|uid| uid.to_string()),
            Column::User => self.user.as_deref().map(clean),
            Column::Nsfs => Some(self.nsfs().iter().map(|path| clean(path)).collect::<Vec<_>>().join(",")),
            Column::Pns => self.inum(ns.parent).map(|inum| inum.to_string()),
            Column::Ons => self.inum(ns.owner).map(|inum| inum.to_string()),
            Column::NsId => ns.name.id.map(|id| id.to_string()),
            Column::Refs => ns.refs.map(|refs| refs.to_string()),
            Column::Unexplained => ns.unexplained().map(|n| n.to_string()),
            Column::Holders => Some(ns.holders.len().to_string()),
            Column::KeptBy => Some(self.kept_by().join(",")),
            Column::State => Some(ns.state().to_owned()),
            Column::NetNsId => match &self.netnsid {
                Seen::Is(number) => Some(number.to_string()),
                Seen::Absent => None,
                Seen::Unreadable(_) => Some("?".to_owned()),
            },
            Column::Container => self.container.map(|container| clean(short_name(container))),
            Column::Runtime => self.container.map(|container| clean(&container.runtime)),
            Column::Pod => self.container.and_then(|container| container.pod.as_deref()).map(clean),
            Column::Image => self.container.and_then(|container| container.image.as_deref()).map(clean),
            Column::Age => self.creation.as_ref().map(|creation| duration::human(creation.age_ns)),
            Column::Created => self.creation.as_ref().map(|creation| time::rfc3339(creation.utc_ns)),
            Column::Creator => self.creator().as_deref().map(clean),
        }
    }
}

impl Row for LsRow<'_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        let number = |number: u32| Value::Number(number.into());
        let ns = self.ns();
        let text = |text: String| Value::String(Cow::Owned(text));
        fn borrowed(text: &str) -> Value<'_> {
            Value::String(Cow::Borrowed(text))
        }
        match name {
            "NS" => Some(number(ns.name.inum)),
            "TYPE" => Some(Value::String(Cow::Borrowed(ns.name.ns_type.name()))),
            "NPROCS" => Some(number(ns.nprocs)),
            "PID" => self.pid().map(number),
            "PPID" => self.ppid().map(number),
            "COMMAND" => self.command.as_deref().map(|c| Value::String(Cow::Borrowed(c))),
            "UID" => self.uid().map(number),
            "USER" => self.user.as_deref().map(|c| Value::String(Cow::Borrowed(c))),
            "NSFS" => Some(text(self.nsfs().join(","))),
            "PNS" => self.inum(ns.parent).map(number),
            "ONS" => self.inum(ns.owner).map(number),
            "NSID" => ns.name.id.map(Value::Number),
            "REFS" => ns.refs.map(number),
            "UNEXPLAINED" => ns.unexplained().map(number),
            "HOLDERS" => Some(Value::Number(ns.holders.len() as u64)),
            "KEPT_BY" => Some(text(self.kept_by().join(","))),
            "STATE" => Some(Value::String(Cow::Borrowed(ns.state()))),
            "NETNSID" => match self.netnsid {
                Seen::Is(NetNsId::Is(id)) => Some(number(id)),
                _ => None,
            },
            // Its name where the column shows that.
            "CONTAINER" => self.container.map(|c| borrowed(c.name.as_deref().unwrap_or(&c.id))),
            "RUNTIME" => self.container.map(|c| borrowed(&c.runtime)),
            "POD" => self.container.and_then(|c| c.pod.as_deref()).map(borrowed),
            "IMAGE" => self.container.and_then(|c| c.image.as_deref()).map(borrowed),
            "AGE" => self.creation.as_ref().map(|creation| Value::Float(creation.age_ns as f64 / 1e9)),
            "CREATED" => self.creation.as_ref().map(|creation| text(time::rfc3339(creation.utc_ns))),
            "CREATOR" => self.creator().map(text),
            _ => None,
        }
    }
}

/// Its name, else the start of its id as docker and podman show it; ids that are no hashes whole.
fn short_name(container: &Named) -> &str {
    let id = &container.id;
    let is_hash = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    container.name.as_deref().unwrap_or(if is_hash { &id[..12] } else { id })
}

/// The table. `prefixes` draw a tree before the first column; empty for a list.
pub fn table(rows: &[LsRow<'_>], prefixes: &[String], columns: &[Column], headings: bool) -> String {
    let mut table = Table::new(columns.iter().map(|c| (c.name(), c.is_right() && prefixes.is_empty())).collect());
    for (at, row) in rows.iter().enumerate() {
        let cells = columns.iter().enumerate().map(|(n, &column)| {
            let text = row.text(column).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
            match prefixes.get(at).filter(|_| n == 0) {
                Some(prefix) => Cell(format!("{prefix}{text}")),
                None => Cell(text),
            }
        });
        table.row(cells.collect());
    }
    table.text(headings)
}

/// For scripts, as `lsns --raw`: one space between cells, blanks within as `\x20`; a cell without anything stays empty.
pub fn raw(rows: &[LsRow<'_>], columns: &[Column], headings: bool) -> String {
    let heading = headings.then(|| columns.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>());
    let cells = rows.iter().map(|row| {
        columns.iter().map(|&column| row.text(column).unwrap_or_default().replace(' ', "\\x20")).collect::<Vec<_>>()
    });
    heading.into_iter().chain(cells).map(|line| line.join(" ") + "\n").collect()
}
