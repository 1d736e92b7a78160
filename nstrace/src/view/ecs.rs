//! Event lines in the Elastic Common Schema (github.com/elastic/ecs, release 9.4.0). `schema/ecs.schema.json` is the part of it
//! that is used here; `tests/cli_export.rs` holds the two together.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    ecs_finding::{Rule, Threat, number},
    errno, json,
    origin::Origin,
    own_fields::OwnFields,
    sentence::sentence,
    time,
};
use crate::{
    event::Via,
    model::{Change, What},
};

/// The release whose fields these are.
pub const VERSION: &str = "9.4.0";

/// Its reduced schema.
pub const SCHEMA: &str = include_str!("../../schema/ecs.schema.json");

/// Appends one line.
pub fn line(change: &Change, origin: &Origin, out: &mut Vec<u8>) {
    json::object(&Line::of(change, origin), out);
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    message: String,
    ecs: Version,
    event: Event<'a>,
    host: Host<'a>,
    observer: Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<Orchestrator<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<Threat<'a>>,
    nstrace: OwnFields<'a>,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    kind: &'static str,
    category: Vec<&'static str>,
    r#type: Vec<&'static str>,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    sequence: i64,
    module: &'static str,
    dataset: &'static str,
    provider: &'static str,
}

#[derive(Serialize)]
struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<Boot<'a>>,
    os: Os<'a>,
}

#[derive(Serialize)]
struct Boot<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Os<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a str>,
}

#[derive(Serialize)]
struct Observer {
    product: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    /// The kernel names threads; the name of the leader is that of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    /// PID in its own pid namespace; of other threads only their own id there is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    vpid: Option<u32>,
    thread: Thread<'a>,
}

#[derive(Serialize)]
struct Thread<'a> {
    id: u32,
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct User {
    id: String,
    effective: UserId,
}

#[derive(Serialize)]
struct UserId {
    id: String,
}

#[derive(Serialize)]
struct Container<'a> {
    id: &'a str,
    runtime: &'static str,
}

#[derive(Serialize)]
struct Orchestrator<'a> {
    r#type: &'static str,
    resource: Resource<'a>,
}

#[derive(Serialize)]
struct Resource<'a> {
    r#type: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
struct Error {
    code: Cow<'static, str>,
}

impl<'a> Line<'a> {
    fn of(change: &'a Change, origin: &'a Origin) -> Self {
        let container = change.container.as_deref();
        let finding = match &change.what {
            What::Finding(finding) => Some(&**finding),
            _ => None,
        };
        Self {
            timestamp: time::rfc3339(change.utc_ns),
            message: sentence(change),
            ecs: Version { version: VERSION },
            event: Event::of(change),
            host: Host {
                name: Origin::known(&origin.host),
                boot: Origin::known(&origin.boot_id).map(|id| Boot { id }),
                os: Os { r#type: "linux", kernel: Origin::known(&origin.kernel) },
            },
            observer: Observer { product: "nstrace", version: env!("CARGO_PKG_VERSION") },
            process: change.task.as_ref().map(|task| Process {
                pid: task.tgid,
                name: task.is_leader().then(|| task.comm.to_string_lossy()),
                vpid: task.pids.as_slice().last().copied().filter(|_| task.is_leader()),
                thread: Thread { id: task.key.tid, name: task.comm.to_string_lossy() },
            }),
            user: change
                .task
                .as_ref()
                .map(|task| User { id: task.uid.to_string(), effective: UserId { id: task.euid.to_string() } }),
            container: container.map(|container| Container { id: &container.id, runtime: container.runtime }),
            orchestrator: container
                .and_then(|container| container.pod.as_deref())
                .map(|id| Orchestrator { r#type: "kubernetes", resource: Resource { r#type: "pod", id } }),
            error: change.cause.and_then(|cause| cause.errno).map(|errno| Error { code: errno::name(errno) }),
            rule: finding.map(Rule::of),
            threat: finding.and_then(Threat::of),
            nstrace: OwnFields::of(change),
        }
    }
}

impl<'a> Event<'a> {
    /// A namespace is a setting of its processes: its own life is `configuration`, their moving about is `process`.
    fn of(change: &'a Change) -> Self {
        let asks_for_new = matches!(change.cause.map(|c| c.via), Some(Via::Clone | Via::Clone3 | Via::Unshare));
        let (kind, category, r#type, outcome) = match &change.what {
            What::Snapshot { .. } => ("state", vec!["configuration"], vec!["info"], None),
            What::Created { .. } => ("event", vec!["configuration"], vec!["creation"], Some("success")),
            What::Destroyed { .. } => ("event", vec!["configuration"], vec!["deletion"], Some("success")),
            What::Pinned { .. } | What::Unpinned { .. } => {
                ("event", vec!["configuration"], vec!["change"], Some("success"))
            }
            What::Joined { .. } | What::Left { .. } => ("event", vec!["process"], vec!["change"], Some("success")),
            What::Denied { .. } if asks_for_new => ("event", vec!["configuration"], vec!["creation"], Some("failure")),
            What::Denied { .. } => ("event", vec!["process"], vec!["change"], Some("failure")),
            // What these tell is about the events, not of what happened on the host.
            What::Lost { .. } => ("pipeline_error", vec![], vec![], None),
            What::Resynced => ("event", vec![], vec!["info"], None),
            What::Deed(_) => ("event", vec!["process"], vec!["info"], None),
            // Nobody needs to look at what an exception covers.
            What::Finding(finding) if finding.suppressed.is_some() => {
                ("event", vec!["intrusion_detection"], vec!["info"], None)
            }
            What::Finding(_) => ("alert", vec!["intrusion_detection"], vec!["info"], None),
        };
        let (severity, reason) = match &change.what {
            What::Finding(finding) => (Some(number(finding.severity)), Some(finding.explain.as_str())),
            _ => (None, None),
        };
        Self {
            kind,
            category,
            r#type,
            action: format!("namespace-{}", change.what.event()),
            outcome,
            severity,
            reason,
            sequence: super::own_fields::long(change.seq),
            module: "nstrace",
            dataset: "nstrace.events",
            provider: "kernel",
        }
    }
}
