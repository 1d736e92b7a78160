//! `nstrace rules`, and `--exceptions` and `--rules` of a replay.

mod recording_support;
#[path = "toy_recording/mod.rs"]
mod toy_recording;

use std::path::PathBuf;

use nstrace::{
    event::{Event, Stamp, Stamped},
    policy::{Policy, source::Source},
    recording::{Options, Writer, entry::Span},
    view,
};
use serde_json::{Value, json};
use toy_recording::{nstrace, printed, refused};

const RULES: &str = r#"
[[rule]]
id = "ACME-1"
title = "A network namespace was made"
severity = "medium"
when = 'event == "created" && ns.type == "net"'
explain = "{task.comm} made {ns.type}:[{ns.inum}]"
tests = [
  { event = { event = "created", ns = { type = "net" } }, expect = true },
  { event = { event = "created", ns = { type = "ipc" } }, expect = false },
]
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("room");
        self.path(name).to_str().expect("UTF-8").to_owned()
    }
}

fn valid(definition: &str, text: &str) -> Value {
    let mut schema: Value = serde_json::from_str(view::schema::TEXT).expect("the schema is JSON");
    let object = schema.as_object_mut().expect("an object");
    object.remove("anyOf");
    object.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    let document: Value = serde_json::from_str(text).expect("the document is JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{document}\n{}", errors.join("\n"));
    document
}

#[test]
fn rules_are_listed_and_explained() {
    let folder = Folder::new();
    let file = folder.file("own.toml", RULES);
    let list = valid("rules_list", &printed(&["rules", "list", "-J", &file], 0));
    assert_eq!(list["rules"].as_array().map(Vec::len), Some(25));
    assert_eq!(list["rules"][24]["rule"], "ACME-1");
    let text = printed(&["rules", "list", &file], 0);
    assert!(text.contains("NST-001 critical A contained task entered") && text.contains("ACME-1"), "{text}");
    for rule in nstrace::detect::RULES {
        let explained = valid("rules_explain", &printed(&["rules", "explain", "-J", rule.id], 0));
        // The exception it shows is one.
        let text = explained["exception"].as_str().expect("TOML").to_owned();
        let source = Source { name: "f".to_owned(), text };
        Policy::read(&[source], &[]).unwrap_or_else(|faults| panic!("{}: {faults:?}", rule.id));
    }
    assert!(printed(&["rules", "explain", "nst-005"], 0).contains("It rests on:"));
    let own = valid("rules_explain", &printed(&["rules", "explain", "-J", "ACME-1", "--rules", &file], 0));
    assert_eq!(own["rests_on"][0], "event == \"created\" && ns.type == \"net\"");
    assert!(refused(&["rules", "explain", "NST-999"], 3).contains("there is no rule 'NST-999'"));
}

#[test]
fn the_format_that_is_explained_is_the_format() {
    let text = printed(&["rules", "explain", "format"], 0);
    let examples: String =
        text.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    let source = Source { name: "format".to_owned(), text: examples };
    let policy = Policy::read(&[], &[source]).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!((policy.rules.len(), policy.exceptions.len()), (1, 1));
    for test in &policy.rules[0].tests {
        assert_eq!(policy.rules[0].is_true_of(&test.event), test.expect);
    }
}

#[test]
fn files_are_checked_and_tested() {
    let folder = Folder::new();
    let good = folder.file("good.toml", RULES);
    assert_eq!(printed(&["rules", "check", &good], 0), "1 rules and 0 exceptions are right\n");
    assert_eq!(printed(&["rules", "test", &good], 0), "2 tests of 1 rules passed\n");
    let bad = folder.file("bad.toml", &RULES.replacen("ns.type", "ns.typ", 1));
    let said = refused(&["rules", "check", &bad], 1);
    assert!(said.contains("bad.toml:6:33: there is no field 'typ' here: use one of id initial inum type"), "{said}");
    let failing = folder.file("failing.toml", &RULES.replace("expect = false", "expect = true"));
    let said = refused(&["rules", "test", &failing], 1);
    assert!(said.contains("failing.toml:10:") && said.contains("expected true, actual false"), "{said}");
    let old = "[[exception]]\nrule = \"NST-001\"\nreason = \"x\"\nexpires = 2020-01-01\nunit = \"x.service\"\n";
    let old = folder.file("old.toml", old);
    assert!(refused(&["rules", "check", &old], 1).contains("old.toml:2:8: it expired on 2020-01-01"));
    assert!(refused(&["rules", "check", "/nonexistent.toml"], 1).contains("cannot be read"));
    assert!(refused(&["rules", "test", &old], 3).contains("no rule of these files has tests"));
    // Several faults are told all, the last one as the program's own.
    let both = nstrace(&["rules", "check", &bad, &folder.file("b.toml", "[[rule]]\nx = 1\n")]);
    let said = String::from_utf8(both.stderr).expect("UTF-8");
    assert_eq!((both.status.code(), said.lines().count()), (Some(1), 2), "{said}");
    let hostile = folder.file("h.toml", "[[rule]]\nid = \"\\u001b[2J\"\n\u{9b}2J = 1\n");
    refused(&["rules", "check", &hostile], 1);
    for args in [["replay", "x.nst", "--rules", &bad], ["replay", "x.nst", "--exceptions", "/nonexistent.toml"]] {
        assert_eq!(nstrace(&args).status.code(), Some(1));
    }
    assert!(refused(&["watch", "--rules", &bad], 1).contains("bad.toml:6:33"));
}

/// Two containers' worth of a host, recorded with rules and exceptions in force; the lines that were printed.
fn recorded(folder: &Folder, rules: &str, exceptions: &str) -> (PathBuf, Vec<String>) {
    let path = folder.path("toy.nst");
    let mut session = recording_support::session();
    (session.rules, session.exceptions) = (vec![rules.to_owned()], vec![exceptions.to_owned()]);
    session.tool = nstrace::recording::document::TOOL.to_owned();
    let options = Options { keyframe: Some(500), ..Options::default() };
    let mut writer = Writer::create(&path, &session, Span::moment(1, 1), options).expect("a new file");
    let policy = Policy::kept(&session.policy()).expect("they are right");
    let facts = recording_support::host(3_000);
    let lines = recording_support::watch_under(&mut writer, &facts, policy);
    writer.end().expect("room");
    (path, lines.into_iter().map(|(_, line)| line).collect())
}

#[test]
fn a_replay_is_under_the_rules_of_its_recording() {
    let folder = Folder::new();
    let exceptions =
        "[[exception]]\nrule = \"ACME-1\"\nreason = \"theirs\"\nexpires = 2900-01-01\nnamespace-types = [\"net\"]\n";
    let (path, lines) = recorded(&folder, RULES, exceptions);
    let path = path.to_str().expect("UTF-8");
    let is_own = |line: &&String| line.contains("\"rule\":\"ACME-1\"");
    assert!(lines.iter().filter(is_own).count() > 3);
    assert!(lines.iter().filter(is_own).all(|line| line.contains("\"suppressed\":\"theirs\"")));
    let live: String = lines.concat();
    assert_eq!(printed(&["replay", path, "-J"], 0), live);
    assert_eq!(printed(&["replay", path, "-J", "--fail-on", "medium"], 0), live);
    // Keyframes know of the rules: their findings have numbers.
    assert_eq!(nstrace(&["verify", path]).status.code(), Some(0));
    // Other exceptions than those of the time.
    let none = folder.file("none.toml", "");
    let replayed = printed(&["replay", path, "-J", "--fail-on", "medium", "--exceptions", &none], 5);
    assert_eq!(replayed, live.replace("\"suppressed\":\"theirs\"", "\"suppressed\":null"));
    assert!(!printed(&["replay", path, "-J", "--rules", &none, "--exceptions", &none], 0).contains("ACME-1"));
    let exports = printed(&["export", path, "--format", "jsonl"], 0);
    assert_eq!(exports, live);
}

#[test]
fn an_expired_exception_is_said_by_the_clock_of_the_recording() {
    let folder = Folder::new();
    let clock = Event::Clock { utc_ns: 1_700_000_000_000_000_000 };
    let stamp = Stamp { boot_ns: 1, cpu: 0, seq: 0 };
    let events = [clock, Event::SnapshotEnd].map(|event| Stamped { stamp, event });
    let path = folder.path("small.nst");
    toy_recording::record(&path, &events, Vec::new());
    let file = |day: &str| {
        let text =
            format!("[[exception]]\nrule = \"NST-001\"\nreason = \"x\"\nexpires = {day}\nunit = \"x.service\"\n");
        folder.file(&format!("{day}.toml"), &text)
    };
    let run = |file: String| {
        let output = nstrace(&["replay", path.to_str().expect("UTF-8"), "--exceptions", &file]);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(run(file("2024-01-01")), "", "it was valid at the time");
    let said = run(file("2023-01-01"));
    assert!(said.contains("expired on 2023-01-01: it covers nothing"), "{said}");
}
