//! Columns of `nstrace ls`, and the fields that filters over its rows may name.

use super::escape::escaped;
use crate::{
    filter::{Field, Kind},
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
    NetNsId,
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
    Image,
    Age,
    Created,
    Creator,
}

/// "unknown column 'x'", with the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column '{}': use some of {}", escaped(.0.as_bytes()), Column::ALL.map(|(_, name)| name).join(" "))]
pub struct UnknownColumn(pub String);

impl Column {
    pub const ALL: [(Self, &'static str); 25] = [
        (Self::Ns, "NS"),
        (Self::Type, "TYPE"),
        (Self::NProcs, "NPROCS"),
        (Self::Pid, "PID"),
        (Self::PPid, "PPID"),
        (Self::Command, "COMMAND"),
        (Self::Uid, "UID"),
        (Self::User, "USER"),
        (Self::NetNsId, "NETNSID"),
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
        (Self::Image, "IMAGE"),
        (Self::Age, "AGE"),
        (Self::Created, "CREATED"),
        (Self::Creator, "CREATOR"),
    ];

    /// Those shown without `-o`.
    pub const DEFAULT: [Self; 8] =
        [Self::Ns, Self::Type, Self::NProcs, Self::Pid, Self::User, Self::KeptBy, Self::Container, Self::Command];

    /// Those shown without `-o` of these types only; network namespaces alone show, as in lsns(8), how they are known too.
    pub fn default_of(types: &[NsType]) -> Vec<Self> {
        let mut columns = Self::DEFAULT.to_vec();
        if types == [NsType::Net] {
            // The command stays last: it is the longest.
            let last = columns.len() - 1;
            columns.splice(last..last, [Self::NetNsId, Self::Nsfs]);
        }
        columns
    }

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
                | Self::NetNsId
                | Self::Age
                | Self::Pns
                | Self::Ons
                | Self::NsId
                | Self::Refs
                | Self::Unexplained
                | Self::Holders
        )
    }

    /// The columns of `-o`: `COLS` replaces the default ones, `+COLS` extends them. Any case; commas between.
    ///
    /// # Errors
    /// The first name that is no column, also an empty one.
    pub fn list(text: &str, types: &[NsType]) -> Result<Vec<Self>, UnknownColumn> {
        let (mut columns, names) = match text.strip_prefix('+') {
            Some(names) => (Self::default_of(types), names),
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
pub const FIELDS: [Field; 25] = [
    field("NS", Kind::Number),
    field("TYPE", Kind::String),
    field("NPROCS", Kind::Number),
    field("PID", Kind::Number),
    field("PPID", Kind::Number),
    field("COMMAND", Kind::String),
    field("UID", Kind::Number),
    field("USER", Kind::String),
    field("NETNSID", Kind::Number),
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
    field("IMAGE", Kind::String),
    // Seconds.
    field("AGE", Kind::Float),
    field("CREATED", Kind::String),
    field("CREATOR", Kind::String),
];
