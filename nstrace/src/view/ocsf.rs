//! Event lines in the Open Cybersecurity Schema Framework (github.com/ocsf/ocsf-schema, release 1.8.0).
//! `schema/ocsf.schema.json` is the part of it that is used here; `tests/cli_export.rs` holds the two together.
//!
//! What happens to a namespace is Kernel Activity (1003): the namespace is the kernel resource. Losses are a Base Event (0),
//! as they are about the stream. What a detector says is a Detection Finding (2004): created, and updated when it is told again.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    columns, errno, json, ocsf_finding::FindingInfo, origin::Origin, own_fields::OwnFields, sentence::sentence,
};
use crate::{
    detect::Severity,
    event::{TaskInfo, Via},
    model::{Change, Container, What},
};

/// The release whose classes these are.
pub const VERSION: &str = "1.8.0";

/// Its reduced schema.
pub const SCHEMA: &str = include_str!("../../schema/ocsf.schema.json");

/// Appends one line.
pub fn line(change: &Change, origin: &Origin, out: &mut Vec<u8>) {
    json::object(&Line::of(change, origin), out);
}

#[derive(Serialize)]
struct Line<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    severity_id: u32,
    severity: &'static str,
    /// Milliseconds since 1970.
    time: i64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<Cow<'static, str>>,
    metadata: Metadata,
    device: Device<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<Kernel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding_info: Option<FindingInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_alert: Option<bool>,
    unmapped: OwnFields<'a>,
}

#[derive(Serialize)]
struct Metadata {
    version: &'static str,
    product: Product,
    profiles: Vec<&'static str>,
    event_code: &'static str,
    log_name: &'static str,
    sequence: i64,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Device<'a> {
    /// 0: unknown; nobody asks what kind of machine it is.
    type_id: u32,
    hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_uid: Option<&'a str>,
    os: Os<'a>,
}

#[derive(Serialize)]
struct Os<'a> {
    name: &'static str,
    type_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_release: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Actor<'a> {
    Task {
        process: Process<'a>,
        user: User,
    },
    /// Nobody can be named.
    App {
        app_name: &'static str,
    },
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    ptid: u32,
    name: Cow<'a, str>,
    user: User,
    /// Of a leader: of other threads only their own id is known there.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerOut<'a>>,
}

#[derive(Serialize)]
struct User {
    uid: String,
}

#[derive(Serialize)]
struct ContainerOut<'a> {
    uid: &'a str,
    runtime: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uuid: Option<&'a str>,
}

#[derive(Serialize)]
struct Kernel {
    name: String,
    r#type: String,
    /// 99: other than the two types that OCSF knows.
    type_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_system: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_call: Option<&'static str>,
}

/// Class: its category, number and names.
struct Class {
    category: (u32, &'static str),
    uid: u32,
    name: &'static str,
}

const KERNEL_ACTIVITY: Class = Class { category: (1, "System Activity"), uid: 1003, name: "Kernel Activity" };
const DETECTION_FINDING: Class = Class { category: (2, "Findings"), uid: 2004, name: "Detection Finding" };
const BASE_EVENT: Class = Class { category: (0, "Uncategorized"), uid: 0, name: "Base Event" };

/// 99 is "Other", with a name of our own.
const CREATE: (u32, &str) = (1, "Create");
const READ: (u32, &str) = (2, "Read");
const DELETE: (u32, &str) = (3, "Delete");
/// Of a finding.
const UPDATE: (u32, &str) = (2, "Update");

impl<'a> Line<'a> {
    fn of(change: &'a Change, origin: &'a Origin) -> Self {
        let (class, (activity_id, activity_name)) = class_and_activity(change);
        let is_base = class.uid == BASE_EVENT.uid;
        let finding = match &change.what {
            What::Finding(finding) => Some(finding),
            _ => None,
        };
        let errno = change.cause.and_then(|cause| cause.errno);
        let (status_id, status) = match &change.what {
            What::Denied { .. } => (Some(2), Some("Failure")),
            What::Lost { .. } | What::Resynced | What::Deed(_) => (None, None),
            // Of a finding it is what became of it.
            What::Finding(finding) if finding.suppressed.is_some() => (Some(3), Some("Suppressed")),
            What::Finding(_) => (Some(1), Some("New")),
            _ => (Some(1), Some("Success")),
        };
        // Losses are for somebody to look at; what happens to namespaces is not judged here.
        let (severity_id, severity) = match &change.what {
            What::Finding(finding) => match finding.severity {
                Severity::Info => (1, "Informational"),
                Severity::Low => (2, "Low"),
                Severity::Medium => (3, "Medium"),
                Severity::High => (4, "High"),
                Severity::Critical => (5, "Critical"),
            },
            What::Lost { .. } => (2, "Low"),
            _ => (1, "Informational"),
        };
        Self {
            activity_id,
            activity_name,
            category_uid: class.category.0,
            category_name: class.category.1,
            class_uid: class.uid,
            class_name: class.name,
            type_uid: class.uid * 100 + activity_id,
            severity_id,
            severity,
            time: change.utc_ns.div_euclid(1_000_000),
            message: sentence(change),
            status_id,
            status,
            status_code: errno.filter(|_| finding.is_none()).map(errno::name),
            metadata: Metadata {
                version: VERSION,
                product: Product { name: "nstrace", vendor_name: "nstrace", version: env!("CARGO_PKG_VERSION") },
                profiles: match class.uid {
                    0 => vec!["host"],
                    2004 => vec!["container", "host"],
                    _ => vec!["container"],
                },
                event_code: change.what.event(),
                log_name: "nstrace",
                sequence: super::own_fields::long(change.seq),
            },
            device: Device {
                type_id: 0,
                hostname: Origin::known(&origin.host).unwrap_or("unknown"),
                boot_uid: Origin::known(&origin.boot_id),
                os: Os { name: "Linux", type_id: 200, kernel_release: Origin::known(&origin.kernel) },
            },
            actor: (!is_base).then(|| actor(change)),
            kernel: (!is_base && finding.is_none()).then(|| Kernel::of(change)),
            finding_info: finding.map(|finding| FindingInfo::of(change, finding, origin)),
            is_alert: finding.map(|finding| finding.suppressed.is_none()),
            unmapped: OwnFields::of(change),
        }
    }
}

fn class_and_activity(change: &Change) -> (Class, (u32, &'static str)) {
    let asks_for_new = matches!(change.cause.map(|c| c.via), Some(Via::Clone | Via::Clone3 | Via::Unshare));
    match &change.what {
        What::Snapshot { .. } => (KERNEL_ACTIVITY, READ),
        What::Created { .. } => (KERNEL_ACTIVITY, CREATE),
        What::Denied { .. } if asks_for_new => (KERNEL_ACTIVITY, CREATE),
        What::Destroyed { .. } => (KERNEL_ACTIVITY, DELETE),
        What::Joined { .. } | What::Denied { .. } => (KERNEL_ACTIVITY, (99, "Join")),
        What::Left { .. } => (KERNEL_ACTIVITY, (99, "Leave")),
        What::Pinned { .. } => (KERNEL_ACTIVITY, (99, "Pin")),
        What::Unpinned { .. } => (KERNEL_ACTIVITY, (99, "Unpin")),
        What::Lost { .. } => (BASE_EVENT, (99, "Lose")),
        What::Resynced => (BASE_EVENT, (99, "Resync")),
        What::Deed(_) => (BASE_EVENT, (99, "Act")),
        What::Finding(finding) if finding.count > 1 => (DETECTION_FINDING, UPDATE),
        What::Finding(_) => (DETECTION_FINDING, CREATE),
    }
}

fn actor(change: &Change) -> Actor<'_> {
    match &change.task {
        // Who read it is nstrace; its first member is no actor.
        _ if matches!(change.what, What::Snapshot { .. }) => Actor::App { app_name: "nstrace" },
        Some(task) => Actor::Task {
            process: Process::of(task, change.container.as_deref()),
            user: User { uid: task.uid.to_string() },
        },
        None => Actor::App { app_name: "unknown" },
    }
}

impl<'a> Process<'a> {
    fn of(task: &'a TaskInfo, container: Option<&'a Container>) -> Self {
        let pids = task.pids.as_slice();
        Self {
            pid: task.tgid,
            ptid: task.key.tid,
            name: task.comm.to_string_lossy(),
            user: User { uid: task.uid.to_string() },
            namespace_pid: pids.last().copied().filter(|_| task.is_leader() && pids.len() > 1),
            container: container.map(|container| ContainerOut {
                uid: &container.id,
                runtime: container.runtime,
                orchestrator: container.pod.as_ref().map(|_| "kubernetes"),
                // The uid of a static pod is a hash, no UUID.
                pod_uuid: container.pod.as_deref().filter(|uid| is_uuid(uid)),
            }),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12].into_iter().all(|len| {
        groups.next().is_some_and(|group| group.len() == len && group.bytes().all(|b| b.is_ascii_hexdigit()))
    }) && groups.next().is_none()
}

impl Kernel {
    fn of(change: &Change) -> Self {
        let what = &change.what;
        let system_call = match change.cause.map(|cause| cause.via) {
            Some(via @ (Via::Clone | Via::Clone3 | Via::Unshare | Via::Setns)) => Some(via.name()),
            _ => None,
        };
        let name = match what.ns() {
            Some(ns) => ns.name.to_string(),
            None => columns::ns(what).unwrap_or_else(|| "namespace".to_owned()),
        };
        Self {
            name,
            r#type: what.ns_type().map_or_else(|| "namespace".to_owned(), |t| format!("{t} namespace")),
            type_id: 99,
            is_system: what.ns().map(|ns| ns.initial),
            system_call,
        }
    }
}
