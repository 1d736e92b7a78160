//! Rules of the user: a condition over event lines, and what to say where it is true.

use serde::Deserialize;
use serde_json::Value as Json;
use toml::Spanned;

use super::{
    check::Misfit,
    expression::{Expression, Line},
    fault::{Fault, place_in_literal},
    fields::EVENT,
    line::{Sentence, misfit},
    source::Source,
};
use crate::detect::{RULES, Severity};

/// `[[rule]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Written {
    id: Spanned<String>,
    title: Spanned<String>,
    severity: Severity,
    #[serde(default)]
    mitre: Vec<Spanned<String>>,
    when: Spanned<String>,
    explain: Option<Spanned<String>>,
    #[serde(default)]
    tests: Vec<Spanned<WrittenTest>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTest {
    event: Json,
    expect: bool,
}

/// One rule.
#[derive(Debug)]
pub struct UserRule {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    /// MITRE ATT&CK techniques.
    pub mitre: Vec<String>,
    /// The condition, as it was written.
    pub when: String,
    pub explain: Option<String>,
    pub(super) expression: Expression,
    pub(super) sentence: Sentence,
    pub tests: Vec<Test>,
    /// Where it is written.
    pub place: Fault,
}

/// A line, or as much of one as the rule asks for, and whether the rule is true of it.
#[derive(Clone, Debug)]
pub struct Test {
    pub event: Json,
    pub expect: bool,
    /// Where it is written.
    pub place: Fault,
}

/// Bytes of an id and of a title.
const LONGEST_ID: usize = 64;
const LONGEST_TITLE: usize = 256;

impl UserRule {
    pub(super) fn read(source: &Source, written: Written, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let mut fault =
            |byte: usize, message: String| faults.push(Fault::at(&source.name, &source.text, byte, message));
        let in_literal = |literal: &Spanned<String>, at| place_in_literal(&source.text, literal.span(), at);
        let id = written.id.get_ref();
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(is_word) {
            let message = format!("a rule's id is 1 to {LONGEST_ID} letters, digits, '-', '_' or '.'");
            fault(written.id.span().start, message);
        } else if id.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("NST-")) {
            fault(written.id.span().start, "ids that begin with NST- are nstrace's own: use another prefix".to_owned());
        }
        if written.title.get_ref().trim().is_empty() || written.title.get_ref().len() > LONGEST_TITLE {
            fault(written.title.span().start, format!("a title has 1 to {LONGEST_TITLE} bytes"));
        }
        for technique in &written.mitre {
            if !is_technique(technique.get_ref()) {
                let message = "no ATT&CK technique: write it like T1611 or T1055.008".to_owned();
                fault(technique.span().start, message);
            }
        }
        let expression = Expression::compile(written.when.get_ref())
            .map_err(|Misfit { at, message }| fault(in_literal(&written.when, at), message))
            .ok();
        let explain = written.explain.as_ref();
        let sentence = Sentence::parse(explain.unwrap_or(&written.title).get_ref())
            .map_err(|(at, message)| fault(in_literal(explain.unwrap_or(&written.title), at), message))
            .ok();
        for test in &written.tests {
            if let Some(message) = misfit(&test.get_ref().event, &EVENT, "") {
                fault(test.span().start, message);
            }
        }
        let place = |byte| Fault::at(&source.name, &source.text, byte, String::new());
        let rule_place = place(written.id.span().start);
        let tests = written.tests.into_iter().map(|test| {
            let place = place(test.span().start);
            let WrittenTest { event, expect } = test.into_inner();
            Test { event, expect, place }
        });
        let rule = Self {
            id: written.id.into_inner(),
            title: written.title.into_inner(),
            severity: written.severity,
            mitre: written.mitre.into_iter().map(Spanned::into_inner).collect(),
            when: written.when.into_inner(),
            explain: written.explain.map(Spanned::into_inner),
            expression: expression?,
            sentence: sentence?,
            tests: tests.collect(),
            place: rule_place,
        };
        (faults.len() == before).then_some(rule)
    }

    /// It is true of this line, or part of a line, of `-J`.
    pub fn is_true_of(&self, line: &Json) -> bool {
        self.expression.matches(&Line::of(line))
    }
}

/// `T1611`, `T1055.008`.
fn is_technique(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('T') else { return false };
    let (technique, sub) = digits.split_once('.').unwrap_or((digits, "000"));
    technique.len() == 4 && sub.len() == 3 && technique.bytes().chain(sub.bytes()).all(|b| b.is_ascii_digit())
}

/// A shipped rule has this id.
pub(super) fn is_shipped(id: &str) -> bool {
    RULES.iter().any(|rule| rule.id == id)
}
