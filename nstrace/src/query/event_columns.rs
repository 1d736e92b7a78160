//! The columns of `events`, and what of a change stands in them.

use rusqlite::types::Value;

use crate::{
    event::{PinHolder, TaskInfo},
    model::{Change, Container, What},
    ns::NsName,
    view::{clone_flags, errno, json, time},
};

/// A column of `events`.
pub(super) struct EventColumn {
    pub name: &'static str,
    pub kind: &'static str,
    pub about: &'static str,
    pub value: fn(&Change) -> Value,
}

const fn column(
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    value: fn(&Change) -> Value,
) -> EventColumn {
    EventColumn { name, kind, about, value }
}

/// A 64-bit number: SQLite's are signed, larger ones are text.
pub(super) fn number(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Integer)
}

fn small(number: u32) -> Value {
    Value::Integer(number.into())
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn or_null(value: Option<Value>) -> Value {
    value.unwrap_or(Value::Null)
}

fn of_task(change: &Change, value: fn(&TaskInfo) -> Value) -> Value {
    or_null(change.task.as_ref().map(value))
}

fn of_container(change: &Change, value: fn(&Container) -> Option<String>) -> Value {
    or_null(change.container.as_deref().and_then(value).map(Value::Text))
}

/// Ids of a task from the initial pid namespace inwards, spaces between.
pub(super) fn pids(task: &TaskInfo) -> Value {
    text(task.pids.as_slice().iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}

/// `CLONE_*` names with `|` between; NULL without any.
pub(super) fn flags(change: &Change) -> Value {
    let names = change.cause.map(|cause| clone_flags::names(cause.via, cause.flags)).unwrap_or_default();
    if names.is_empty() { Value::Null } else { text(names.join("|")) }
}

pub(super) fn via(change: &Change) -> Value {
    or_null(change.cause.map(|cause| text(cause.via.name())))
}

pub(super) fn inum(name: Option<NsName>) -> Value {
    or_null(name.map(|name| small(name.inum)))
}

fn owner(change: &Change) -> Option<NsName> {
    if let What::Created { owner, .. } = change.what { owner } else { None }
}

fn parent(change: &Change) -> Option<NsName> {
    if let What::Created { parent, .. } = change.what { parent } else { None }
}

fn holders(change: &Change) -> Option<&[PinHolder]> {
    if let What::Snapshot { holders, .. } = &change.what { Some(holders) } else { None }
}

fn line(change: &Change) -> Value {
    let mut out = Vec::new();
    json::line(change, &mut out);
    text(String::from_utf8_lossy(&out).trim_end())
}

const TEXT: &str = "TEXT";
const INTEGER: &str = "INTEGER";

pub(super) const EVENT_COLUMNS: [EventColumn; 33] = [
    column("seq", INTEGER, "number of the event in the stream, from 1", |c| number(c.seq)),
    column(
        "event",
        TEXT,
        "snapshot created joined left destroyed pinned unpinned denied deed finding lost resynced",
        |c| text(c.what.event()),
    ),
    column("time", TEXT, "RFC 3339 in UTC, nine decimals: sorts as it stands", |c| text(time::rfc3339(c.utc_ns))),
    column("utc_ns", INTEGER, "the same in nanoseconds since 1970", |c| Value::Integer(c.utc_ns)),
    column("boot_ns", INTEGER, "nanoseconds of CLOCK_BOOTTIME", |c| number(c.stamp.boot_ns)),
    column("cpu", INTEGER, "CPU that wrote the record", |c| small(c.stamp.cpu)),
    column("ns_key", INTEGER, "the namespace in this recording: never reused, joins with namespaces", |c| {
        or_null(c.what.ns().map(|ns| number(ns.key.0)))
    }),
    column("type", TEXT, "mnt pid net ipc uts user cgroup time", |c| or_null(c.what.ns_type().map(|t| text(t.name())))),
    column("ns", INTEGER, "inode number of the namespace; reused by the kernel", |c| {
        inum(c.what.ns().map(|ns| ns.name))
    }),
    column("nsid", INTEGER, "64-bit id of the kernel (6.18 and newer)", |c| {
        or_null(c.what.ns().and_then(|ns| ns.name.id).map(number))
    }),
    column("initial", INTEGER, "1 for a namespace that the kernel booted with", |c| {
        or_null(c.what.ns().map(|ns| Value::Integer(ns.initial.into())))
    }),
    column("pid", INTEGER, "process that did it; of a snapshot its first member", |c| of_task(c, |t| small(t.tgid))),
    column("tid", INTEGER, "its thread", |c| of_task(c, |t| small(t.key.tid))),
    column("start_ns", INTEGER, "when the thread started, CLOCK_BOOTTIME: with tid it names one task", |c| {
        of_task(c, |t| number(t.key.start_boottime))
    }),
    column("comm", TEXT, "its name, chosen by itself", |c| of_task(c, |t| text(t.comm.to_string_lossy()))),
    column("uid", INTEGER, "its real user id", |c| of_task(c, |t| small(t.uid))),
    column("euid", INTEGER, "its effective user id", |c| of_task(c, |t| small(t.euid))),
    column("pids", TEXT, "its ids from the initial pid namespace inwards", |c| of_task(c, pids)),
    column("via", TEXT, "clone clone3 fork unshare setns exec exit open close ...", via),
    column("flags", TEXT, "CLONE_* flags of the call, | between", flags),
    column("errno", TEXT, "of a denied attempt: EPERM ...", |c| {
        or_null(c.cause.and_then(|cause| cause.errno).map(|errno| text(errno::name(errno))))
    }),
    column("runtime", TEXT, "what runs the container of the task: docker, containerd ...", |c| {
        of_container(c, |container| Some(container.runtime.to_owned()))
    }),
    column("container", TEXT, "id of that container", |c| of_container(c, |container| Some(container.id.clone()))),
    column("pod", TEXT, "uid of its Kubernetes pod", |c| of_container(c, |container| container.pod.clone())),
    column("owner", INTEGER, "created: inode number of the owning user namespace", |c| inum(owner(c))),
    column("owner_id", INTEGER, "and its 64-bit id", |c| or_null(owner(c).and_then(|ns| ns.id).map(number))),
    column("parent", INTEGER, "created: inode number of the parent (pid, user)", |c| inum(parent(c))),
    column("parent_id", INTEGER, "and its 64-bit id", |c| or_null(parent(c).and_then(|ns| ns.id).map(number))),
    column("nprocs", INTEGER, "snapshot: processes in it", |c| match c.what {
        What::Snapshot { nprocs, .. } => small(nprocs),
        _ => Value::Null,
    }),
    column("holders", INTEGER, "snapshot: open files and mounts of it (see the table holders)", |c| {
        or_null(holders(c).map(|holders| number(holders.len() as u64)))
    }),
    column("lifetime_ns", INTEGER, "destroyed: nanoseconds since its creation", |c| match c.what {
        What::Destroyed { lifetime_ns, .. } => or_null(lifetime_ns.map(number)),
        _ => Value::Null,
    }),
    column("lost", INTEGER, "lost: how many records", |c| match c.what {
        What::Lost { count, .. } => number(count),
        _ => Value::Null,
    }),
    column("json", TEXT, "the line of 'nstrace replay -J'", line),
];
