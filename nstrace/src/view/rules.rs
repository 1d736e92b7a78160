//! Rules, listed and explained.

use std::fmt::Write as _;

use serde::Serialize;

use super::escape::escaped;
use crate::{
    detect::{Explanation, RULES, Rule, Severity},
    policy::{Policy, rules::UserRule},
};

/// How files of rules and exceptions are written.
pub const FORMAT: &str = include_str!("rules_format.txt");

/// `rules list`.
#[derive(Debug, Serialize)]
pub struct List<'a> {
    rules: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    rule: &'a str,
    severity: Severity,
    title: &'a str,
    mitre: Vec<&'a str>,
    /// null: one of nstrace's.
    file: Option<&'a str>,
}

impl<'a> List<'a> {
    /// Those of nstrace, then those of the user.
    pub fn of(policy: &'a Policy) -> Self {
        let shipped = RULES.iter().map(|rule| Row {
            rule: rule.id,
            severity: rule.severity,
            title: rule.title,
            mitre: rule.mitre.to_vec(),
            file: None,
        });
        let own = policy.rules.iter().map(|rule| Row {
            rule: &rule.id,
            severity: rule.severity,
            title: &rule.title,
            mitre: rule.mitre.iter().map(String::as_str).collect(),
            file: Some(&rule.place.file),
        });
        Self { rules: shipped.chain(own).collect() }
    }

    pub fn text(&self) -> String {
        let wide = self.rules.iter().map(|row| row.rule.len()).max().unwrap_or(0);
        let mut text = format!("{:wide$} SEVERITY TITLE\n", "RULE");
        for Row { rule, severity, title, file, .. } in &self.rules {
            let of = file.map(|file| format!(" ({file})")).unwrap_or_default();
            let line = format!("{rule:wide$} {severity:8} {title}{of}");
            let _ = writeln!(text, "{}", escaped(line.as_bytes()));
        }
        text
    }
}

/// `rules explain`.
#[derive(Debug, Serialize)]
pub struct Explained<'a> {
    rule: &'a str,
    severity: Severity,
    title: &'a str,
    mitre: Vec<&'a str>,
    detects: &'a str,
    /// Facts of the kernel that it rests on; of a user's rule its condition.
    rests_on: Vec<&'a str>,
    /// What looks alike and is told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    tells_apart: Option<&'a str>,
    /// What it cannot know.
    #[serde(skip_serializing_if = "Option::is_none")]
    cannot_tell: Option<&'a str>,
    /// What the kernel side has to report.
    needs: Vec<&'a str>,
    /// An exception from it, to be completed.
    exception: String,
}

impl<'a> Explained<'a> {
    pub fn shipped(rule: &'static Rule, explanation: &'static Explanation) -> Explained<'static> {
        Explained {
            rule: rule.id,
            severity: rule.severity,
            title: rule.title,
            mitre: rule.mitre.to_vec(),
            detects: explanation.detects,
            rests_on: explanation.rests_on.to_vec(),
            tells_apart: Some(explanation.tells_apart),
            cannot_tell: Some(explanation.cannot_tell),
            needs: explanation.needs.to_vec(),
            exception: exception(rule.id, explanation.about_namespace),
        }
    }

    pub fn of_user(rule: &'a UserRule) -> Self {
        Self {
            rule: &rule.id,
            severity: rule.severity,
            title: &rule.title,
            mitre: rule.mitre.iter().map(String::as_str).collect(),
            detects: rule.explain.as_deref().unwrap_or(&rule.title),
            rests_on: vec![&rule.when],
            tells_apart: None,
            cannot_tell: None,
            needs: vec!["event lines"],
            exception: exception(&rule.id, false),
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("{} ({}): {}\n", self.rule, self.severity, self.title);
        if !self.mitre.is_empty() {
            text.push_str(&format!("MITRE ATT&CK: {}\n", self.mitre.join(" ")));
        }
        text.push_str(&format!("\n{}\n\nIt rests on:\n", self.detects));
        for fact in &self.rests_on {
            text.push_str(&format!("  - {fact}\n"));
        }
        for (heading, said) in [("Told apart", self.tells_apart), ("Not told apart", self.cannot_tell)] {
            if let Some(said) = said {
                text.push_str(&format!("\n{heading}: {said}\n"));
            }
        }
        text.push_str(&format!(
            "\nIt needs these facts ('nstrace doctor' says whether they are seen): {}\n",
            self.needs.join(", ")
        ));
        text.push_str(&format!("\nAn exception from it, for --exceptions:\n\n{}", self.exception));
        text.split_inclusive('\n')
            .map(|line| {
                let line = line.trim_end_matches('\n');
                format!("{}\n", escaped(line.as_bytes()))
            })
            .collect()
    }
}

fn exception(rule: &str, about_namespace: bool) -> String {
    let types = if about_namespace { "namespace-types = [\"net\"]\n" } else { "" };
    format!(
        "[[exception]]\nrule = \"{rule}\"\nreason = \"why nobody needs to act\"\nowner = \"who answers for it\"\n\
         expires = 2027-03-31\nimage-digest = \"sha256:...\"\n{types}"
    )
}
