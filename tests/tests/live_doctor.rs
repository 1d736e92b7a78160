//! `nstrace doctor` on the running kernel.

use std::process::Command;

use nstrace_tests::{
    live::{facts, one_at_a_time},
    program::{self, patience, run},
};
use serde_json::Value;

fn document(attach: &str) -> (Option<i32>, Value, String) {
    let output = run(Command::new(program::nstrace()).args(["doctor", "-J", "--attach", attach]), patience())
        .expect("doctor runs");
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON document ({error}): {} {}", output.text(), output.stderr));
    (output.status.code(), document, output.stderr)
}

/// The document agrees with itself, the exit code and the kernel.
#[test]
fn tells_what_is_seen() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    facts().expect("the document can be used as an excuse");
    let (code, document, stderr) = document(&program::attach());
    assert_eq!(document["schema"], 1);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs");
    assert_eq!(document["kernel"], release.trim(), "the kernel it examined");
    let facts = document["facts"].as_array().expect("facts");
    for fact in facts {
        let name = fact["fact"].as_str().expect("a name");
        let attached =
            fact["hooks"].as_array().expect("hooks").iter().filter(|hook| hook["rejected"].is_null()).count();
        match fact["coverage"].as_str() {
            Some("full") => {
                assert!(attached > 0, "{name}: fully seen by no hook");
                assert!(fact["invisible"].is_null(), "{name}: fully seen, yet something is invisible");
            }
            Some("partial") => {
                assert!(attached > 0, "{name}: seen by no hook");
                assert!(fact["invisible"].is_string(), "{name}: partly seen, but what is not?");
            }
            Some("none") => {
                assert_eq!(attached, 0, "{name}: not seen with hooks attached");
                assert!(fact["invisible"].is_string(), "{name}: not seen, but what is not?");
            }
            other => panic!("{name}: coverage {other:?}"),
        }
    }
    accepted(&document);
    let complete = facts.iter().all(|fact| fact["coverage"] == "full");
    assert_eq!(code, Some(if complete { 0 } else { 4 }), "{stderr}");
    assert_eq!(stderr.lines().count(), usize::from(!complete), "one line names what cannot be seen: {stderr}");
}

/// Births, exits and calls have to be seen in every mode that can be attached at all.
#[test]
fn sees_the_life_of_members() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let facts = facts().expect("doctor works");
    for fact in ["task-born", "exit", "setns-unshare", "user-ns", "destroyed"] {
        assert_eq!(facts.unseen(fact), None, "{fact}");
    }
}

/// Tracepoint mode has to work wherever the others cannot be had; no other test here loads all its programs on kernels that let
/// kprobes in.
#[test]
fn no_verifier_refuses_a_program_of_tracepoint_mode() {
    let _turn = one_at_a_time();
    if program::live() && !program::again() {
        let (_, document, _) = document("tracepoint");
        accepted(&document);
    }
}

/// No verifier refused a program; hooks that were not tried have other reasons.
fn accepted(document: &Value) {
    let hooks = document["facts"].as_array().into_iter().flatten().filter_map(|fact| fact["hooks"].as_array());
    let reasons: Vec<&str> = hooks.flatten().filter_map(|hook| hook["rejected"].as_str()).collect();
    let refused: Vec<&&str> = reasons.iter().filter(|reason| reason.contains("verifier")).collect();
    assert!(!reasons.is_empty() && refused.is_empty(), "{refused:?}");
}

/// For people: every fact is named, and so is what hides it.
#[test]
fn text_names_every_fact() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let (_, document, _) = document(&program::attach());
    let output = run(
        Command::new(program::nstrace()).args(["doctor", "--color=never", "--attach", &program::attach()]),
        patience(),
    )
    .expect("doctor runs");
    let text = output.text();
    for fact in document["facts"].as_array().expect("facts") {
        let name = fact["fact"].as_str().expect("a name");
        assert!(text.contains(name), "{name} is missing: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours were not wanted: {text:?}");
}
