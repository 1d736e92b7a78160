//! Every kind of line and document is valid under the schema that `nstrace schema` prints, and the schema is strict
//! enough to notice when one is not.

mod cli_common;

use std::process::Command;

use jsonschema::Validator;
use nstrace::{
    kernel::report::{AttachMode, Check, Coverage, DetectorReport, FactReport, HookUse, Report},
    view,
};
use serde_json::{Value, json};

/// The schema as the program prints it, narrowed to one of its definitions.
fn validator(definition: &str) -> Validator {
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace")).arg("schema").output().expect("nstrace runs");
    assert!(output.status.success());
    let mut schema: Value = serde_json::from_slice(&output.stdout).expect("the schema is JSON");
    let object = schema.as_object_mut().expect("the schema is an object");
    object.remove("anyOf").expect("the root offers alternatives");
    object.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    jsonschema::draft202012::new(&schema).expect("the schema is a schema of draft 2020-12")
}

fn lines() -> Vec<Value> {
    let mut out = Vec::new();
    for change in cli_common::all() {
        view::json::line(&change, &mut out);
    }
    let text = String::from_utf8(out).expect("lines are UTF-8 whatever the names");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn report() -> Report {
    Report {
        kernel: "6.12.107".to_owned(),
        machine: "x86_64".to_owned(),
        checks: vec![Check { name: "btf", ok: true, detail: "/sys/kernel/btf/vmlinux".to_owned() }],
        attach: Some(AttachMode::Fentry),
        facts: vec![FactReport {
            fact: "destroyed",
            meaning: "a namespace is freed",
            coverage: Coverage::Partial,
            hooks: vec![
                HookUse { kind: "fentry", target: "proc_free_inum".to_owned(), rejected: None, verifier: None },
                HookUse {
                    kind: "kprobe",
                    target: "proc_free_inum".to_owned(),
                    rejected: Some("lockdown".to_owned()),
                    verifier: Some("R1 invalid\nprocessed 3 insns".to_owned()),
                },
            ],
            invisible: Some("the owner".to_owned()),
            for_detectors: false,
        }],
        detectors: vec![DetectorReport { detector: "NST-022", coverage: Coverage::Partial, unseen: vec!["destroyed"] }],
    }
}

#[test]
fn every_line_is_valid() {
    let validator = validator("event");
    for line in lines() {
        let errors: Vec<String> = validator.iter_errors(&line).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{line}\n{}", errors.join("\n"));
    }
}

#[test]
fn every_event_word_of_the_schema_is_exercised() {
    let schema: Value = serde_json::from_str(view::schema::TEXT).expect("the schema is JSON");
    let words = schema["$defs"]["event"]["properties"]["event"]["enum"].as_array().expect("a list of words").clone();
    let seen: Vec<Value> = lines().into_iter().map(|line| line["event"].clone()).collect();
    for word in &words {
        assert!(seen.contains(word), "no test line says {word}");
    }
    for word in &seen {
        assert!(words.contains(word), "the schema does not know {word}");
    }
}

#[test]
fn changed_lines_are_not_valid() {
    let validator = validator("event");
    for line in lines() {
        let keys: Vec<String> = line.as_object().expect("a line is an object").keys().cloned().collect();
        for key in keys {
            let mut without = line.clone();
            without.as_object_mut().expect("a line is an object").remove(&key);
            assert!(!validator.is_valid(&without), "valid without {key}: {without}");
            let mut wrong = line.clone();
            wrong[&key] = json!(-1.5);
            assert!(!validator.is_valid(&wrong), "valid with a wrong {key}: {wrong}");
        }
        let mut more = line.clone();
        more["surprise"] = json!(1);
        assert!(!validator.is_valid(&more), "valid with a key nobody described: {more}");
    }
}

#[test]
fn keys_come_in_the_order_of_the_contract() {
    let mut out = Vec::new();
    view::json::line(&cli_common::all()[2], &mut out);
    let line = String::from_utf8(out).expect("UTF-8");
    assert_eq!(
        line,
        concat!(
            r#"{"event":"created","time":"2026-11-21T20:35:12.127956789Z","boot_ns":100004500000,"seq":3,"#,
            r#""ns":{"type":"net","inum":4026532177,"id":12403,"initial":false},"#,
            r#""task":{"pid":4321,"tid":4321,"comm":"runc:[1:INIT]","uid":0,"pids":[4321,7,1]},"#,
            r#""cause":{"via":"unshare","flags":["CLONE_NEWNET"]},"container":null,"#,
            r#""owner":{"type":"user","inum":4026531837,"id":1},"parent":null}"#,
            "\n"
        )
    );
}

#[test]
fn doctor_documents_are_valid() {
    let validator = validator("doctor");
    let complete = Report { facts: vec![], checks: vec![], attach: None, ..report() };
    for report in [report(), complete] {
        let document: Value = serde_json::from_str(&view::doctor::json(&report)).expect("the document is JSON");
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{document}\n{}", errors.join("\n"));
        assert_eq!(document["schema"], 1);
        assert_eq!(document["complete"], report.is_complete());
    }
}
