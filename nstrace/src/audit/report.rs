//! What the checks say of everything.

use serde::Serialize;

use super::{
    checks::{self, CHECKS, Check},
    control::Control,
    facts::{Cell, Container, Facts, Init, Leftover},
    layers::{self, Layers},
    leftovers,
    verdict::{Severity, Verdict},
};
use crate::{
    detect::catalogue::{ORPHAN, POSTURE},
    engine::Named,
};

/// One check of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// `NST-021.host-pid`.
    pub id: &'static str,
    pub rule: &'static str,
    pub title: &'static str,
    pub remedy: &'static str,
    pub mitre: &'static [&'static str],
    pub controls: &'static [Control],
}

/// One verdict about one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Of the check.
    pub id: &'static str,
    pub verdict: Verdict,
    /// One sentence; hostile.
    pub reason: String,
}

/// A container or a sandboxed host service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerRow {
    /// Name for people; hostile.
    pub label: String,
    /// What its cgroup and its engine know of it. None: told by its namespaces alone.
    pub container: Option<Named>,
    pub init: Init,
    pub processes: usize,
    pub namespaces: Vec<Cell>,
    /// Its uid 0 in words: `host root`, `uid 100000`, `none`.
    pub root: String,
    pub layers: Layers,
    /// Of a sandboxed host service: none.
    pub verdicts: Vec<Row>,
    /// The worst finding. None: there is none.
    pub risk: Option<Severity>,
    /// Checks that had to do without an answer.
    pub unknown: usize,
}

/// A namespace without a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftoverRow {
    #[serde(flatten)]
    pub leftover: Leftover,
    pub verdict: Verdict,
    /// One sentence; hostile.
    pub reason: String,
}

/// A finding, with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `NST-021`.
    pub rule: &'static str,
    /// `NST-021.host-pid`.
    pub check: &'static str,
    pub severity: Severity,
    pub title: &'static str,
    pub mitre: &'static [&'static str],
    /// The reason; hostile.
    pub explain: String,
    pub remedy: &'static str,
    /// Label of the container. None: of a namespace that nobody lives in.
    pub container: Option<String>,
    /// Its init.
    pub pid: Option<u32>,
    pub controls: &'static [Control],
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub containers: Vec<ContainerRow>,
    /// Host services in mount namespaces of their own: listed, not judged.
    pub sandboxes: Vec<ContainerRow>,
    pub namespaces: Vec<LeftoverRow>,
    /// Worst first.
    pub findings: Vec<Finding>,
    pub checks: Vec<CheckRow>,
}

impl Report {
    pub fn new(facts: &Facts) -> Self {
        let mut containers: Vec<ContainerRow> =
            facts.containers.iter().map(|container| row(container, facts, CHECKS)).collect();
        containers.sort_by(|a, b| (b.risk, &a.label).cmp(&(a.risk, &b.label)));
        let sandboxes = facts.sandboxes.iter().map(|sandbox| row(sandbox, facts, &[])).collect();
        let namespaces = facts.leftovers.iter().map(|leftover| {
            let judgement = leftovers::judge(leftover);
            LeftoverRow { leftover: leftover.clone(), verdict: judgement.verdict, reason: judgement.reason }
        });
        let mut report = Self {
            containers,
            sandboxes,
            namespaces: namespaces.collect(),
            findings: Vec::new(),
            checks: CHECKS.iter().map(posture).chain([persisted()]).collect(),
        };
        report.findings = report.all_findings();
        report
    }

    fn check(&self, id: &str) -> Option<&CheckRow> {
        self.checks.iter().find(|check| check.id == id)
    }

    fn all_findings(&self) -> Vec<Finding> {
        let finding = |id: &str, verdict: Verdict, reason: &str, of: Option<&ContainerRow>| {
            let check = self.check(id)?;
            Some(Finding {
                rule: check.rule,
                check: check.id,
                severity: verdict.severity()?,
                title: check.title,
                mitre: check.mitre,
                explain: reason.to_owned(),
                remedy: check.remedy,
                container: of.map(|container| container.label.clone()),
                pid: of.map(|container| container.init.pid),
                controls: check.controls,
            })
        };
        let of_containers = self.containers.iter().flat_map(|container| {
            container.verdicts.iter().filter_map(move |row| finding(row.id, row.verdict, &row.reason, Some(container)))
        });
        let of_namespaces =
            self.namespaces.iter().filter_map(|row| finding(checks::PERSISTED_ID, row.verdict, &row.reason, None));
        let mut findings: Vec<Finding> = of_containers.chain(of_namespaces).collect();
        // Stable: within one severity by container and in the order of the table.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    /// The worst finding.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

fn row(container: &Container, facts: &Facts, checks: &[Check]) -> ContainerRow {
    let verdicts: Vec<Row> = checks
        .iter()
        .flat_map(|check| {
            let judgements = (check.judge)(container, &facts.host).into_iter();
            judgements.map(|judgement| Row { id: check.id, verdict: judgement.verdict, reason: judgement.reason })
        })
        .collect();
    ContainerRow {
        label: container.label(),
        container: container.named.clone(),
        init: container.init.clone(),
        processes: container.processes.len(),
        namespaces: container.namespaces.clone(),
        root: layers::root_is(container),
        layers: layers::layers(container, &facts.host),
        risk: verdicts.iter().filter_map(|row| row.verdict.severity()).max(),
        unknown: verdicts.iter().filter(|row| row.verdict == Verdict::Unknown).count(),
        verdicts,
    }
}

fn posture(check: &Check) -> CheckRow {
    CheckRow {
        id: check.id,
        rule: POSTURE.id,
        title: check.title,
        remedy: check.remedy,
        mitre: POSTURE.mitre,
        controls: check.controls,
    }
}

fn persisted() -> CheckRow {
    CheckRow {
        id: checks::PERSISTED_ID,
        rule: ORPHAN.id,
        title: checks::PERSISTED_TITLE,
        remedy: checks::PERSISTED_REMEDY,
        mitre: ORPHAN.mitre,
        controls: checks::PERSISTED_CONTROLS,
    }
}
