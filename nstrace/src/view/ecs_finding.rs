//! What a finding adds to an ECS line: `rule` and `threat`.

use serde::Serialize;

use super::attack;
use crate::detect::{Finding, Severity};

#[derive(Serialize)]
pub(super) struct Rule<'a> {
    id: &'a str,
    name: &'a str,
    ruleset: &'static str,
}

#[derive(Serialize)]
pub(super) struct Threat<'a> {
    framework: &'static str,
    technique: Technique<'a>,
}

#[derive(Serialize)]
struct Technique<'a> {
    id: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtechnique: Option<Subtechnique<'a>>,
}

#[derive(Serialize)]
struct Subtechnique<'a> {
    id: Vec<&'a str>,
}

impl<'a> Rule<'a> {
    pub fn of(finding: &'a Finding) -> Self {
        Self { id: &finding.rule, name: &finding.title, ruleset: "nstrace" }
    }
}

impl<'a> Threat<'a> {
    /// None: the rule names no technique.
    pub fn of(finding: &'a Finding) -> Option<Self> {
        let mut techniques: Vec<&str> = Vec::new();
        let mut subtechniques: Vec<&str> = Vec::new();
        for (technique, subtechnique) in finding.mitre.iter().map(|id| attack::split(id)) {
            if !techniques.contains(&technique) {
                techniques.push(technique);
            }
            subtechniques.extend(subtechnique);
        }
        let subtechnique = (!subtechniques.is_empty()).then_some(Subtechnique { id: subtechniques });
        let technique = Technique { id: techniques, subtechnique };
        (!technique.id.is_empty()).then_some(Self { framework: "MITRE ATT&CK", technique })
    }
}

/// `event.severity`: the numbers of OCSF, as ECS has none of its own.
pub(super) const fn number(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}
