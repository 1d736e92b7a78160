//! `audit` as text: the matrix, the layers, the findings with their reasons.

use anstyle::{AnsiColor, Style};

use super::sections::{Look, Sections, clean};
use crate::{
    audit::{
        facts::{Cell, DeviceRules},
        report::{ContainerRow, Finding, Report},
        verdict::{Severity, Verdict},
    },
    inspect::seen::Seen,
    ns::NsType,
};

/// Longest list of containers or of host services.
const MOST_ROWS: usize = 200;

/// `all`: also what passes.
pub fn text(report: &Report, look: Look, all: bool) -> String {
    let mut out = Sections::new(look);
    if report.containers.is_empty() {
        out.line("no container was found");
    } else {
        matrix("CONTAINERS", &report.containers, &mut out);
        out.explain("lsns; ls -l /proc/PID/ns");
        layers(&report.containers, &mut out);
        out.explain("grep -E 'Cap|Seccomp|NoNewPrivs' /proc/PID/status; cat /proc/PID/attr/current /proc/PID/uid_map");
    }
    if !report.sandboxes.is_empty() {
        matrix("HOST SERVICES IN SANDBOXES (listed, not judged)", &report.sandboxes, &mut out);
    }
    for container in report.containers.iter().take(MOST_ROWS) {
        of_container(container, report, all, &mut out);
    }
    let idle: Vec<&Finding> = report.findings.iter().filter(|finding| finding.container.is_none()).collect();
    if !idle.is_empty() {
        out.heading("NAMESPACES WITHOUT A PROCESS");
        for finding in idle {
            line(Verdict::Finding(finding.severity), finding.check, &finding.explain, &mut out);
        }
    }
    let mut counts = String::new();
    for severity in Severity::ALL.into_iter().rev() {
        let count = report.findings.iter().filter(|finding| finding.severity == severity).count();
        if count > 0 {
            counts.push_str(&format!(", {count} {severity}"));
        }
    }
    out.heading("SUMMARY");
    let unknown: usize = report.containers.iter().map(|container| container.unknown).sum();
    let unknown = if unknown > 0 { format!("; {unknown} check(s) without an answer") } else { String::new() };
    out.line(&format!("  {} container(s){counts}{unknown}", report.containers.len()));
    out.finish()
}

fn matrix(heading: &str, rows: &[ContainerRow], out: &mut Sections) {
    out.heading(heading);
    let mut head = vec!["CONTAINER".to_owned(), "PID".to_owned(), "PROCS".to_owned()];
    head.extend(NsType::ALL.map(|ns_type| ns_type.name().to_uppercase()));
    let judged = rows.iter().any(|row| !row.verdicts.is_empty());
    if judged {
        head.push("RISK".to_owned());
    }
    let mut table = vec![head];
    for row in rows.iter().take(MOST_ROWS) {
        let mut cells = vec![clean(&row.label), row.init.pid.to_string(), row.processes.to_string()];
        cells.extend(row.namespaces.iter().map(|cell| cell_text(cell).to_owned()));
        if judged {
            cells.push(row.risk.map_or("-", Severity::name).to_owned());
        }
        table.push(cells);
    }
    out.table(&table);
    if rows.len() > MOST_ROWS {
        out.line(&format!("  and {} more: all of them with -J", rows.len() - MOST_ROWS));
    }
    for row in rows.iter().take(MOST_ROWS) {
        for cell in row.namespaces.iter().filter(|cell| !cell.shared_with.is_empty()) {
            let others: Vec<String> = cell.shared_with.iter().map(|other| clean(&other.container)).collect();
            out.line(&format!("  {} of {} is shared with {}", cell.r#type, clean(&row.label), others.join(", ")));
        }
    }
}

/// `HOST` is what is shared with the host, `own` what is not, `own*` shared with another container.
pub(super) fn cell_text(cell: &Cell) -> &'static str {
    match (&cell.ns, cell.host, cell.stray) {
        (Seen::Absent, ..) => "-",
        (Seen::Unreadable(_), ..) | (Seen::Is(_), None, _) => "?",
        (Seen::Is(_), Some(true), _) => "HOST",
        (Seen::Is(_), Some(false), Some(_)) => "own+HOST",
        (Seen::Is(_), Some(false), None) if !cell.shared_with.is_empty() => "own*",
        (Seen::Is(_), Some(false), None) => "own",
    }
}

/// Heading and cells of the table of layers: one row per container.
pub(super) const LAYERS: [&str; 10] = [
    "CAPS OVER HOST",
    "SECCOMP",
    "NNP",
    "LSM",
    "ROOT IS",
    "MEMORY",
    "PIDS",
    "CPU",
    "DEVICES",
    "OPEN FILES OF THE KERNEL",
];

pub(super) fn layer_cells(row: &ContainerRow) -> [String; 10] {
    let layers = &row.layers;
    let capabilities = match (&layers.capabilities.over_host, layers.capabilities.all_over_host) {
        (_, Some(true)) => "ALL".to_owned(),
        (Some(names), _) if names.is_empty() => "none".to_owned(),
        (Some(names), _) => names.len().to_string(),
        (None, _) => "?".to_owned(),
    };
    let limit = |files: &[&str]| match &layers.limits {
        Seen::Is(limits) => limits
            .iter()
            .find(|limit| files.contains(&limit.name))
            .map_or_else(|| "-".to_owned(), |limit| limit.value.clone()),
        _ => "?".to_owned(),
    };
    let open: Vec<&str> = layers.kernel_files.iter().filter(|file| file.is == "open").map(|file| file.path).collect();
    [
        capabilities,
        layers.seccomp.mode.unwrap_or("?").to_owned(),
        layers.no_new_privs.map_or("?", |set| if set { "yes" } else { "no" }).to_owned(),
        match &layers.lsm {
            Seen::Is(labels) => labels.join(" "),
            Seen::Absent => "-".to_owned(),
            Seen::Unreadable(_) => "?".to_owned(),
        },
        row.root.clone(),
        limit(&["memory.max", "memory.high", "memory.limit_in_bytes"]),
        limit(&["pids.max"]),
        limit(&["cpu.max", "cpu.cfs_quota_us", "cpu.weight", "cpu.shares", "cpuset.cpus"]),
        match &layers.devices {
            DeviceRules::List { rules } if rules.iter().any(|rule| rule.starts_with("a ")) => "ALL".to_owned(),
            DeviceRules::List { rules } => format!("{} rules", rules.len()),
            DeviceRules::Programs { count: 0 } => "ALL".to_owned(),
            DeviceRules::Programs { count } => format!("{count} BPF"),
            DeviceRules::Unknown => "?".to_owned(),
        },
        if open.is_empty() { "-".to_owned() } else { open.join(" ") },
    ]
}

fn layers(rows: &[ContainerRow], out: &mut Sections) {
    out.heading("LAYERS");
    let mut table = vec![std::iter::once("CONTAINER").chain(LAYERS).map(str::to_owned).collect::<Vec<_>>()];
    for row in rows.iter().take(MOST_ROWS) {
        let cells = layer_cells(row);
        table.push(std::iter::once(clean(&row.label)).chain(cells.iter().map(|cell| clean(cell))).collect());
    }
    out.table(&table);
}

fn of_container(container: &ContainerRow, report: &Report, all: bool, out: &mut Sections) {
    let found = container.verdicts.iter().any(|row| !matches!(row.verdict, Verdict::Pass | Verdict::Covered));
    if !found && !all {
        return;
    }
    out.heading(&clean(&container.label));
    let mut rows: Vec<_> = container.verdicts.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.verdict.severity()));
    for row in rows.iter().filter(|row| row.verdict.severity().is_some()) {
        line(row.verdict, row.id, &row.reason, out);
        if let Some(check) = report.checks.iter().find(|check| check.id == row.id) {
            for control in check.controls {
                out.explain(&format!("{} {}: {}", control.framework, control.version, control.title));
            }
        }
    }
    for row in rows.iter().filter(|row| row.verdict == Verdict::Unknown) {
        line(row.verdict, row.id, &row.reason, out);
    }
    for row in rows.iter().filter(|row| all && matches!(row.verdict, Verdict::Pass | Verdict::Covered)) {
        line(row.verdict, row.id, &row.reason, out);
    }
}

fn line(verdict: Verdict, id: &str, reason: &str, out: &mut Sections) {
    let word = out.paint(style(verdict), &format!("{:<8}", verdict.name()));
    out.line(&format!("  {word}  {id}: {}", clean(reason)));
}

fn style(verdict: Verdict) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match verdict {
        Verdict::Pass | Verdict::Covered => colour(AnsiColor::Green),
        Verdict::Unknown => colour(AnsiColor::Magenta),
        Verdict::Finding(Severity::Critical) => colour(AnsiColor::Red).bold(),
        Verdict::Finding(Severity::High) => colour(AnsiColor::Red),
        Verdict::Finding(Severity::Medium) => colour(AnsiColor::Yellow),
        Verdict::Finding(Severity::Low | Severity::Info) => Style::new(),
    }
}
