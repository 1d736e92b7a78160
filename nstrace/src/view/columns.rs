//! Columns of the text view of events: names, widths, and what stands in a cell.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::{clone_flags, deed as deed_words, duration, errno, escape::escaped, time};
use crate::{
    event::PinHolder,
    model::{Change, Container, NsSeen, What},
};

/// A column of `watch`. lsns(8)'s names mean what they mean there, except that `NS` says the type too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Time,
    Boot,
    Seq,
    Event,
    Ns,
    Type,
    NsId,
    Pid,
    Tid,
    Pids,
    Comm,
    Uid,
    Container,
    Runtime,
    Pod,
    Cause,
    Details,
}

/// "unknown column 'x'", with the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column '{}': use some of {}", escaped(.0.as_bytes()), Column::ALL.map(Column::name).join(" "))]
pub struct UnknownColumn(pub String);

impl Column {
    pub const ALL: [Self; 17] = [
        Self::Time,
        Self::Boot,
        Self::Seq,
        Self::Event,
        Self::Ns,
        Self::Type,
        Self::NsId,
        Self::Pid,
        Self::Tid,
        Self::Pids,
        Self::Comm,
        Self::Uid,
        Self::Container,
        Self::Runtime,
        Self::Pod,
        Self::Cause,
        Self::Details,
    ];

    /// Those shown without `-o`.
    pub const DEFAULT: [Self; 8] =
        [Self::Time, Self::Event, Self::Ns, Self::Pid, Self::Comm, Self::Container, Self::Cause, Self::Details];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "TIME",
            Self::Boot => "BOOT",
            Self::Seq => "SEQ",
            Self::Event => "EVENT",
            Self::Ns => "NS",
            Self::Type => "TYPE",
            Self::NsId => "NSID",
            Self::Pid => "PID",
            Self::Tid => "TID",
            Self::Pids => "PIDS",
            Self::Comm => "COMM",
            Self::Uid => "UID",
            Self::Container => "CONTAINER",
            Self::Runtime => "RUNTIME",
            Self::Pod => "POD",
            Self::Cause => "CAUSE",
            Self::Details => "DETAILS",
        }
    }

    /// Characters it takes; a longer cell shifts the rest of its own line only.
    pub const fn width(self) -> usize {
        match self {
            Self::Time | Self::Container => 12,
            Self::Boot => 17,
            Self::Event => 9,
            Self::Ns => 24,
            Self::Type => 6,
            Self::NsId | Self::Uid => 10,
            Self::Pid | Self::Tid | Self::Seq => 7,
            Self::Pids | Self::Runtime => 10,
            Self::Comm => 15,
            Self::Pod => 36,
            Self::Cause => 24,
            Self::Details => 0,
        }
    }

    /// Numbers stand on the right.
    pub const fn is_right(self) -> bool {
        matches!(self, Self::Boot | Self::Seq | Self::NsId | Self::Pid | Self::Tid | Self::Uid)
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
            let column = Self::ALL.into_iter().find(|c| c.name().eq_ignore_ascii_case(name.trim()));
            columns.push(column.ok_or_else(|| UnknownColumn(name.to_owned()))?);
        }
        Ok(columns)
    }

    /// The text of one cell, escaped; `-` where there is nothing to say (`DETAILS` stays empty).
    pub(super) fn cell(self, change: &Change, zone: &TimeZone) -> String {
        let task = change.task.as_ref();
        let container = change.container.as_deref();
        let text = match self {
            Self::Time => Some(time::time_of_day(change.utc_ns, zone)),
            Self::Boot => {
                let ns = change.stamp.boot_ns;
                Some(format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000))
            }
            Self::Seq => Some(change.seq.to_string()),
            Self::Event => Some(change.what.event().to_owned()),
            Self::Ns => ns(&change.what),
            Self::Type => change.what.ns_type().map(|t| t.to_string()),
            Self::NsId => change.what.ns().and_then(|ns| ns.name.id).map(|id| id.to_string()),
            Self::Pid => task.map(|task| task.tgid.to_string()),
            Self::Tid => task.map(|task| task.key.tid.to_string()),
            Self::Pids => {
                task.map(|task| task.pids.as_slice().iter().map(u32::to_string).collect::<Vec<_>>().join(","))
            }
            Self::Comm => task.map(|task| escaped(task.comm.as_bytes()).to_string()),
            Self::Uid => task.map(|task| task.uid.to_string()),
            Self::Container => container.map(short_id),
            Self::Runtime => container.map(|c| c.runtime.to_owned()),
            Self::Pod => container.and_then(|c| c.pod.as_deref()).map(|pod| escaped(pod.as_bytes()).to_string()),
            Self::Cause => cause(change),
            Self::Details => return details(&change.what),
        };
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
    }
}

/// `net:[4026532177]`, `net:[4026531840]=init`, or the type alone of an attempt that named no namespace.
pub(super) fn ns(what: &What) -> Option<String> {
    match what.ns() {
        Some(NsSeen { name, initial: true, .. }) => Some(format!("{name}=init")),
        Some(NsSeen { name, .. }) => Some(name.to_string()),
        None => what.ns_type().map(|t| t.to_string()),
    }
}

/// `unshare(CLONE_NEWNET)`, `setns(CLONE_NEWPID) = EPERM`, `exit`.
pub(super) fn cause(change: &Change) -> Option<String> {
    let cause = change.cause?;
    let mut text = cause.via.name().to_owned();
    let flags = clone_flags::namespace_names(cause.via, cause.flags);
    if !flags.is_empty() {
        let _ = write!(text, "({})", flags.join("|"));
    }
    if let Some(errno) = cause.errno {
        let _ = write!(text, " = {}", errno::name(errno));
    }
    Some(text)
}

/// The first 12 digits of a container id as docker and podman show it; names of machines whole.
fn short_id(container: &Container) -> String {
    let id = &container.id;
    let is_hash = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    escaped(if is_hash { &id.as_bytes()[..12] } else { id.as_bytes() }).to_string()
}

fn details(what: &What) -> String {
    match what {
        What::Snapshot { nprocs, holders, .. } => {
            let mut text = format!("nprocs {nprocs}");
            for holder in holders {
                let _ = match holder {
                    PinHolder::Fd { tgid, fd } => write!(text, ", held by fd {fd} of {tgid}"),
                    PinHolder::Mount { path, .. } => write!(text, ", held by mount {}", escaped(path.as_bytes())),
                };
            }
            text
        }
        What::Created { owner, parent, .. } => {
            let owner = owner.map(|owner| format!("owner {owner}"));
            let parent = parent.map(|parent| format!("parent {parent}"));
            owner.into_iter().chain(parent).collect::<Vec<_>>().join(", ")
        }
        What::Destroyed { lifetime_ns: Some(ns), .. } => format!("lived {}", duration::human(*ns)),
        What::Lost { count, hook: Some(hook) } => format!("{count} records of hook {hook}"),
        What::Lost { count, hook: None } => format!("{count} records"),
        What::Destroyed { lifetime_ns: None, .. }
        | What::Joined { .. }
        | What::Left { .. }
        | What::Pinned { .. }
        | What::Unpinned { .. }
        | What::Denied { .. }
        | What::Resynced => String::new(),
        What::Deed(deed) => deed_words::deed(deed),
        What::Finding(finding) => deed_words::finding(finding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_replace_or_extend() {
        assert_eq!(Column::list("ns,PID"), Ok(vec![Column::Ns, Column::Pid]));
        let mut extended = Column::DEFAULT.to_vec();
        extended.push(Column::Runtime);
        assert_eq!(Column::list("+runtime"), Ok(extended));
    }

    #[test]
    fn unknown_columns_are_named() {
        assert_eq!(Column::list("NS,NOPE"), Err(UnknownColumn("NOPE".to_owned())));
        assert_eq!(Column::list(""), Err(UnknownColumn(String::new())));
        let message = UnknownColumn("a\x1bb".to_owned()).to_string();
        assert!(message.starts_with(r"unknown column 'a\x1bb': use some of TIME BOOT "), "{message}");
    }
}
