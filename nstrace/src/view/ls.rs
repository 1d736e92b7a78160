//! `nstrace ls`: rows of the census as a table, a tree or one JSON document. Pure.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    escape::escaped,
    json::Safe,
    ls_table::{Cell, Table},
    schema,
};
use crate::{
    census::{Census, Holder, Namespace, NsIndex},
    filter::{Field, Kind, Row, Value},
    model::Container,
    ns::NsType,
};

/// A column; lsns(8)'s names mean what they mean there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Ns,
    Type,
    NProcs,
    Pid,
    PPid,
    Command,
    Uid,
    User,
    Nsfs,
    Pns,
    Ons,
    NsId,
    Refs,
    Unexplained,
    Holders,
    KeptBy,
    State,
    Container,
    Runtime,
    Pod,
}

/// "unknown column 'x'", with the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column '{}': use some of {}", escaped(.0.as_bytes()), Column::ALL.map(|(_, name)| name).join(" "))]
pub struct UnknownColumn(pub String);

impl Column {
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::Ns, "NS"),
        (Self::Type, "TYPE"),
        (Self::NProcs, "NPROCS"),
        (Self::Pid, "PID"),
        (Self::PPid, "PPID"),
        (Self::Command, "COMMAND"),
        (Self::Uid, "UID"),
        (Self::User, "USER"),
        (Self::Nsfs, "NSFS"),
        (Self::Pns, "PNS"),
        (Self::Ons, "ONS"),
        (Self::NsId, "NSID"),
        (Self::Refs, "REFS"),
        (Self::Unexplained, "UNEXPLAINED"),
        (Self::Holders, "HOLDERS"),
        (Self::KeptBy, "KEPT-BY"),
        (Self::State, "STATE"),
        (Self::Container, "CONTAINER"),
        (Self::Runtime, "RUNTIME"),
        (Self::Pod, "POD"),
    ];

    /// Those shown without `-o`.
    pub const DEFAULT: [Self; 8] =
        [Self::Ns, Self::Type, Self::NProcs, Self::Pid, Self::User, Self::KeptBy, Self::Container, Self::Command];

    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(column, _)| *column == self).map_or("", |(_, name)| name)
    }

    pub const fn is_right(self) -> bool {
        matches!(
            self,
            Self::Ns
                | Self::NProcs
                | Self::Pid
                | Self::PPid
                | Self::Uid
                | Self::Pns
                | Self::Ons
                | Self::NsId
                | Self::Refs
                | Self::Unexplained
                | Self::Holders
        )
    }

    /// Only members are needed to fill it.
    pub const fn is_about_members(self) -> bool {
        !matches!(self, Self::Nsfs | Self::Unexplained | Self::Holders | Self::KeptBy | Self::State)
    }

    /// The columns of `-o`: `COLS` replaces the default ones, `+COLS` extends them. Any case; commas between.
    ///
    /// # Errors
    /// The first name that is no column, also an empty one.
    pub fn list(text: &str) -> Result<Vec<Self>, UnknownColumn> {
        let (mut columns, names) = match text.strip_prefix('+') {
            Some(names) => (Self::DEFAULT.to_vec(), names),
            None => (Vec::new(), text),
        };
        for name in names.split(',') {
            let found = Self::ALL.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name.trim()));
            columns.push(found.ok_or_else(|| UnknownColumn(name.to_owned()))?.0);
        }
        Ok(columns)
    }
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

/// What `-Q` may name.
pub const FIELDS: [Field; 20] = [
    field("NS", Kind::Number),
    field("TYPE", Kind::String),
    field("NPROCS", Kind::Number),
    field("PID", Kind::Number),
    field("PPID", Kind::Number),
    field("COMMAND", Kind::String),
    field("UID", Kind::Number),
    field("USER", Kind::String),
    field("NSFS", Kind::String),
    field("PNS", Kind::Number),
    field("ONS", Kind::Number),
    field("NSID", Kind::Number),
    field("REFS", Kind::Number),
    field("UNEXPLAINED", Kind::Number),
    field("HOLDERS", Kind::Number),
    // scols-filter has no hyphens in names.
    field("KEPT_BY", Kind::String),
    field("STATE", Kind::String),
    field("CONTAINER", Kind::String),
    field("RUNTIME", Kind::String),
    field("POD", Kind::String),
];

/// One namespace with what was looked up for it.
#[derive(Clone, Debug)]
pub struct LsRow<'c> {
    pub census: &'c Census,
    pub index: NsIndex,
    /// Command line of the first process, or its name; hostile.
    pub command: Option<String>,
    /// User of the first process, or the one who made the user namespace, by name where it has one.
    pub user: Option<String>,
}

impl LsRow<'_> {
    fn ns(&self) -> &Namespace {
        self.census.namespace(self.index)
    }

    fn inum(&self, index: Option<NsIndex>) -> Option<u32> {
        index.map(|index| self.census.namespace(index).name.inum)
    }

    fn pid(&self) -> Option<u32> {
        self.ns().first.map(|first| self.census.task(first).tgid)
    }

    fn ppid(&self) -> Option<u32> {
        self.ns().first.and_then(|first| self.census.task(first).ppid)
    }

    /// Of the first process, else of who made the user namespace.
    pub fn uid(&self) -> Option<u32> {
        self.ns().first.map(|first| self.census.task(first).uid).or(self.ns().owner_uid)
    }

    fn container(&self) -> Option<&Container> {
        self.ns().container.as_deref()
    }

    /// Bind mounts that a path leads to, as lsns(8) lists them.
    fn nsfs(&self) -> Vec<&str> {
        let mounts = self.ns().holders.iter().filter_map(|holder| match holder {
            Holder::Mount(mount) => mount.path.as_deref(),
            _ => None,
        });
        let mut paths: Vec<&str> = mounts.collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn kept_by(&self) -> Vec<&'static str> {
        self.ns().kept_by().into_iter().map(crate::census::HolderKind::name).collect()
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
            Column::Container => self.container().map(|container| {
                let id = &container.id;
                let short = if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) { &id[..12] } else { id };
                clean(short)
            }),
            Column::Runtime => self.container().map(|container| container.runtime.to_owned()),
            Column::Pod => self.container().and_then(|container| container.pod.as_deref()).map(clean),
        }
    }
}

impl Row for LsRow<'_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        let number = |number: u32| Value::Number(number.into());
        let ns = self.ns();
        let text = |text: String| Value::String(Cow::Owned(text));
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
            "CONTAINER" => self.container().map(|c| Value::String(Cow::Borrowed(&c.id))),
            "RUNTIME" => self.container().map(|c| Value::String(Cow::Borrowed(c.runtime))),
            "POD" => self.container().and_then(|c| c.pod.as_deref()).map(|pod| Value::String(Cow::Borrowed(pod))),
            _ => None,
        }
    }
}

/// The table. `prefix` draws a tree before the first column; empty for a list.
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

/// One namespace in the JSON document.
#[derive(Serialize)]
struct JsonRow<'a> {
    ns: u32,
    r#type: NsType,
    id: Option<Safe>,
    nprocs: u32,
    refs: Option<u32>,
    unexplained: Option<u32>,
    pid: Option<u32>,
    ppid: Option<u32>,
    command: Option<&'a str>,
    uid: Option<u32>,
    user: Option<&'a str>,
    owner: Option<u32>,
    parent: Option<u32>,
    nsfs: Vec<&'a str>,
    state: &'static str,
    initial: bool,
    container: Option<&'a Container>,
    holders: usize,
    kept_by: Vec<&'static str>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    boot_id: &'a str,
    complete: bool,
    missing: &'a [String],
    namespaces: Vec<JsonRow<'a>>,
}

/// The document of `ls -J`, its newline included.
pub fn json(census: &Census, rows: &[LsRow<'_>]) -> Vec<u8> {
    let namespaces = rows
        .iter()
        .map(|row| {
            let ns = row.ns();
            JsonRow {
                ns: ns.name.inum,
                r#type: ns.name.ns_type,
                id: ns.name.id.map(Safe),
                nprocs: ns.nprocs,
                refs: ns.refs,
                unexplained: ns.unexplained(),
                pid: row.pid(),
                ppid: row.ppid(),
                command: row.command.as_deref(),
                uid: row.uid(),
                user: row.user.as_deref(),
                owner: row.inum(ns.owner),
                parent: row.inum(ns.parent),
                nsfs: row.nsfs(),
                state: ns.state(),
                initial: ns.initial,
                container: row.container(),
                holders: ns.holders.len(),
                kept_by: row.kept_by(),
            }
        })
        .collect();
    let missing = census.all_missing();
    super::json::document(&Document {
        schema: schema::VERSION,
        boot_id: &census.boot_id,
        complete: missing.is_empty(),
        missing: &missing,
        namespaces,
    })
}
