//! A life in four canned deeds, and what becomes of the verdict when the lines say something else.

use std::collections::BTreeMap;

use super::*;
use crate::deed::{Deed, NsTruth, TaskTruth, What};

const NEWUTS: u64 = 0x0400_0000;

fn slots(uts: NsTruth) -> BTreeMap<String, NsTruth> {
    let net = NsTruth { inum: 3, id: None };
    [("uts", uts), ("net", net)].into_iter().map(|(slot, ns)| (slot.to_owned(), ns)).collect()
}

const OLD: NsTruth = NsTruth { inum: 1, id: None };
const NEW: NsTruth = NsTruth { inum: 100, id: Some(7) };

fn task(uts: NsTruth) -> TaskTruth {
    TaskTruth { pid: 40, tid: 40, pids: vec![40], uid: 0, comm: b"actor".to_vec(), ns: slots(uts) }
}

fn deed(before_ns: u64, after_ns: u64, what: What) -> Deed {
    Deed { scenario: "canned".to_owned(), before_ns, after_ns, what }
}

fn call(errno: Option<&str>, after: NsTruth) -> What {
    What::Call {
        call: "unshare".to_owned(),
        flags: NEWUTS,
        errno: errno.map(str::to_owned),
        before: task(OLD),
        after: task(after),
    }
}

fn life() -> Book {
    Book::of(&[
        deed(1, 1, What::Begin { initial: slots(OLD) }),
        deed(10, 20, call(None, NEW)),
        deed(30, 30, What::Exit { task: task(NEW), process: true, early: false }),
        deed(40, 40, What::End { ok: true, detail: String::new() }),
    ])
}

fn failure() -> Book {
    Book::of(&[
        deed(1, 1, What::Begin { initial: slots(OLD) }),
        deed(10, 20, call(Some("EPERM"), OLD)),
        deed(30, 30, What::Exit { task: task(OLD), process: true, early: false }),
    ])
}

fn line(seq: u64, event: &str, boot_ns: u64, ns: &str, via: &str, more: &str) -> String {
    let flags = if via == "unshare" { r#"["CLONE_NEWUTS"]"# } else { "[]" };
    format!(
        r#"{{"event":"{event}","time":"2026-11-21T20:35:12.000000000Z","boot_ns":{boot_ns},"seq":{seq},"ns":{ns},"task":{{"pid":40,"tid":40,"comm":"actor","uid":0,"pids":[40]}},"cause":{{"via":"{via}","flags":{flags}{more}}},"container":null"#
    )
}

const UTS_OLD: &str = r#"{"type":"uts","inum":1,"id":null,"initial":true}"#;
const UTS_NEW: &str = r#"{"type":"uts","inum":100,"id":7,"initial":false}"#;

fn good_lines() -> Vec<String> {
    vec![
        line(1, "created", 12, UTS_NEW, "unshare", "") + "}",
        line(2, "left", 12, UTS_OLD, "unshare", "") + "}",
        line(3, "joined", 12, UTS_NEW, "unshare", "") + "}",
        line(4, "left", 31, UTS_NEW, "exit", "") + "}",
        line(5, "destroyed", 32, UTS_NEW, "exit", "") + r#","lifetime_ns":20}"#,
    ]
}

fn verdict(book: &Book, lines: &[String]) -> Verdict {
    let lines: Vec<Line> = lines.iter().map(|raw| Line::parse(raw).expect("canned")).collect();
    judge(book, &lines, &Facts::complete())
}

fn faults(lines: &[String]) -> String {
    let verdict = verdict(&life(), lines);
    assert!(!verdict.is_good(), "the fault was not seen");
    verdict.to_string()
}

#[test]
fn a_whole_life_is_good() {
    let verdict = verdict(&life(), &good_lines());
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!(verdict.matched, 5);
}

#[test]
fn each_line_is_missed() {
    for gone in 0..good_lines().len() {
        let mut lines = good_lines();
        lines.remove(gone);
        let said = faults(&lines);
        assert!(said.contains("did not come"), "without line {gone}: {said}");
    }
}

#[test]
fn each_line_twice_is_one_too_many() {
    for twice in 0..good_lines().len() {
        let mut lines = good_lines();
        let copy = lines[twice].replace(r#""seq":"#, r#""seq":9"#);
        lines.push(copy);
        let said = faults(&lines);
        assert!(said.contains("without a reason"), "line {twice} twice: {said}");
    }
}

#[test]
fn every_field_is_compared() {
    for (field, value, fault) in [
        (r#""uid":0"#, r#""uid":1"#, "task.uid"),
        (r#""pids":[40]"#, r#""pids":[40,1]"#, "task.pids"),
        (r#""comm":"actor""#, r#""comm":"other""#, "task.comm"),
        (r#""via":"unshare""#, r#""via":"setns""#, "cause.via"),
        (r#"["CLONE_NEWUTS"]"#, "[]", "cause.flags"),
        (r#""boot_ns":12"#, r#""boot_ns":21"#, "boot_ns"),
        (r#""initial":false"#, r#""initial":true"#, "ns.initial"),
        (r#""flags":["#, r#""errno":"EPERM","flags":["#, "cause.errno"),
    ] {
        let mut lines = good_lines();
        assert!(lines[0].contains(field), "{field}");
        lines[0] = lines[0].replace(field, value);
        let said = faults(&lines);
        assert!(said.contains(fault), "{field} → {value}: {said}");
    }
}

#[test]
fn another_number_is_another_namespace() {
    let mut lines = good_lines();
    lines[0] = lines[0].replace(r#""inum":100"#, r#""inum":101"#);
    assert!(faults(&lines).contains("did not come"));
}

#[test]
fn the_end_comes_last_and_has_the_right_lifetime() {
    let mut lines = good_lines();
    lines.swap(3, 4);
    lines[3] = lines[3].replace(r#""seq":5"#, r#""seq":4"#);
    lines[4] = lines[4].replace(r#""seq":4"#, r#""seq":5"#);
    assert!(faults(&lines).contains("destroyed before left"));
    let mut lines = good_lines();
    lines[4] = lines[4].replace(r#""lifetime_ns":20"#, r#""lifetime_ns":21"#);
    assert!(faults(&lines).contains("lifetime_ns"));
    // An end before the last release: the namespace was alive.
    let mut lines = good_lines();
    lines[4] = lines[4].replace(r#""boot_ns":32"#, r#""boot_ns":29"#).replace(":20}", ":17}");
    assert!(faults(&lines).contains("is not within"));
}

#[test]
fn a_wrong_release_is_seen() {
    let mut lines = good_lines();
    lines[4] = lines[4].replace(r#""via":"exit""#, r#""via":"close""#);
    assert!(faults(&lines).contains("cause.via"));
}

#[test]
fn a_failed_call_makes_nothing() {
    let denied =
        line(1, "denied", 15, r#"{"type":"uts","inum":null,"id":null}"#, "unshare", r#","errno":"EPERM""#) + "}";
    let book = failure();
    let alone = verdict(&book, std::slice::from_ref(&denied));
    assert!(alone.is_good(), "{alone}");
    let with_ghost = verdict(&book, &[denied.clone(), line(2, "created", 15, UTS_NEW, "unshare", "") + "}"]);
    assert!(with_ghost.to_string().contains("without a reason"), "{with_ghost}");
    let wrong_errno = verdict(&book, &[denied.replace("EPERM", "EINVAL")]);
    assert!(wrong_errno.to_string().contains("cause.errno"), "{wrong_errno}");
}

#[test]
fn losses_and_repeated_numbers_are_faults() {
    let mut lines = good_lines();
    lines.push(
        r#"{"event":"lost","boot_ns":50,"seq":6,"ns":null,"task":null,"cause":null,"container":null}"#.to_owned(),
    );
    assert!(faults(&lines).contains("records were lost"));
    let mut lines = good_lines();
    lines[2] = lines[2].replace(r#""seq":3"#, r#""seq":2"#);
    assert!(faults(&lines).contains("seq 2 after 2"));
}

#[test]
fn only_doctor_excuses() {
    let facts = Facts::parse(
        r#"{"schema":1,"facts":[{"fact":"destroyed","coverage":"none","invisible":"no hook"},{"fact":"exit","coverage":"full"}]}"#,
    )
    .expect("canned");
    let mut lines = good_lines();
    lines.pop();
    let parsed: Vec<Line> = lines.iter().map(|raw| Line::parse(raw).expect("canned")).collect();
    let book = life();
    let excused = judge(&book, &parsed, &facts);
    assert!(excused.is_good(), "{excused}");
    assert!(excused.to_string().contains("not compared, 1 times destroyed: doctor: destroyed: no hook"), "{excused}");
    let parsed = &parsed[..3];
    assert!(!judge(&book, parsed, &facts).is_good(), "exit is seen, so `left` has to come");
}

#[test]
fn the_same_number_twice_is_two_lives() {
    let again = NsTruth { inum: 100, id: Some(8) };
    let book = Book::of(&[
        deed(1, 1, What::Begin { initial: slots(OLD) }),
        deed(10, 20, call(None, NEW)),
        deed(30, 30, What::Exit { task: task(NEW), process: true, early: false }),
        deed(40, 50, call(None, again)),
        deed(60, 60, What::Exit { task: task(again), process: true, early: false }),
    ]);
    let mut lines = good_lines();
    for (seq, (first, boot)) in good_lines().iter().zip([42, 42, 42, 61, 62]).enumerate() {
        let old_boot = Line::parse(first).expect("canned").boot_ns().expect("has one");
        lines.push(
            first
                .replace(r#""id":7"#, r#""id":8"#)
                .replace(&format!(r#""boot_ns":{old_boot}"#), &format!(r#""boot_ns":{boot}"#))
                .replace(&format!(r#""seq":{}"#, seq + 1), &format!(r#""seq":{}"#, seq + 6)),
        );
    }
    let verdict = verdict(&book, &lines);
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!(verdict.matched, 10);
}
