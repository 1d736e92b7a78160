//! `nstrace rules`: which rules there are, what they mean, and whether files of rules and exceptions are right.

use std::path::PathBuf;

use super::{
    exit::{Failure, Outcome},
    output::Stdout,
};
use crate::{
    detect::{EXPLANATIONS, RULES},
    policy::{Policy, fault::Fault, rules::UserRule, source::Source},
    view::{document, rules as view},
};

/// Show, explain and check the rules by which findings are made, and the exceptions from them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print every rule: those of nstrace and those of the files
    List(ListArgs),
    /// Print what a rule detects, what it rests on, and how to write an exception from it
    Explain(ExplainArgs),
    /// Say what is wrong in files of rules and exceptions: exit code 1 when something is
    Check(Files),
    /// Run the tests that are written beside the rules: exit code 1 when one fails
    Test(Files),
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Files of rules and exceptions, in TOML; those that belong together at once
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Files of further rules
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// NST-001 and so on, the id of a rule in a file, or 'format': how files are written
    #[arg(value_name = "RULE-ID")]
    id: String,

    /// Files of further rules
    #[arg(long = "rules", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print one JSON document; 'nstrace schema' describes it
    #[arg(short = 'J', long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Stdout) -> Result<Outcome, Failure> {
    match &args.what {
        What::List(args) => list(args, out),
        What::Explain(args) => explain(args, out),
        What::Check(args) => check(args, out),
        What::Test(args) => test(args, out),
    }
}

fn list(args: &ListArgs, out: &mut Stdout) -> Result<Outcome, Failure> {
    let policy = whole(&args.files)?;
    let list = view::List::of(&policy);
    let text = if args.json { document::json(&list, &[]) } else { list.text() };
    out.text(text.as_bytes())?;
    Ok(Outcome::Complete)
}

fn explain(args: &ExplainArgs, out: &mut Stdout) -> Result<Outcome, Failure> {
    if args.id == "format" {
        out.text(view::FORMAT.as_bytes())?;
        return Ok(Outcome::Complete);
    }
    let policy = whole(&args.files)?;
    let shipped = RULES.iter().zip(EXPLANATIONS).find(|(rule, _)| rule.id.eq_ignore_ascii_case(&args.id));
    let explained = match shipped {
        Some((rule, explanation)) => view::Explained::shipped(rule, explanation),
        None => match policy.rules.iter().find(|rule| rule.id == args.id) {
            Some(rule) => view::Explained::of_user(rule),
            None => {
                let message = format!("there is no rule '{}': 'nstrace rules list' has those there are", args.id);
                return Ok(Outcome::Nothing(message));
            }
        },
    };
    let text = if args.json { document::json(&explained, &[]) } else { explained.text() };
    out.text(text.as_bytes())?;
    Ok(Outcome::Complete)
}

/// Every file, however wrong another one is.
fn read(files: &[PathBuf]) -> Result<Policy, Vec<Fault>> {
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match Source::read(file) {
            Ok(source) => sources.push(source),
            Err(fault) => faults.push(fault),
        }
    }
    match Policy::read(&[], &sources) {
        Ok(policy) if faults.is_empty() => Ok(policy),
        Ok(_) => Err(faults),
        Err(others) => {
            faults.extend(others);
            Err(faults)
        }
    }
}

fn whole(files: &[PathBuf]) -> Result<Policy, Failure> {
    read(files).map_err(|faults| tell(&faults))
}

/// All faults but the last, which is what the program ends with.
fn tell(faults: &[Fault]) -> Failure {
    let Some((last, others)) = faults.split_last() else { return anyhow::anyhow!("nothing can be read").into() };
    for fault in others {
        super::say(&super::one_line(&fault.to_string()));
    }
    anyhow::anyhow!("{last}").into()
}

fn check(args: &Files, out: &mut Stdout) -> Result<Outcome, Failure> {
    let policy = whole(&args.files)?;
    let doubts = policy.doubts(now());
    if !doubts.is_empty() {
        return Err(tell(&doubts));
    }
    let (rules, exceptions) = (policy.rules.len(), policy.exceptions.len());
    out.text(format!("{rules} rules and {exceptions} exceptions are right\n").as_bytes())?;
    Ok(Outcome::Complete)
}

/// UTC, nanoseconds: the one place where the time of the day decides, and not the stream's.
fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

fn test(args: &Files, out: &mut Stdout) -> Result<Outcome, Failure> {
    let policy = whole(&args.files)?;
    let (mut tests, mut faults) = (0_usize, Vec::new());
    for rule in &policy.rules {
        tests += rule.tests.len();
        faults.extend(failures(rule));
    }
    if !faults.is_empty() {
        return Err(tell(&faults));
    }
    if tests == 0 {
        return Ok(Outcome::Nothing(
            "no rule of these files has tests: add tests = [{ event = {...}, expect = true }]".to_owned(),
        ));
    }
    out.text(format!("{tests} tests of {} rules passed\n", policy.rules.len()).as_bytes())?;
    Ok(Outcome::Complete)
}

fn failures(rule: &UserRule) -> impl Iterator<Item = Fault> + '_ {
    rule.tests.iter().filter_map(|test| {
        let is = rule.is_true_of(&test.event);
        let message = format!(
            "the test of '{}' failed: expected {}, actual {is}, for the event {}",
            rule.id, test.expect, test.event
        );
        (is != test.expect).then(|| Fault { message, ..test.place.clone() })
    })
}
