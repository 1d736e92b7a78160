//! What a finding adds to an OCSF line of the class Detection Finding (2004): `finding_info`.

use serde::Serialize;

use super::{attack, origin::Origin};
use crate::{detect::Finding, model::Change};

#[derive(Serialize)]
pub(super) struct FindingInfo<'a> {
    /// Of this finding among all: the boot and the number of its line.
    uid: String,
    title: &'a str,
    desc: &'a str,
    analytic: Analytic<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attacks: Vec<Attack<'a>>,
    /// The lines it rests on, by their `metadata.sequence`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_events: Vec<RelatedEvent>,
}

#[derive(Serialize)]
struct Analytic<'a> {
    uid: &'a str,
    name: &'a str,
    type_id: u32,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Attack<'a> {
    technique: Uid<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<Uid<'a>>,
}

#[derive(Serialize)]
struct Uid<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct RelatedEvent {
    uid: String,
}

impl<'a> FindingInfo<'a> {
    pub fn of(change: &Change, finding: &'a Finding, origin: &Origin) -> Self {
        let uid = |seq: u64| format!("{}/{seq}", Origin::known(&origin.boot_id).unwrap_or("unknown"));
        let attack = |id: &&'a str| {
            let (technique, sub_technique) = attack::split(id);
            Attack { technique: Uid { uid: technique }, sub_technique: sub_technique.map(|uid| Uid { uid }) }
        };
        Self {
            uid: uid(change.seq),
            title: &finding.title,
            desc: &finding.explain,
            analytic: Analytic { uid: &finding.rule, name: &finding.title, type_id: 1, r#type: "Rule" },
            attacks: finding.mitre.iter().map(|id| attack(&&**id)).collect(),
            related_events: finding.evidence.iter().map(|&seq| RelatedEvent { uid: uid(seq) }).collect(),
        }
    }
}
