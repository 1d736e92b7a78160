//! Conditions of rules: what is admitted, what is true, and that nothing hostile takes long or ends the program.

mod cli_common;

use std::time::{Duration, Instant};

use nstrace::{
    policy::{
        Policy,
        expression::{Expression, LONGEST},
        line::Sentence,
        source::{self, Source},
    },
    view,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn policy(text: &str) -> Result<Policy, Vec<String>> {
    let source = Source { name: "f".to_owned(), text: text.to_owned() };
    Policy::read(&[], &[source]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// A rule with this condition.
fn rule(when: &str) -> String {
    format!("[[rule]]\nid = \"T-1\"\ntitle = \"t\"\nseverity = \"low\"\nwhen = '''{when}'''\n")
}

fn is_true(when: &str, line: &Value) -> bool {
    policy(&rule(when)).unwrap_or_else(|faults| panic!("{when}: {faults:?}")).rules[0].is_true_of(line)
}

#[test]
fn conditions_are_true_of_lines() {
    let line = json!({
        "event": "created", "seq": 7, "boot_ns": "9223372036854775809",
        "ns": {"type": "net", "inum": 4_026_532_177_u32, "id": null, "initial": false},
        "task": {"pid": 42, "tid": 42, "comm": "sh", "uid": 0, "pids": [42, 1]},
        "cause": {"via": "unshare", "flags": ["CLONE_NEWNET"]}, "container": null,
    });
    for (when, expected) in [
        ("event == 'created'", true),
        ("event == 'created' && ns.type == \"net\" && task.uid == 0", true),
        ("event in ['created', 'joined'] && !(task.comm.startsWith('x'))", true),
        ("event == 'joined' || ns.id == null", true),
        ("task.comm.matches('^s[a-z]$')", true),
        ("task.comm.matches('^b')", false),
        ("'CLONE_NEWNET' in cause.flags", true),
        ("cause.flags.exists(f, f == 'CLONE_NEWPID')", false),
        ("task.pids.all(p, p > 0) && size(task.pids) == 2 && task.pids[1] == 1", true),
        ("task.pids.filter(p, p > 1) == [42] && task.pids.map(p, p + 1)[1] == 2", true),
        ("task['comm'] == 'sh'", true),
        ("seq % 2 == 1 && seq + 1 > 7 && -seq < 0", true),
        ("(task.uid == 0 ? 'a' : 'b') == 'a'", true),
        ("boot_ns > 9223372036854775807", true),
        ("string(task.pid) == '42' && int('7') == seq", true),
        ("container == null", true),
        // What is not there makes it false, either way.
        ("container.id == 'x'", false),
        ("container.id != 'x'", false),
        ("cause.errno == 'EPERM'", false),
        ("has(cause.errno)", false),
        ("!has(cause.errno)", true),
        ("deed.act == 'open'", false),
        ("rule == 'NST-001' || event == 'created'", true),
        ("task.pids[9] == 1", false),
        ("seq / (seq - 7) == 1", false),
        ("seq * 9223372036854775807 == 1", false),
    ] {
        assert_eq!(is_true(when, &line), expected, "{when}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (when, place, part) in [
        ("evnt == 'created'", "5:11", "no event has a field 'evnt'"),
        ("event == 'creatd'", "5:", "never 'creatd'"),
        ("event == 1", "5:", "never the same"),
        ("task.pit == 1", "5:", "no field 'pit' here: use one of comm pid pids tid uid"),
        ("task.pid == 'x'", "5:", "never the same"),
        ("task.pid < 'x'", "5:", "never the same"),
        ("task.comm.nope('x')", "5:", "no function 'nope'"),
        ("task.comm.matches(task.comm)", "5:", "a pattern is written out"),
        ("task.comm.matches('(')", "5:", "no pattern"),
        ("task.comm.matches('(a{1000}){1000}')", "5:", "no pattern"),
        ("task.pid", "5:", "write a condition that is true or false"),
        ("true", "5:", "the same for every event"),
        ("1 + 1 == 2", "5:", "the same for every event"),
        ("task.exists(k, k == 'pid')", "5:", "a loop goes over a list"),
        ("{'a': 1}.a == task.pid", "5:", "objects cannot be made"),
        ("event ==", "5:", "no expression"),
        ("event == 'created' &&& true", "5:", "no expression"),
        ("", "5:", ""),
        ("event in ['created', 'left', 'lefd']", "5:", "never 'lefd'"),
        ("severity >= 'hi'", "5:", "never 'hi'"),
        ("!event", "5:", "a boolean is needed"),
        ("event && true", "5:", "a boolean is needed"),
        ("size(task) == 1", "5:", "a string or a list is needed"),
        ("holders.all(h, h.kid == 1)", "5:", "no field 'kid'"),
    ] {
        let faults = policy(&rule(when)).expect_err(when);
        assert_eq!(faults.len(), 1, "{when}: {faults:?}");
        assert!(faults[0].starts_with(&format!("f:{place}")) && faults[0].contains(part), "{when}: {}", faults[0]);
        assert!(!faults[0].contains('\n'), "{when}: {}", faults[0]);
    }
}

#[test]
fn files_are_held_to_their_form() {
    let good = rule("event == 'created'");
    assert!(policy(&good).is_ok());
    for (text, part) in [
        (format!("{good}nope = 1"), "f:6:1: unknown field `nope`"),
        (good.replace("low", "bad"), "unknown variant `bad`, expected one of `info`, `low`"),
        (good.replace("T-1", "NST-1"), "f:2:6: ids that begin with NST-"),
        (good.replace("T-1", "nst-1"), "f:2:6: ids that begin with NST-"),
        (good.replace("T-1", "a b"), "f:2:6: a rule's id is"),
        (good.replace("title = \"t\"", "title = \"\""), "f:3:9: a title has"),
        (good.replace("id = \"T-1\"\n", ""), "missing field `id`"),
        (format!("{good}mitre = ['T1']"), "f:6:10: no ATT&CK technique"),
        (format!("{good}explain = '{{task.pit}}'"), "f:6:13: there is no field 'pit'"),
        (format!("{good}tests = [{{ event = {{ event = 'x' }}, expect = true }}]"), "f:6:10: 'event' is never 'x'"),
        (format!("{good}{good}"), "another rule has the id 'T-1': f:2"),
        ("rule = 1".to_owned(), "f:1:8: invalid type"),
        ("[[rul]]".to_owned(), "unknown field `rul`, expected `exception` or `rule`"),
        ("[[rule".to_owned(), "f:1:"),
        (good.repeat(300), "more than 256 rules"),
    ] {
        let faults = policy(&text).expect_err(&text);
        assert!(faults[0].contains(part), "{part}: {faults:?}");
    }
    // An escape before the fault, and a line of its own.
    let text =
        "[[rule]]\nid=\"x\"\ntitle=\"t\"\nseverity=\"low\"\nwhen = \"\"\"\ntask.comm == \"\\u0041\" ||\n  nope\"\"\"\n";
    assert_eq!(policy(text).expect_err("a fault")[0].split(": ").next(), Some("f:7:3"));
}

#[test]
fn every_line_can_be_asked() {
    let asks = Expression::compile("seq > 0 && boot_ns > 0").expect("a condition");
    let others = ["ns.type == 'net'", "task.comm.contains('a')", "deed.place.ino > 0", "severity == 'critical'"];
    let others = others.map(|text| Expression::compile(text).expect("a condition"));
    for change in cli_common::all() {
        let line = nstrace::policy::expression::Line::of(&view::json::value(&change));
        assert!(asks.matches(&line));
        others.iter().for_each(|other| {
            other.matches(&line);
        });
    }
}

/// The time of the slowest test machine, many times over.
const BOUND: Duration = Duration::from_secs(20);

#[test]
fn hostile_files_are_refused_soon() {
    let deep = |open: &str, close: &str, n: usize| format!("{}seq{} == 1", open.repeat(n), close.repeat(n));
    let lists = format!("[{}]", vec!["1"; 400].join(","));
    for text in [
        rule(&deep("(", ")", 900)),
        rule(&deep("[", "]", 900)),
        rule(&deep("-", "", 1000)),
        rule(&format!("{}true", "!".repeat(2000))),
        rule(&format!("task{}", ".a".repeat(1000))),
        rule(&format!("seq{} == 1", "[0]".repeat(600))),
        rule(&format!("seq == 1{}", " || seq == 2".repeat(150))),
        rule(&format!("seq{} == 1", " + 1".repeat(480))),
        rule(&format!("seq == {}1", "true ? 1 : ".repeat(180))),
        rule(&format!("{lists}.all(a, {lists}.all(b, a == b && seq == 1))")),
        rule("task.pids.all(a, task.pids.all(b, task.pids.all(c, task.pids.all(d, a == b))))"),
        rule(&"(".repeat(2048)),
        rule(&"\\".repeat(2048)),
        rule("seq == 99999999999999999999999999999"),
        rule(&format!("seq == 1{}", "0".repeat(2000))),
        rule(&format!("task.comm == '{}'", "x".repeat(LONGEST))),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("a = {}", "9".repeat(1_000_000)),
        "[[rule]]\n".repeat(100_000),
        format!("a = \"{}", "\\".repeat(1_000_000)),
        "\u{feff}\0\u{202e}".repeat(1000),
    ] {
        let start = Instant::now();
        if let Err(faults) = policy(&text) {
            assert!(faults.iter().all(|fault| !fault.contains('\n')), "{faults:?}");
        }
        assert!(start.elapsed() < BOUND, "{:?}: {:.100}", start.elapsed(), text);
    }
}

#[test]
fn ten_megabytes_are_not_read() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "# \n".repeat(10 << 20 >> 2)).expect("room");
    let fault = Source::read(file.path()).expect_err("it is too long");
    assert!(fault.message.contains("longer than 1024 KiB"), "{fault}");
    let fault = Source::read(std::path::Path::new("/dev/zero")).expect_err("it has no end");
    assert!(fault.message.contains("longer than"), "{fault}");
    assert_eq!(source::LONGEST, 1 << 20);
}

/// Pieces that expressions are made of, and what breaks them.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "event",
        "task",
        ".comm",
        ".pids",
        "[0]",
        "ns",
        ".type",
        "==",
        "!=",
        "<",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "?",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'net'",
        "\"",
        "'",
        "1",
        "0",
        "-9223372036854775808",
        "9223372036854775807",
        "1u",
        "1.5",
        "1e999",
        "null",
        "true",
        "in",
        ".exists(x, x == 1)",
        ".all(x, x > seq)",
        ".map(x, x)",
        "has(task.pid)",
        "size(",
        ".matches('a*')",
        "b'x'",
        "r'\\'",
        "//",
        "\n",
        "\\",
        "é",
        "\u{1f600}",
        "@",
        "`",
        "seq",
        "string(",
        "int(",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever stands there, it is an expression or a fault, and evaluating it ends.
    #[test]
    fn any_text_is_an_expression_or_a_fault(text in pieces()) {
        if let Ok(expression) = Expression::compile(&text) {
            for change in cli_common::all().iter().take(4) {
                expression.matches(&nstrace::policy::expression::Line::of(&view::json::value(change)));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_policy_or_a_fault(text in "\\PC{0,60}", written in "[a-z\\[\\]{}=\"'.\n0-9-]{0,80}") {
        let _ = policy(&text);
        let _ = policy(&written);
        let _ = policy(&rule(&text.replace('\'', "")));
        let _ = Sentence::parse(&text);
    }
}
