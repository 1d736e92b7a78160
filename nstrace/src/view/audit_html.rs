//! `audit` as one HTML file: no script, nothing loaded from elsewhere. Every text goes through the template's escaping, and
//! through [`clean`] before, so that nothing in it is invisible or turns the direction of writing.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    audit::{LAYERS, cell_text, layer_cells},
    origin::Origin,
    sections::clean,
};
use crate::{
    audit::{
        report::{CheckRow, ContainerRow, Report, Row},
        verdict::{Severity, Verdict},
    },
    ns::NsType,
};

const STYLE: &str = "\
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { border: 1px solid #8886; padding: .25rem .55rem; text-align: left; vertical-align: top }
code { overflow-wrap: anywhere }
.host, .critical, .high { color: #b3001b; font-weight: 600 }
.medium { color: #a15c00; font-weight: 600 } .pass { color: #1a7f37 } .unknown { color: #7a3eb1 }
@media (prefers-color-scheme: dark) {
  .host, .critical, .high { color: #ff8a80 } .medium { color: #ffb74d } .pass { color: #7bd88f } .unknown { color: #cf9fff }
}
details { margin: .4rem 0 } summary { cursor: pointer }
.note { opacity: .8 }
";

/// One page. `time`: of the look, as RFC 3339.
pub fn page(report: &Report, missing: &[String], origin: &Origin, time: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever a name in here looks like, a browser runs and loads nothing.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Isolation posture of " (clean(&origin.host)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Isolation posture of " (clean(&origin.host)) }
                p.note { (time) ", kernel " (clean(&origin.kernel)) ", nstrace " (env!("CARGO_PKG_VERSION")) }
                (summary(report))
                @if !missing.is_empty() {
                    section #missing {
                        h2 { "Not seen" }
                        ul { @for what in missing { li { (clean(what)) } } }
                    }
                }
                section #containers {
                    h2 { "Containers" }
                    @if report.containers.is_empty() {
                        p { "No container was found." }
                    } @else {
                        (matrix(&report.containers))
                        (layers(&report.containers))
                    }
                }
                @for container in &report.containers { (findings(container, report)) }
                @if !report.namespaces.is_empty() {
                    section #namespaces {
                        h2 { "Namespaces without a process" }
                        (rows(report.namespaces.iter().map(|row| (crate::audit::checks::PERSISTED_ID, row.verdict, row.reason.as_str()))))
                    }
                }
                @if !report.sandboxes.is_empty() {
                    section #sandboxes {
                        h2 { "Host services in sandboxes" }
                        p.note { "They have mount namespaces of their own and the host's root directory: listed, not judged." }
                        (matrix(&report.sandboxes))
                    }
                }
                section #checks {
                    h2 { "Checks" }
                    @for check in &report.checks { (explained(check)) }
                }
            }
        }
    }
    .into_string()
}

fn summary(report: &Report) -> Markup {
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    html! {
        p #summary {
            (report.containers.len()) " container(s)"
            @for severity in Severity::ALL.into_iter().rev() {
                @if count(severity) > 0 { ", " span class=(severity.name()) { (count(severity)) " " (severity.name()) } }
            }
        }
    }
}

fn matrix(list: &[ContainerRow]) -> Markup {
    let judged = list.iter().any(|row| !row.verdicts.is_empty());
    html! {
        table {
            thead {
                tr {
                    th { "Container" } th { "PID" } th { "Processes" }
                    @for ns_type in NsType::ALL { th { (ns_type.name()) } }
                    @if judged { th { "Risk" } }
                }
            }
            tbody {
                @for row in list {
                    tr {
                        td { (clean(&row.label)) } td { (row.init.pid) } td { (row.processes) }
                        @for cell in &row.namespaces {
                            @let text = cell_text(cell);
                            td class=[text.contains("HOST").then_some("host")] {
                                (text)
                                @if !cell.shared_with.is_empty() {
                                    br;
                                    span.note { "with " (clean(&cell.shared_with.iter().map(|o| o.container.as_str()).collect::<Vec<_>>().join(", "))) }
                                }
                            }
                        }
                        @if judged {
                            @let risk = row.risk.map_or("-", Severity::name);
                            td class=(risk) { (risk) }
                        }
                    }
                }
            }
        }
    }
}

fn layers(list: &[ContainerRow]) -> Markup {
    html! {
        h2 { "Security layers" }
        table {
            thead { tr { th { "Container" } @for name in LAYERS { th { (name.to_lowercase()) } } } }
            tbody {
                @for row in list {
                    tr { td { (clean(&row.label)) } @for cell in layer_cells(row) { td { (clean(&cell)) } } }
                }
            }
        }
    }
}

fn findings(container: &ContainerRow, report: &Report) -> Markup {
    let mut told: Vec<&Row> = container.verdicts.iter().filter(|row| !holds(row)).collect();
    told.sort_by_key(|row| std::cmp::Reverse(row.verdict.severity()));
    let passed = container.verdicts.iter().filter(|row| holds(row));
    let title = |id: &str| report.checks.iter().find(|check| check.id == id).map_or("", |check| check.title);
    html! {
        section.container {
            h2 { (clean(&container.label)) }
            (rows(told.iter().map(|row| (row.id, row.verdict, row.reason.as_str()))))
            details {
                summary { (passed.clone().count()) " checks passed or covered by a finding above" }
                ul { @for row in passed { li { (title(row.id)) ": " (clean(&row.reason)) } } }
            }
        }
    }
}

/// Nothing to do about it.
fn holds(row: &Row) -> bool {
    matches!(row.verdict, Verdict::Pass | Verdict::Covered)
}

fn rows<'r>(list: impl Iterator<Item = (&'r str, Verdict, &'r str)>) -> Markup {
    html! {
        table.findings {
            thead { tr { th { "Verdict" } th { "Check" } th { "Reason" } } }
            tbody {
                @for (id, verdict, reason) in list {
                    tr {
                        td class=(verdict.name()) { (verdict.name()) }
                        td { a href={ "#" (id) } { code { (id) } } }
                        td { (clean(reason)) }
                    }
                }
            }
        }
    }
}

fn explained(check: &CheckRow) -> Markup {
    html! {
        details id=(check.id) {
            summary { code { (check.id) } " " (check.title) }
            p { "Remedy: " (check.remedy) "." }
            ul { @for control in check.controls { li { (control.framework) " (" (control.version) "): " (control.title) } } }
        }
    }
}
