//! `replay --at TIME show` and `map`: what a recording knows of a moment, as text and as JSON documents.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    clone_flags, duration,
    sections::{Look, Sections, clean},
    show_task::processes,
    time,
};
use crate::{
    engine::Named,
    inspect::{
        recorded::{RecordedContainer, RecordedMember, RecordedNs, RecordedTask},
        task::{CameFrom, NsRef},
    },
};

/// Deepest nesting of pid and user namespaces (`MAX_PID_NS_LEVEL`; create_user_ns); what a recording says beyond is a lie.
const MAX_LEVEL: usize = 33;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShowAt {
    /// The moment.
    #[serde(serialize_with = "rfc3339")]
    pub at: i64,
    /// The target as it was asked for.
    pub target: String,
    /// `task`, `container` or `namespace`.
    pub kind: &'static str,
    /// The task; of a container its init.
    pub task: Option<RecordedTask>,
    pub container: Option<RecordedContainer>,
    pub namespace: Option<RecordedNs>,
}

/// Every namespace of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapAt {
    #[serde(serialize_with = "rfc3339")]
    pub at: i64,
    /// `pid`, `user`, `mnt` or `net`.
    pub what: &'static str,
    pub namespaces: Vec<RecordedNs>,
}

fn rfc3339<S: serde::Serializer>(utc_ns: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time::rfc3339(*utc_ns))
}

impl ShowAt {
    /// `boot_ns`: the moment by CLOCK_BOOTTIME.
    pub fn text(&self, look: Look, boot_ns: u64) -> String {
        let mut out = Sections::new(look);
        if let Some(container) = &self.container {
            write_container(container, &mut out);
        }
        if let Some(task) = &self.task {
            write_task(task, boot_ns, &mut out);
        }
        if let Some(namespace) = &self.namespace {
            write_namespace(namespace, &mut out);
        }
        out.finish()
    }
}

fn write_container(report: &RecordedContainer, out: &mut Sections) {
    let container = &report.container;
    out.heading(&format!("container {}", clean(&container.to_string())));
    let mut rows = vec![vec!["id".to_owned(), clean(&container.id)]];
    for (name, value) in [
        ("image", &container.image),
        ("image id", &container.image_id),
        ("pod", &container.pod),
        ("pod namespace", &container.pod_namespace),
    ] {
        rows.extend(value.as_ref().map(|value| vec![name.to_owned(), clean(value)]));
    }
    rows.push(vec!["processes".to_owned(), report.processes.len().to_string()]);
    out.table(&rows);
    members(&report.processes, out);
}

fn members(members: &[RecordedMember], out: &mut Sections) {
    const MOST: usize = 40;
    if members.is_empty() {
        return;
    }
    let mut rows = vec![["PID", "INSIDE", "UID", "CONTAINER", "COMMAND"].map(str::to_owned).to_vec()];
    for member in members.iter().take(MOST) {
        rows.push(vec![
            member.pid.to_string(),
            member.pids.iter().skip(1).map(u32::to_string).collect::<Vec<_>>().join(" "),
            member.uid.to_string(),
            container(member.container.as_ref()),
            clean(&member.comm),
        ]);
    }
    out.table(&rows);
    if members.len() > MOST {
        out.line(&format!("  and {} more: all of them with -J", members.len() - MOST));
    }
}

fn container(container: Option<&Named>) -> String {
    container.map_or_else(|| "-".to_owned(), |container| clean(&container.to_string()))
}

fn name(ns: Option<&NsRef>) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| ns.0.to_string())
}

fn id(ns: Option<&NsRef>) -> String {
    ns.and_then(|ns| ns.0.id).map_or_else(|| "-".to_owned(), |id| id.to_string())
}

fn list(list: &[NsRef]) -> String {
    list.iter().map(|ns| ns.0.to_string()).collect::<Vec<_>>().join(" ")
}

/// `unshare(CLONE_NEWNET) by 299 (runc), 2025-11-21T20:35:12Z`.
fn created(created: Option<&CameFrom>) -> String {
    let Some(created) = created else { return "-".to_owned() };
    let flags = clone_flags::namespace_names(created.cause.via, created.cause.flags);
    let flags = if flags.is_empty() { String::new() } else { format!("({})", flags.join("|")) };
    let by = created.by.as_ref().map(|(pid, comm)| format!(" by {pid} ({})", clean(comm))).unwrap_or_default();
    format!("{}{flags}{by}, {}", created.cause.via.name(), time::rfc3339(created.utc_ns))
}

fn write_task(task: &RecordedTask, boot_ns: u64, out: &mut Sections) {
    let what = if task.tid == task.pid { "process".to_owned() } else { format!("thread {} of process", task.tid) };
    out.heading(&format!("{what} {} ({})", task.pid, clean(&task.comm)));
    let level = |at: &crate::inspect::task::PidAt| match &at.ns {
        Some(ns) => format!("{} in {}", at.pid, ns.0),
        None => at.pid.to_string(),
    };
    let age = duration::human(boot_ns.saturating_sub(task.started_boot_ns.0));
    let uid = if task.uid == task.euid {
        task.uid.to_string()
    } else {
        format!("real {}, effective {}", task.uid, task.euid)
    };
    let capabilities =
        if task.effective.is_empty() { "none".to_owned() } else { task.effective.join(" ").to_lowercase() };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    out.table(&[
        row("container", container(task.container.as_ref())),
        row("pids", task.pids.iter().map(level).collect::<Vec<_>>().join(", ")),
        row("uid", uid),
        row("started", format!("{age} before, {} thread(s)", task.threads)),
        row("capabilities", capabilities),
    ]);
    out.heading("NAMESPACES");
    let heading = ["SLOT", "NAMESPACE", "NSID", "IS", "SHARED WITH", "OWNER", "CREATED"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for slot in &task.namespaces {
        rows.push(vec![
            slot.slot.to_owned(),
            name(slot.ns.as_ref()),
            id(slot.ns.as_ref()),
            if slot.initial { "= host" } else { "-" }.to_owned(),
            slot.shared_with.map_or_else(|| "-".to_owned(), processes),
            name(slot.owner.as_ref()),
            created(slot.created.as_ref()),
        ]);
    }
    out.table(&rows);
}

fn write_namespace(report: &RecordedNs, out: &mut Sections) {
    out.heading(&format!("namespace {}{}", report.ns.0, if report.initial { " (initial)" } else { "" }));
    let mut rows =
        vec![vec!["nsid".to_owned(), id(Some(&report.ns))], vec!["state".to_owned(), report.state.to_owned()]];
    let mut row = |name: &str, value: String| {
        if !value.is_empty() && value != "-" {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    row("owner", name(report.owner.as_ref()));
    row("parent", name(report.parent.as_ref()));
    row("level", report.level.map(|level| level.to_string()).unwrap_or_default());
    row("created", created(report.created.as_ref()));
    row("created by uid", report.owner_uid.map(|uid| uid.to_string()).unwrap_or_default());
    row("held by", if report.pinned { "an nsfs file or bind mount".to_owned() } else { String::new() });
    row("children", list(&report.children));
    row("owns", list(&report.owns));
    row("next children of", report.pending.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    row("members", report.members.len().to_string());
    out.table(&rows);
    members(&report.members, out);
}

/// `map`: each namespace indented below its parent, with its members.
pub fn map(map: &MapAt, look: Look) -> String {
    let mut out = Sections::new(look);
    let mut depths: HashMap<(u32, Option<u64>), usize> = HashMap::new();
    for row in &map.namespaces {
        let of = |ns: &NsRef| (ns.0.inum, ns.0.id);
        // Parents come first.
        let depth = row.parent.as_ref().and_then(|parent| depths.get(&of(parent))).map_or(0, |depth| depth + 1);
        let depth = depth.min(MAX_LEVEL);
        depths.insert(of(&row.ns), depth);
        let mut marks = Vec::new();
        if row.initial {
            marks.push("initial".to_owned());
        } else {
            marks.push(format!("{} process(es)", row.members.len()));
        }
        if row.pinned {
            marks.push("held by a file or mount".to_owned());
        }
        if let Some(owner) = row.owner.as_ref().filter(|_| map.what != "user") {
            marks.push(format!("owned by {}", owner.0));
        }
        if let Some(uid) = row.owner_uid.filter(|_| map.what == "user") {
            marks.push(format!("made by uid {uid}"));
        }
        if row.created.is_some() {
            marks.push(created(row.created.as_ref()));
        }
        out.heading(&format!("{}{}, {}", "  ".repeat(depth), row.ns.0, marks.join(", ")));
        if !row.owns.is_empty() {
            out.line(&format!("{}  owns {}", "  ".repeat(depth), list(&row.owns)));
        }
        members(&row.members, &mut out);
    }
    out.finish()
}
