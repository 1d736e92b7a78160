//! What whoever runs nstrace adds to the detections, as data: exceptions ([`exceptions`]) and rules of their own ([`rules`]). Pure,
//! like the detectors: the clock is the stream's, so that a replay says what the live watch said.

pub mod check;
pub mod exceptions;
pub mod expression;
pub mod fault;
pub mod fields;
pub mod line;
pub mod rules;
pub mod source;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use self::{
    exceptions::{Cover, Exception, Standing},
    expression::Line,
    fault::Fault,
    rules::{UserRule, is_shipped},
    source::Source,
};
use crate::{
    detect::Finding,
    model::{Change, What},
    view,
};

/// Rules and exceptions of one stream.
const MOST_RULES: usize = 256;
const MOST_EXCEPTIONS: usize = 4096;
/// Steps that all rules together take for one line.
const MOST_STEPS: u64 = 100_000;

/// Everything that is in force.
#[derive(Debug, Default)]
pub struct Policy {
    pub exceptions: Vec<Exception>,
    pub rules: Vec<UserRule>,
    texts: Texts,
    /// What is to be said on stderr, and what was said already of which exception.
    notices: Vec<String>,
    said: BTreeSet<(usize, &'static str)>,
}

/// The files that a policy was read from, as a recording keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub exceptions: Vec<String>,
    pub rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<exceptions::Written>,
    #[serde(default)]
    rule: Vec<rules::Written>,
}

impl Policy {
    /// From files; either kind may hold both. Whatever is wrong with them is told at once.
    ///
    /// # Errors
    /// At least one fault.
    pub fn read(exceptions: &[Source], rules: &[Source]) -> Result<Self, Vec<Fault>> {
        let mut policy = Self::default();
        let mut faults = Vec::new();
        for source in exceptions.iter().chain(rules) {
            policy.add(source, &mut faults);
        }
        policy.check(&mut faults);
        let texts = |sources: &[Source]| sources.iter().map(|source| source.text.clone()).collect();
        policy.texts = Texts { exceptions: texts(exceptions), rules: texts(rules) };
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }

    /// What a recording kept of one.
    ///
    /// # Errors
    /// At least one fault.
    pub fn kept(texts: &Texts) -> Result<Self, Vec<Fault>> {
        let long = |texts: &[String]| texts.iter().map(String::len).sum::<usize>() as u64 > source::LONGEST * 16;
        if long(&texts.exceptions) || long(&texts.rules) {
            return Err(vec![Fault::of_file("the recording", "its rules and exceptions are too long".to_owned())]);
        }
        Self::read(&Source::kept("exceptions", &texts.exceptions), &Source::kept("rules", &texts.rules))
    }

    /// What a recording keeps.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    fn add(&mut self, source: &Source, faults: &mut Vec<Fault>) {
        let file: File = match toml::from_str(&source.text) {
            Ok(file) => file,
            Err(error) => {
                let message = error.message().lines().collect::<Vec<_>>().join(" ");
                faults.push(match error.span() {
                    Some(span) => Fault::at(&source.name, &source.text, span.start, message),
                    None => Fault::of_file(&source.name, message),
                });
                return;
            }
        };
        for (what, is, most) in [
            ("rules", self.rules.len() + file.rule.len(), MOST_RULES),
            ("exceptions", self.exceptions.len() + file.exception.len(), MOST_EXCEPTIONS),
        ] {
            if is > most {
                faults.push(Fault::of_file(&source.name, format!("more than {most} {what} together: leave some out")));
                return;
            }
        }
        self.exceptions.extend(file.exception.into_iter().filter_map(|one| Exception::read(source, one, faults)));
        self.rules.extend(file.rule.into_iter().filter_map(|one| UserRule::read(source, one, faults)));
    }

    /// What no entry shows alone.
    fn check(&self, faults: &mut Vec<Fault>) {
        let mut ids: BTreeMap<&str, &UserRule> = BTreeMap::new();
        for rule in &self.rules {
            if let Some(first) = ids.insert(&rule.id, rule) {
                let message =
                    format!("another rule has the id '{}': {}:{}", rule.id, first.place.file, first.place.line);
                faults.push(Fault { message, ..rule.place.clone() });
            }
        }
        let steps: u64 = self.rules.iter().map(|rule| rule.expression.cost).sum();
        if let Some(last) = self.rules.last().filter(|_| steps > MOST_STEPS) {
            let message =
                format!("all rules together take up to {steps} steps, {MOST_STEPS} are allowed: leave some out");
            faults.push(Fault { message, ..last.place.clone() });
        }
        // With a rule that could not be read, its exceptions cannot be judged.
        let is_whole = faults.is_empty();
        for exception in &self.exceptions {
            if is_whole && !is_shipped(&exception.rule) && !ids.contains_key(exception.rule.as_str()) {
                let message =
                    format!("there is no rule '{}': 'nstrace rules list' has those there are", exception.rule);
                faults.push(Fault { message, ..exception.place.clone() });
            }
        }
    }

    /// What works and yet is not what was meant: exceptions that are expired at this UTC time (nanoseconds) or covered by others.
    pub fn doubts(&self, utc_ns: i64) -> Vec<Fault> {
        let mut doubts = Vec::new();
        for (n, exception) in self.exceptions.iter().enumerate() {
            let mut doubt = |message: String| doubts.push(Fault { message, ..exception.place.clone() });
            if exception.is_expired(utc_ns) {
                doubt(format!("it expired on {}: look at it anew, or remove it", exception.expires));
                continue;
            }
            let others = self.exceptions.iter().enumerate().filter(|(m, _)| *m != n);
            // Of two that are the same the later one is the one too many.
            let covering = others.into_iter().find(|(m, other)| {
                exception.is_within(other) && (!other.is_within(exception) || *m < n) && !other.is_expired(utc_ns)
            });
            if let Some((_, other)) = covering {
                let Fault { file, line, .. } = &other.place;
                doubt(format!("it is unused: the one at {file}:{line} covers all that it covers; remove one"));
            }
        }
        doubts
    }

    /// The reason why nobody needs to act on a finding, if there is one. `utc_ns`: the stream's clock.
    pub fn suppresses(&mut self, utc_ns: i64, finding: &Finding, standing: &Standing<'_>) -> Option<String> {
        let mut unknown = None;
        for (n, exception) in self.exceptions.iter().enumerate() {
            match exception.covers(finding, standing) {
                _ if exception.is_expired(utc_ns) => {}
                Cover::Yes => return Some(exception.reason.clone()),
                Cover::Unknown(key) => unknown = unknown.or(Some((n, key))),
                Cover::No => {}
            }
        }
        if let Some((n, key)) = unknown
            && self.said.insert((n, key))
        {
            let Exception { rule, place: Fault { file, line, .. }, .. } = &self.exceptions[n];
            self.notices.push(format!(
                "the exception for {rule} at {file}:{line} covers nothing here: no engine told the {key} of the container"
            ));
        }
        None
    }

    /// Of the exceptions, those whose time is over are said once.
    pub fn at(&mut self, utc_ns: i64) {
        for (n, exception) in self.exceptions.iter().enumerate() {
            if exception.is_expired(utc_ns) && self.said.insert((n, "expires")) {
                let Exception { rule, expires, place: Fault { file, line, .. }, .. } = exception;
                self.notices
                    .push(format!("the exception for {rule} at {file}:{line} expired on {expires}: it covers nothing"));
            }
        }
    }

    /// The rules that are true of a line, and the line.
    pub fn true_of(&self, change: &Change) -> Vec<(usize, String)> {
        // A user's finding is not looked at again: rules could feed each other without end.
        let is_own = |finding: &Finding| !is_shipped(&finding.rule);
        if self.rules.is_empty() || matches!(&change.what, What::Finding(finding) if is_own(finding)) {
            return Vec::new();
        }
        let event = change.what.event();
        let mut candidates =
            self.rules.iter().enumerate().filter(|(_, rule)| rule.expression.may_match(event)).peekable();
        if candidates.peek().is_none() {
            return Vec::new();
        }
        let json = view::json::value(change);
        let line = Line::of(&json);
        let is_true = candidates.filter(|(_, rule)| rule.expression.matches(&line));
        is_true.map(|(n, rule)| (n, rule.sentence.about(&json))).collect()
    }

    /// Some exception is about what only container engines know.
    pub fn asks_engines(&self) -> bool {
        self.exceptions.iter().any(|exception| exception.who.asks_engines())
    }

    /// What is to be said on stderr since the last call. Hostile.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }
}
