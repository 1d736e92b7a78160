//! `audit` as SARIF 2.1.0 (OASIS): one run, one rule per check, one result per verdict that is no pass. Containers have no
//! files or lines: a result is at a logical location.

use serde::Serialize;

use super::{document, origin::Origin};
use crate::audit::{
    checks::PERSISTED_ID,
    report::{CheckRow, Report},
    verdict::{Severity, Verdict},
};

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    invocations: [Invocation<'a>; 1],
    column_kind: &'static str,
    results: Vec<ResultOf<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    id: &'a str,
    short_description: Text<'a>,
    help: Text<'a>,
    properties: RuleProperties<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct RuleProperties<'a> {
    tags: Vec<&'a str>,
    controls: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    /// The tool ran to its end; what it could not see is a notification.
    execution_successful: bool,
    machine: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    level: &'static str,
    message: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOf<'a> {
    rule_id: &'a str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Text<'a>,
    locations: [Location<'a>; 1],
    properties: ResultProperties,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    logical_locations: [LogicalLocation<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    name: &'a str,
    fully_qualified_name: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct ResultProperties {
    severity: &'static str,
    #[serde(rename = "security-severity")]
    security_severity: &'static str,
}

/// One document. `missing`: what could not be seen.
pub fn sarif(report: &Report, missing: &[String], origin: &Origin) -> String {
    let namespaces: Vec<String> = report.namespaces.iter().map(|row| row.leftover.ns.0.to_string()).collect();
    let of_containers = report.containers.iter().flat_map(|container| {
        let id = container.container.as_ref().map_or_else(|| container.init.pid.to_string(), |named| named.id.clone());
        container.verdicts.iter().map(move |row| {
            let place = location(&container.label, format!("container/{id}"), "container");
            (row.id, row.verdict, row.reason.as_str(), place)
        })
    });
    let of_namespaces = report.namespaces.iter().zip(&namespaces).map(|(row, name)| {
        let place = location(name, format!("namespace/{name}"), "namespace");
        (PERSISTED_ID, row.verdict, row.reason.as_str(), place)
    });
    let results = of_containers.chain(of_namespaces).filter_map(|(id, verdict, reason, place)| {
        let (index, check) = report.checks.iter().enumerate().find(|(_, check)| check.id == id)?;
        (!matches!(verdict, Verdict::Pass | Verdict::Covered)).then(|| result(check, index, verdict, reason, place))
    });
    let notifications = missing.iter().map(|what| Notification { level: "warning", message: Text { text: what } });
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "nstrace",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: report.checks.iter().map(rule).collect(),
                },
            },
            invocations: [Invocation {
                execution_successful: true,
                machine: &origin.host,
                tool_execution_notifications: notifications.collect(),
            }],
            column_kind: "unicodeCodePoints",
            results: results.collect(),
        }],
    };
    document::safe_json(&log)
}

fn rule(check: &CheckRow) -> Rule<'_> {
    let tags = ["security", "container", check.rule].into_iter().chain(check.mitre.iter().copied()).collect();
    let control = |control: &crate::audit::control::Control| {
        format!("{} {}: {}", control.framework, control.version, control.title)
    };
    Rule {
        id: check.id,
        short_description: Text { text: check.title },
        help: Text { text: check.remedy },
        properties: RuleProperties { tags, controls: check.controls.iter().map(control).collect() },
    }
}

fn location<'a>(name: &'a str, fully_qualified_name: String, kind: &'static str) -> Location<'a> {
    Location { logical_locations: [LogicalLocation { name, fully_qualified_name, kind }] }
}

fn result<'a>(
    check: &'a CheckRow,
    rule_index: usize,
    verdict: Verdict,
    reason: &'a str,
    location: Location<'a>,
) -> ResultOf<'a> {
    // "level" of a result that is no failure has to be "none" (SARIF 2.1.0, 3.27.10).
    let (kind, level, score) = match verdict {
        Verdict::Pass => ("pass", "none", "0.0"),
        Verdict::Covered => ("notApplicable", "none", "0.0"),
        Verdict::Unknown => ("open", "none", "0.0"),
        Verdict::Finding(Severity::Info) => ("informational", "none", "0.0"),
        Verdict::Finding(Severity::Low) => ("fail", "note", "3.0"),
        Verdict::Finding(Severity::Medium) => ("fail", "warning", "5.0"),
        Verdict::Finding(Severity::High) => ("fail", "error", "8.0"),
        Verdict::Finding(Severity::Critical) => ("fail", "error", "9.5"),
    };
    ResultOf {
        rule_id: check.id,
        rule_index,
        kind,
        level,
        message: Text { text: reason },
        locations: [location],
        properties: ResultProperties { severity: verdict.name(), security_severity: score },
    }
}
