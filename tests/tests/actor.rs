//! The actor and the engine without nstrace: every scenario runs on this kernel, and the lines that the expectations
//! describe are judged good. So a red live test speaks of nstrace, not of these two.

use std::collections::HashMap;

use nstrace_tests::{
    doctor::Facts,
    expect::{Book, Expect},
    kinds::kinds_of,
    line::Line,
    live::{one_at_a_time, perform},
    matching::judge,
    program::{self, note},
};
use serde_json::{Value, json};

/// The line that an expectation asks for.
fn ideal(book: &Book, expect: &Expect, seq: usize, created: &mut HashMap<usize, u64>) -> Line {
    let boot_ns = expect.from_ns.unwrap_or(book.first_ns + 1);
    let task = expect.who.as_ref().map(|who| {
        let more = who.more.as_ref();
        json!({
            "pid": who.pid,
            "tid": who.tid.unwrap_or(who.pid),
            "comm": more.map(|m| String::from_utf8_lossy(&m.comm)),
            "uid": more.map(|m| m.uid),
            "pids": more.map(|m| &m.pids),
        })
    });
    let ns = match expect.generation.map(|index| &book.generations[index]) {
        // A number that nobody could read: the line is what tells it.
        Some(life) => {
            json!({"type": life.ns_type, "inum": life.inum.unwrap_or(1), "id": life.id, "initial": life.initial})
        }
        None => json!({"type": expect.ns_type, "inum": null, "id": null}),
    };
    let flags: Vec<&str> = kinds_of(expect.flags.unwrap_or(0)).map(|kind| kind.flag_name).collect();
    let mut line = json!({
        "event": expect.event, "time": "2026-11-21T20:35:12.000000000Z", "boot_ns": boot_ns, "seq": seq, "ns": ns,
        "task": task, "cause": {"via": expect.via.first(), "flags": flags}, "container": null,
    });
    if let Some(errno) = &expect.errno {
        line["cause"]["errno"] = Value::from(errno.as_str());
    }
    if let Some(generation) = expect.generation {
        match expect.event {
            "created" => drop(created.insert(generation, boot_ns)),
            "destroyed" => line["lifetime_ns"] = json!(created.get(&generation).map(|born| boot_ns - born)),
            _ => {}
        }
    }
    Line::parse(&line.to_string()).expect("made as the contract says")
}

fn agree(group: &str, at_least: usize) {
    let _turn = one_at_a_time();
    if !program::live_actor() {
        return;
    }
    let book = Book::of(&perform(&[group]).unwrap_or_else(|error| panic!("{group}: {error:#}")));
    assert!(book.failed.is_empty(), "{:?}", book.failed);
    for why in &book.skipped {
        note(&format!("not performed: {why}"));
    }
    assert!(book.expects.len() >= at_least, "{group} expects only {} lines", book.expects.len());
    let mut created = HashMap::new();
    let lines: Vec<Line> =
        book.expects.iter().enumerate().map(|(seq, expect)| ideal(&book, expect, seq + 1, &mut created)).collect();
    let verdict = judge(&book, &lines, &Facts::complete());
    assert!(verdict.is_good(), "{group}: {verdict}");
    assert_eq!(verdict.matched, book.expects.len());
}

#[test]
fn calls() {
    agree("calls", 200);
}

#[test]
fn denied() {
    agree("denied", 100);
}

#[test]
fn nested() {
    agree("nested", 60);
}

#[test]
fn threads() {
    agree("threads", 15);
}

#[test]
fn holders() {
    agree("holders", 50);
}

#[test]
fn storms() {
    agree("storms", 1000);
}

#[test]
fn hostile() {
    agree("hostile", 40);
}

#[test]
fn programs() {
    agree("programs", 20);
}
