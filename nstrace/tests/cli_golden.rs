//! Golden lines of every kind of change, as text in several shapes and as JSON. Accept new ones by running the tests with
//! `INSTA_UPDATE=always` and reading the diff.

mod cli_common;

use insta::assert_snapshot;
use jiff::tz::TimeZone;
use nstrace::{
    kernel::report::{Check, Coverage, DetectorReport, FactReport, HookUse, Report},
    view::{View, columns::Column, doctor::DoctorView, text::TextView},
};

fn render(view: &View) -> String {
    let mut out = Vec::new();
    view.heading(&mut out);
    for change in cli_common::all() {
        view.line(&change, &mut out);
    }
    String::from_utf8(out).expect("views write UTF-8")
}

fn text(columns: &str, colour: bool) -> String {
    let columns = Column::list(columns).expect("known columns");
    render(&View::Text(TextView { columns, colour, zone: TimeZone::UTC }))
}

const DEFAULT: &str = "TIME,EVENT,NS,PID,COMM,CONTAINER,CAUSE,DETAILS";

#[test]
fn json() {
    assert_snapshot!(render(&View::Json));
}

#[test]
fn text_default() {
    assert_snapshot!(text(DEFAULT, false));
}

#[test]
fn text_other_columns() {
    assert_snapshot!(text("BOOT,SEQ,EVENT,TYPE,NSID,TID,PIDS,UID,RUNTIME,POD", false));
}

#[test]
fn text_colour() {
    // Visible escapes: a golden file that a terminal may show.
    assert_snapshot!(text(DEFAULT, true).replace('\x1b', "^["));
}

#[test]
fn json_holds_nothing_that_a_terminal_acts_upon_and_means_the_same() {
    let comm = "\u{9b}2J\u{202e}\x7f\u{e0041}";
    let mut change = cli_common::all().remove(2);
    change.task = Some(cli_common::task(1, comm.as_bytes()));
    let mut out = Vec::new();
    View::Json.line(&change, &mut out);
    let line = String::from_utf8(out).expect("UTF-8");
    assert!(line.contains(r#""comm":"\u009b2J\u202e\u007f\udb40\udc41""#), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(value["task"]["comm"], comm);
}

#[test]
fn without_colour_no_escape_sequence_gets_out() {
    let text =
        text("TIME,BOOT,SEQ,EVENT,NS,TYPE,NSID,PID,TID,PIDS,COMM,UID,CONTAINER,RUNTIME,POD,CAUSE,DETAILS", false);
    for (number, line) in text.lines().enumerate() {
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "line {number}: {line:?}");
    }
    assert_eq!(text.lines().count(), cli_common::all().len() + 1);
}

#[test]
fn colour_changes_nothing_but_colour() {
    let coloured = text(DEFAULT, true);
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = sequence.split_once('m').expect("only colour sequences").1;
    }
    plain.push_str(rest);
    assert_eq!(plain, text(DEFAULT, false));
}

#[test]
fn columns_are_aligned() {
    let text = text("EVENT,NS,PID", false);
    let mut lines = text.lines();
    let heading = lines.next().expect("a heading");
    let end = heading.len();
    for line in lines {
        assert_eq!(line.chars().count(), end, "{line:?} under {heading:?}");
    }
}

fn report() -> Report {
    let hook = |kind, target: &str, rejected: Option<&str>| HookUse {
        kind,
        target: target.to_owned(),
        rejected: rejected.map(str::to_owned),
        verifier: None,
    };
    Report {
        kernel: "6.12.107+deb13-cloud-amd64".to_owned(),
        machine: "x86_64".to_owned(),
        checks: vec![
            Check { name: "btf", ok: true, detail: "/sys/kernel/btf/vmlinux, 5.1 MiB".to_owned() },
            Check { name: "capabilities", ok: true, detail: "CAP_BPF CAP_PERFMON".to_owned() },
            Check { name: "lockdown", ok: false, detail: "confidentiality: boot without lockdown=\x1b".to_owned() },
        ],
        attach: None,
        facts: vec![
            FactReport {
                fact: "fork",
                meaning: "a task is born",
                coverage: Coverage::Full,
                hooks: vec![
                    hook("tp_btf", "task_newtask", None),
                    hook("kprobe", "wake_up_new_task", Some("tp_btf task_newtask is cheaper")),
                ],
                invisible: None,
                for_detectors: false,
            },
            FactReport {
                fact: "setns-unshare",
                meaning: "a task changes namespaces",
                coverage: Coverage::Partial,
                hooks: vec![
                    HookUse {
                        verifier: Some("0: R1=ctx()\n1: (79) r1 = 0\x1b".to_owned()),
                        ..hook("fentry", "switch_task_namespaces", Some("the verifier refuses it"))
                    },
                    hook("tracepoint", "syscalls/sys_exit_setns", None),
                    hook("tracepoint", "syscalls/sys_exit_unshare", None),
                ],
                invisible: Some("io_uring workers; a kernel without lockdown shows them".to_owned()),
                for_detectors: false,
            },
            FactReport {
                fact: "destroyed",
                meaning: "a namespace is freed",
                coverage: Coverage::None,
                hooks: vec![hook("kprobe", "proc_free_inum", Some("CONFIG_KPROBES is not set"))],
                invisible: Some("the moment of destruction".to_owned()),
                for_detectors: false,
            },
        ],
        detectors: vec![
            DetectorReport { detector: "NST-002", coverage: Coverage::None, unseen: vec!["opens", "receives"] },
            DetectorReport { detector: "NST-018", coverage: Coverage::Full, unseen: vec![] },
        ],
    }
}

#[test]
fn doctor() {
    assert_snapshot!(DoctorView { colour: false, verbose: false }.text(&report()));
}

#[test]
fn doctor_verbose() {
    assert_snapshot!(DoctorView { colour: false, verbose: true }.text(&report()));
}

#[test]
fn doctor_json() {
    assert_snapshot!(nstrace::view::doctor::json(&report()));
}

#[test]
fn doctor_colour() {
    assert_snapshot!(DoctorView { colour: true, verbose: false }.text(&report()).replace('\x1b', "^["));
}

#[test]
fn hooks_in_use() {
    let lines: Vec<String> = nstrace::view::doctor::hooks_in_use(&report()).collect();
    assert_eq!(
        lines,
        [
            "fork by tp_btf task_newtask",
            "setns-unshare by tracepoint syscalls/sys_exit_setns, tracepoint syscalls/sys_exit_unshare",
            "destroyed by nothing",
        ]
    );
}
