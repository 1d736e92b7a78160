//! `nstrace ls`: rows of the census as a table. Pure.

use std::{borrow::Cow, fmt};

use super::{duration, escape::escaped, ls_columns::Column, ls_table::Table, time};
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

    /// Appends what stands in this column, nothing when there is nothing to say.
    fn put(&self, column: Column, out: &mut String) {
        let ns = self.ns();
        match column {
            Column::Ns => put(out, ns.name.inum),
            Column::Type => put(out, ns.name.ns_type),
            Column::NProcs => put(out, ns.nprocs),
            Column::Pid => put_some(out, self.pid()),
            Column::PPid => put_some(out, self.ppid()),
            Column::Command => put_name(out, self.command.as_deref()),
            Column::Uid => put_some(out, self.uid()),
            Column::User => put_name(out, self.user.as_deref()),
            Column::Nsfs => {
                for (number, path) in self.nsfs().into_iter().enumerate() {
                    out.push_str(if number == 0 { "" } else { "," });
                    put_name(out, Some(path));
                }
            }
            Column::Pns => put_some(out, self.inum(ns.parent)),
            Column::Ons => put_some(out, self.inum(ns.owner)),
            Column::NsId => put_some(out, ns.name.id),
            Column::Refs => put_some(out, ns.refs),
            Column::Unexplained => put_some(out, ns.unexplained()),
            Column::Holders => put(out, ns.holders.len()),
            Column::KeptBy => {
                for (number, kind) in ns.kept_by().into_iter().enumerate() {
                    out.push_str(if number == 0 { "" } else { "," });
                    out.push_str(kind.name());
                }
            }
            Column::State => out.push_str(ns.state()),
            Column::NetNsId => match &self.netnsid {
                Seen::Is(number) => put(out, number),
                Seen::Absent => {}
                Seen::Unreadable(_) => out.push('?'),
            },
            Column::Container => put_name(out, self.container.map(short_name)),
            Column::Runtime => put_name(out, self.container.map(|container| &*container.runtime)),
            Column::Pod => put_name(out, self.container.and_then(|container| container.pod.as_deref())),
            Column::Image => put_name(out, self.container.and_then(|container| container.image.as_deref())),
            Column::Age => put_some(out, self.creation.as_ref().map(|creation| duration::human(creation.age_ns))),
            Column::Created => put_some(out, self.creation.as_ref().map(|creation| time::rfc3339(creation.utc_ns))),
            Column::Creator => put_name(out, self.creator().as_deref()),
        }
    }
}

fn put(out: &mut String, what: impl fmt::Display) {
    use fmt::Write as _;
    // A string takes everything.
    let _ = write!(out, "{what}");
}

fn put_some(out: &mut String, what: Option<impl fmt::Display>) {
    if let Some(what) = what {
        put(out, what);
    }
}

/// A hostile name.
fn put_name(out: &mut String, name: Option<&str>) {
    put_some(out, name.map(|name| escaped(name.as_bytes())));
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
        for (n, &column) in columns.iter().enumerate() {
            table.cell(|out| {
                out.push_str(prefixes.get(at).filter(|_| n == 0).map_or("", String::as_str));
                let before = out.len();
                row.put(column, out);
                if out.len() == before {
                    out.push('-');
                }
            });
        }
    }
    table.text(headings)
}

/// For scripts, as `lsns --raw`: one space between cells, blanks within as `\x20`; a cell without anything stays empty.
pub fn raw(rows: &[LsRow<'_>], columns: &[Column], headings: bool) -> String {
    let heading = headings.then(|| columns.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>());
    let cells = rows.iter().map(|row| {
        let cell = |&column: &Column| {
            let mut text = String::new();
            row.put(column, &mut text);
            text.replace(' ', "\\x20")
        };
        columns.iter().map(cell).collect::<Vec<_>>()
    });
    heading.into_iter().chain(cells).map(|line| line.join(" ") + "\n").collect()
}
