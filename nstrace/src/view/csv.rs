//! Event lines as comma-separated values (RFC 4180): a header, CRLF, quotes where needed.
//!
//! Spreadsheets run cells that begin like a formula, and names come from the traced system. So a cell that begins with `=`,
//! `+`, `-`, `@` or `'` gets a `'` before it, and names are escaped as they are for a terminal (`\n`, `\x1b`, `\\`): what stood there
//! can be told from the cell. Numbers are never negative.

use super::{clone_flags, errno, escape::escaped, json, time};
use crate::{
    event::PinHolder,
    model::{Change, What},
    ns::NsName,
};

/// The columns, as in the header. An empty cell: does not apply to this event, or is not known.
pub const COLUMNS: [&str; 37] = [
    "event",
    "time",
    "boot_ns",
    "seq",
    "ns_type",
    "ns_inum",
    "ns_id",
    "initial",
    "pid",
    "tid",
    "comm",
    "uid",
    "pids",
    "via",
    "flags",
    "errno",
    "runtime",
    "container",
    "pod",
    "owner_inum",
    "owner_id",
    "parent_inum",
    "parent_id",
    "nprocs",
    "holders",
    "lifetime_ns",
    "lost",
    "hook",
    "rule",
    "severity",
    "title",
    "mitre",
    "explain",
    "evidence",
    "count",
    "suppressed",
    "act",
];

/// Appends the header.
pub fn heading(out: &mut Vec<u8>) {
    record(COLUMNS, out);
}

/// Appends one line.
pub fn line(change: &Change, out: &mut Vec<u8>) {
    let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
    let id = |name: Option<NsName>| number(name.and_then(|name| name.id));
    let inum = |name: Option<NsName>| number(name.map(|name| name.inum.into()));
    let name = |name: Option<&[u8]>| name.map(cell).unwrap_or_default();
    let (task, cause, container) = (change.task.as_ref(), change.cause, change.container.as_deref());
    let ns = change.what.ns();
    let (owner, parent) = match change.what {
        What::Created { owner, parent, .. } => (owner, parent),
        _ => (None, None),
    };
    let (nprocs, holders) = match &change.what {
        What::Snapshot { nprocs, holders, .. } => (Some((*nprocs).into()), held_by(holders)),
        _ => (None, String::new()),
    };
    let lifetime = match change.what {
        What::Destroyed { lifetime_ns, .. } => lifetime_ns,
        _ => None,
    };
    let (lost, hook) = match &change.what {
        What::Lost { count, hook } => (Some(*count), hook.as_deref()),
        _ => (None, None),
    };
    let flags = cause.map(|cause| clone_flags::names(cause.via, cause.flags).join("|"));
    let finding = match &change.what {
        What::Finding(finding) => Some(&**finding),
        _ => None,
    };
    let act = match &change.what {
        What::Deed(deed) => deed.act.name(),
        _ => "",
    };
    let text = |text: Option<&str>| name(text.map(str::as_bytes));
    let evidence = finding.map(|finding| finding.evidence.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    let cells = [
        change.what.event().to_owned(),
        time::rfc3339(change.utc_ns),
        change.stamp.boot_ns.to_string(),
        change.seq.to_string(),
        change.what.ns_type().map(|t| t.name().to_owned()).unwrap_or_default(),
        inum(ns.map(|ns| ns.name)),
        id(ns.map(|ns| ns.name)),
        ns.map(|ns| ns.initial.to_string()).unwrap_or_default(),
        number(task.map(|task| task.tgid.into())),
        number(task.map(|task| task.key.tid.into())),
        name(task.map(|task| task.comm.as_bytes())),
        number(task.map(|task| task.uid.into())),
        task.map(|task| task.pids.as_slice().iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
            .unwrap_or_default(),
        cause.map(|cause| cause.via.name().to_owned()).unwrap_or_default(),
        flags.unwrap_or_default(),
        cause.and_then(|cause| cause.errno).map(|errno| errno::name(errno).into_owned()).unwrap_or_default(),
        container.map(|container| container.runtime.to_owned()).unwrap_or_default(),
        name(container.map(|container| container.id.as_bytes())),
        name(container.and_then(|container| container.pod.as_deref()).map(str::as_bytes)),
        inum(owner),
        id(owner),
        inum(parent),
        id(parent),
        number(nprocs),
        holders,
        number(lifetime),
        number(lost),
        name(hook.map(str::as_bytes)),
        text(finding.map(|finding| &*finding.rule)),
        finding.map(|finding| finding.severity.name().to_owned()).unwrap_or_default(),
        text(finding.map(|finding| &*finding.title)),
        finding.map(|finding| finding.mitre.join(" ")).unwrap_or_default(),
        text(finding.map(|finding| finding.explain.as_str())),
        evidence.unwrap_or_default(),
        number(finding.map(|finding| finding.count)),
        text(finding.and_then(|finding| finding.suppressed.as_deref())),
        act.to_owned(),
    ];
    record(cells.iter().map(String::as_str), out);
}

/// Holders as the JSON array that the event line has; empty when there are none.
fn held_by(holders: &[PinHolder]) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let holders: Vec<_> = holders.iter().map(json::Holder::of).collect();
    String::from_utf8_lossy(&json::document(&holders)).trim_end().to_owned()
}

/// A name from elsewhere as a cell: escaped, and no formula.
pub fn cell(name: &[u8]) -> String {
    let name = escaped(name).to_string();
    if name.starts_with(['=', '+', '-', '@', '\'']) { format!("'{name}") } else { name }
}

/// Appends one record of cells that are safe already.
pub fn record<'a>(cells: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    let mut writer =
        ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).buffer_capacity(512).from_writer(&mut *out);
    // Writing into memory cannot fail.
    let _ = writer.write_record(cells);
    let _ = writer.flush();
}
