//! `doctor`'s report, as text and as a JSON document.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{escape::escaped, schema};
use crate::kernel::report::{Coverage, FactReport, HookUse, Report};

/// One document, a newline at its end.
pub fn json(report: &Report) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        complete: bool,
        #[serde(flatten)]
        report: &'a Report,
    }
    let document = Document { schema: schema::VERSION, complete: report.is_complete(), report };
    let mut text = serde_json::to_string_pretty(&document).expect("a report has only string keys");
    text.push('\n');
    text
}

/// One line per fact: by which hooks it is seen.
pub fn hooks_in_use(report: &Report) -> impl Iterator<Item = String> + '_ {
    report.facts.iter().map(|fact| {
        let hooks: Vec<String> = taken(fact).map(hook_name).collect();
        let hooks = if hooks.is_empty() { "nothing".to_owned() } else { hooks.join(", ") };
        format!("{} by {hooks}", fact.fact)
    })
}

/// How the text looks.
#[derive(Clone, Copy, Debug)]
pub struct DoctorView {
    pub colour: bool,
    /// Every rejected hook, with the whole reason.
    pub verbose: bool,
}

impl DoctorView {
    pub fn text(&self, report: &Report) -> String {
        let mut text = String::new();
        let _ = self.write(report, &mut text);
        text
    }

    fn write(&self, report: &Report, out: &mut String) -> std::fmt::Result {
        let mode = report.attach.map_or("auto", |mode| mode.name());
        writeln!(out, "kernel {} {}, attach mode {mode}\n", clean(&report.kernel), clean(&report.machine))?;

        let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &report.checks {
            let mark = if check.ok { self.paint(AnsiColor::Green, "ok") } else { self.paint(AnsiColor::Red, "!!") };
            writeln!(out, "{mark} {:width$}  {}", check.name, clean(&check.detail))?;
        }
        if !report.checks.is_empty() {
            out.push('\n');
        }

        let width = report.facts.iter().map(|fact| fact.fact.len()).max().unwrap_or(0).max("FACT".len());
        if !report.facts.is_empty() {
            writeln!(out, "{:width$}  COVERAGE  HOOKS", "FACT")?;
        }
        for fact in &report.facts {
            self.fact(fact, width, out)?;
        }
        if !report.detectors.is_empty() {
            writeln!(out, "\nDETECTOR  COVERAGE  FACTS NOT SEEN")?;
        }
        for detector in &report.detectors {
            let unseen = if detector.unseen.is_empty() { "-".to_owned() } else { detector.unseen.join(", ") };
            writeln!(out, "{:8}  {}  {unseen}", detector.detector, self.coverage(detector.coverage))?;
        }
        if report.is_complete() {
            writeln!(out, "\nnothing stays invisible")?;
        }
        Ok(())
    }

    fn fact(&self, fact: &FactReport, width: usize, out: &mut String) -> std::fmt::Result {
        let hooks: Vec<String> = taken(fact).map(hook_name).collect();
        let hooks = if hooks.is_empty() { "-".to_owned() } else { hooks.join(", ") };
        let coverage = self.coverage(fact.coverage);
        writeln!(out, "{:width$}  {coverage}  {hooks}", fact.fact)?;
        let below = |out: &mut String, text: &str| writeln!(out, "{:width$}  {:8}  {text}", "", "");
        if self.verbose {
            below(out, fact.meaning)?;
        }
        if let Some(invisible) = &fact.invisible {
            below(out, &format!("invisible: {}", clean(invisible)))?;
        }
        for hook in &fact.hooks {
            let Some(reason) = &hook.rejected else { continue };
            let mut lines = reason.lines();
            // A hook that something better made needless is no news; one that is missed is.
            if self.verbose || fact.coverage != Coverage::Full {
                let first = lines.next().unwrap_or_default();
                below(out, &format!("not {}: {}", hook_name(hook), clean(first)))?;
            }
            if self.verbose {
                for line in lines.chain(hook.verifier.iter().flat_map(|log| log.lines())) {
                    below(out, &format!("  {}", clean(line)))?;
                }
            }
        }
        Ok(())
    }

    /// The word, padded and coloured.
    fn coverage(&self, coverage: Coverage) -> String {
        let (word, colour) = match coverage {
            Coverage::Full => ("full", AnsiColor::Green),
            Coverage::Partial => ("partial", AnsiColor::Yellow),
            Coverage::None => ("none", AnsiColor::Red),
        };
        self.paint(colour, &format!("{word:8}"))
    }

    fn paint(&self, colour: AnsiColor, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let style = Style::new().fg_color(Some(colour.into()));
        format!("{style}{text}{style:#}")
    }
}

fn taken(fact: &FactReport) -> impl Iterator<Item = &HookUse> {
    fact.hooks.iter().filter(|hook| hook.rejected.is_none())
}

fn hook_name(hook: &HookUse) -> String {
    format!("{} {}", hook.kind, clean(&hook.target))
}

fn clean(text: &str) -> String {
    escaped(text.as_bytes()).to_string()
}
