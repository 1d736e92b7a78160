//! What an event says that neither ECS nor OCSF has a field for: ECS gets it as `nstrace`, OCSF as `unmapped`.

use std::borrow::Cow;

use serde::Serialize;

use super::{clone_flags, deed::DeedOut, json::Holder};
use crate::{
    detect::{Direction, Severity},
    model::{Change, What},
    ns::{NsName, NsType},
};

/// A 64-bit number where the schema wants a signed one.
pub(super) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
pub(super) struct OwnFields<'a> {
    boot_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Namespace>,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    pids: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nprocs: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holders: Vec<Holder<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deed: Option<DeedOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<FindingOut<'a>>,
}

/// A finding; who did it is elsewhere.
#[derive(Serialize)]
struct FindingOut<'a> {
    rule: &'a str,
    severity: Severity,
    title: &'a str,
    mitre: &'a [Cow<'static, str>],
    explain: &'a str,
    evidence: Vec<i64>,
    count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<&'a str>,
}

#[derive(Serialize)]
struct Namespace {
    r#type: NsType,
    #[serde(skip_serializing_if = "Option::is_none")]
    inum: Option<u32>,
    /// Always a string: a keyword, nothing to count with.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial: Option<bool>,
}

impl Namespace {
    fn named(name: NsName) -> Self {
        Self { r#type: name.ns_type, inum: Some(name.inum), id: name.id.map(|id| id.to_string()), initial: None }
    }

    fn of(what: &What) -> Option<Self> {
        match what.ns() {
            Some(ns) => Some(Self { initial: Some(ns.initial), ..Self::named(ns.name) }),
            None => Some(Self { r#type: what.ns_type()?, inum: None, id: None, initial: None }),
        }
    }
}

impl<'a> OwnFields<'a> {
    pub fn of(change: &'a Change) -> Self {
        let cause = change.cause.as_ref();
        let mut fields = Self {
            boot_ns: long(change.stamp.boot_ns),
            namespace: Namespace::of(&change.what),
            pids: change.task.as_ref().map_or(&[], |task| task.pids.as_slice()),
            via: cause.map(|cause| cause.via.name()),
            flags: cause.map(|cause| clone_flags::names(cause.via, cause.flags)).unwrap_or_default(),
            owner: None,
            parent: None,
            nprocs: None,
            holders: Vec::new(),
            lifetime_ns: None,
            lost: None,
            hook: None,
            deed: None,
            finding: None,
        };
        match &change.what {
            What::Snapshot { nprocs, holders, .. } => {
                fields.nprocs = Some(*nprocs);
                fields.holders = holders.iter().map(Holder::of).collect();
            }
            What::Created { owner, parent, .. } => {
                fields.owner = owner.map(Namespace::named);
                fields.parent = parent.map(Namespace::named);
            }
            What::Destroyed { lifetime_ns, .. } => fields.lifetime_ns = lifetime_ns.map(long),
            What::Lost { count, hook } => {
                fields.lost = Some(long(*count));
                fields.hook = hook.as_deref();
            }
            What::Joined { .. }
            | What::Left { .. }
            | What::Pinned { .. }
            | What::Unpinned { .. }
            | What::Denied { .. }
            | What::Resynced => {}
            What::Deed(deed) => fields.deed = Some(DeedOut::of(deed)),
            What::Finding(finding) => {
                fields.finding = Some(FindingOut {
                    rule: &finding.rule,
                    severity: finding.severity,
                    title: &finding.title,
                    mitre: &finding.mitre,
                    explain: &finding.explain,
                    evidence: finding.evidence.iter().copied().map(long).collect(),
                    count: long(finding.count),
                    direction: finding.direction.map(Direction::name),
                    suppressed: finding.suppressed.as_deref(),
                });
            }
        }
        fields
    }
}
