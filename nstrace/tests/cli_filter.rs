//! Filter expressions over event lines: the grammar of scols-filter(5), the faults, and that nothing panics.

mod cli_common;

use std::collections::HashMap;

use nstrace::filter::{CHANGE_FIELDS, Field, Filter, Kind, Row, Value};
use proptest::prelude::*;

const FIELDS: [Field; 5] = [
    Field { name: "NAME", kind: Kind::String },
    Field { name: "SIZE", kind: Kind::Number },
    Field { name: "RATIO", kind: Kind::Float },
    Field { name: "READY", kind: Kind::Boolean },
    Field { name: "KEPT-BY", kind: Kind::String },
];

struct Fixed(HashMap<&'static str, Value<'static>>);

impl Row for Fixed {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).cloned()
    }
}

fn full() -> Fixed {
    Fixed(HashMap::from([
        ("NAME", Value::String("web".into())),
        ("SIZE", Value::Number(4096)),
        ("RATIO", Value::Float(0.5)),
        ("READY", Value::Boolean(true)),
        ("KEPT-BY", Value::String("fd".into())),
    ]))
}

fn holds(expression: &str, row: &dyn Row) -> bool {
    match Filter::parse(expression, &FIELDS) {
        Ok(filter) => filter.matches(row),
        Err(error) => panic!("{error}"),
    }
}

/// The fault's text and the part of the expression it is about.
fn fault(expression: &str) -> (String, String) {
    let error = Filter::parse(expression, &FIELDS).expect_err(expression);
    let at = expression[error.fault.at.clone()].to_owned();
    (error.fault.what, at)
}

#[test]
fn what_holds() {
    for expression in [
        "NAME == \"web\"",
        "NAME eq 'web'",
        "NAME EQ 'web'",
        "name == 'web'",
        "NAME != 'db' && NAME ne 'db'",
        "NAME > 'a' and NAME < 'z'",
        "SIZE >= 4096 and SIZE <= 4096",
        "SIZE GE 4K AND SIZE LE 4KiB AND SIZE LT 1M AND SIZE GT 0",
        "SIZE == \"4096\"",
        "SIZE == 4096.0",
        "SIZE > RATIO",
        "RATIO < 1",
        "RATIO == 0.5",
        "READY",
        "READY == true and READY == TRUE",
        "READY == 1",
        "READY == 'true'",
        "not (READY == false)",
        "!(NAME == 'db')",
        "not not READY",
        "NAME =~ '^w.b$'",
        "NAME !~ '^b'",
        "SIZE =~ '^40'",
        "KEPT-BY == 'fd'",
        "NAME",
        "SIZE and RATIO and 'text' and 1 and 0.1 and true",
        "not (0 or 0.0 or '' or false)",
        "NAME=='web'&&SIZE==4096||false",
        "\tNAME\n==\n'web' ",
        // `or` binds weaker than `and`.
        "true or false and false",
        "false and false or true",
        "(SIZE > 1) == true",
        "(SIZE > 1) == READY",
        "not READY == false",
        "1 == 1",
        "0YiB == 0",
    ] {
        assert!(holds(expression, &full()), "{expression}");
    }
}

#[test]
fn what_does_not_hold() {
    for expression in [
        "NAME == 'WEB'",
        "NAME =~ 'WEB'",
        "SIZE > 4096",
        "(true or false) and false",
        "not READY",
        "READY != true",
        "RATIO > SIZE",
        "NAME =~ 'w' and NAME !~ 'w'",
    ] {
        assert!(!holds(expression, &full()), "{expression}");
    }
}

#[test]
fn empty_values_compare_as_in_libsmartcols() {
    let empty = Fixed(HashMap::new());
    for expression in ["NAME != 'x'", "NAME !~ 'x'", "NAME =~ '^$'", "NAME < ''", "not NAME", "not SIZE"] {
        assert!(holds(expression, &empty), "{expression}");
    }
    for expression in
        ["NAME == ''", "NAME", "SIZE == 0", "SIZE != 0", "SIZE < 1", "RATIO != 0.0", "READY != true", "READY"]
    {
        assert!(!holds(expression, &empty), "{expression}");
    }
}

#[test]
fn faults_name_the_place_and_the_remedy() {
    for (expression, at, what) in [
        ("", "", "expression ends here"),
        ("NAME ==", "", "expression ends here"),
        ("NOPE == 1", "NOPE", "no field is called 'NOPE'"),
        ("NAME == web", "web", "no field is called 'web' (strings need quotes)"),
        ("NAME = 'web'", "=", "use '==' or '=~'"),
        ("NAME == 'web", "'", "has no end"),
        ("NAME == 'we\nb'", "'", "has no end"),
        ("NAME == 5", "NAME == 5", "write the value in quotes"),
        ("SIZE == true == 'x'", "SIZE == true == 'x'", "use parentheses"),
        ("not NAME == 'web'", "not NAME == 'web'", "use parentheses"),
        ("1 < SIZE < 5", "1 < SIZE < 5", "use parentheses"),
        ("SIZE == -1", "-", "without a sign"),
        ("SIZE == 0x10", "x10", "expected an operator"),
        ("SIZE == 5KB", "B", "expected an operator"),
        ("SIZE > 18446744073709551616", "18446744073709551616", "64 bits"),
        ("SIZE > 16E", "16E", "64 bits"),
        ("SIZE > 1Z", "1Z", "64 bits"),
        ("(NAME", "(", "never closed"),
        ("NAME)", ")", "closes nothing"),
        ("()", ")", "expected a field or a value"),
        ("NAME NAME", "NAME", "expected an operator"),
        ("and NAME", "and", "expected a field or a value"),
        ("NAME =~ SIZE", "SIZE", "regular expression in quotes"),
        ("NAME =~ '('", "'('", "unclosed group"),
        ("NAME == 'web' & READY", "&", "'&&' or 'and'"),
        ("NAME == ünter", "ü", "strings need quotes"),
        ("NAME == 'web' And READY", "And", "expected an operator"),
    ] {
        let (said, place) = fault(expression);
        assert!(said.contains(what), "{expression}: {said}");
        assert_eq!(place, at, "{expression}: {said}");
    }
}

#[test]
fn the_caret_stands_under_the_fault() {
    let error = Filter::parse("NAME == 'ü\x1b' and NOPE", &FIELDS).expect_err("NOPE is no field");
    assert_eq!(
        error.to_string(),
        "bad filter: no field is called 'NOPE' (strings need quotes)\n\
         \u{20} NAME == 'ü\\x1b' and NOPE\n\
         \u{20}                     ^^^^\n\
         fields: NAME SIZE RATIO READY KEPT-BY"
    );
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    for deep in ["(".repeat(100_000), "not ".repeat(100_000), "!(".repeat(100_000)] {
        assert!(fault(&deep).0.contains("too deeply"));
    }
    let chain = format!("READY{}", " == true".repeat(100_000));
    assert!(fault(&chain).0.contains("too deeply"));
    let long = format!("NAME == 'web'{}", " or NAME == 'db'".repeat(100_000));
    assert!(holds(&long, &full()));
    assert!(holds(&format!("{}READY{}", "(".repeat(90), ")".repeat(90)), &full()));
}

#[test]
fn every_field_of_an_event_has_the_kind_it_claims() {
    let mut seen = Vec::new();
    for change in cli_common::all() {
        for field in CHANGE_FIELDS {
            let Some(value) = change.field(field.name) else { continue };
            let kind = match value {
                Value::String(_) => Kind::String,
                Value::Number(_) => Kind::Number,
                Value::Float(_) => Kind::Float,
                Value::Boolean(_) => Kind::Boolean,
            };
            assert_eq!(kind, field.kind, "{}", field.name);
            seen.push(field.name);
        }
        assert_eq!(change.field("NOPE"), None);
    }
    for field in CHANGE_FIELDS {
        assert!(seen.contains(&field.name), "no test change has {}", field.name);
    }
}

#[test]
fn events_are_told_apart() {
    let selected = |expression: &str| -> Vec<u64> {
        let filter = match Filter::parse(expression, &CHANGE_FIELDS) {
            Ok(filter) => filter,
            Err(error) => panic!("{error}"),
        };
        cli_common::all().iter().filter(|change| filter.matches(*change)).map(|change| change.seq).collect()
    };
    assert_eq!(selected("EVENT == 'created'"), [3, 4, 5]);
    assert_eq!(selected("EVENT == 'created' and TYPE == 'pid' and PNS == 4026531836"), [4]);
    assert_eq!(selected("NS == 4026532177 and EVENT =~ 'pinned$'"), [8, 9]);
    assert_eq!(selected("NPROCS > 1 and TYPE == \"net\""), [1]);
    assert_eq!(selected("INITIAL"), [1, 6, 19]);
    assert_eq!(selected("ERRNO == 'EPERM' or ERRNO == 'ENOSPC'"), [12, 13]);
    assert_eq!(selected("LIFETIME < 1.5"), [10]);
    assert_eq!(selected("FLAGS =~ 'CLONE_NEWPID' and VIA == 'clone3'"), [4]);
    assert_eq!(selected("RUNTIME == 'docker' and CONTAINER =~ '^3f2a'"), [7]);
    assert_eq!(selected("POD"), [10]);
    assert_eq!(selected("COUNT"), [15, 16, 19]);
    assert_eq!(selected("RULE == 'NST-001' and SEVERITY == 'critical'"), [19]);
    assert_eq!(selected("ACT == 'open'"), [18]);
    assert_eq!(selected("TIME < '2026-11-21T20:35:12.126'"), [1]);
    assert_eq!(selected("NSID == 12403 and UID == 0 and COMM == 'ip'"), [8, 9]);
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_a_fault_that_can_be_shown(text in any::<String>()) {
        if let Err(error) = Filter::parse(&text, &FIELDS) {
            prop_assert!(text.get(error.fault.at.clone()).is_some());
            let shown = error.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            prop_assert!(shown.lines().count() <= 4, "{shown:?}");
        }
    }

    /// Texts made of the grammar's own pieces get further than random ones.
    #[test]
    fn any_row_of_pieces_is_evaluated_or_refused(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "NAME", "SIZE", "RATIO", "READY", "KEPT-BY", "'x'", "\"4096\"", "1", "2.5", "3K", "true", "FALSE", "(", ")",
                "and", "||", "not", "!", "==", "ne", "<", "GE", "=~", "!~", "'['", "",
            ]),
            0..24,
        )
    ) {
        let text = pieces.join(" ");
        if let Ok(filter) = Filter::parse(&text, &FIELDS) {
            let negated = Filter::parse(&format!("not ({text})"), &FIELDS).expect("parentheses change nothing");
            for row in [full(), Fixed(HashMap::new())] {
                prop_assert_ne!(filter.matches(&row), negated.matches(&row), "{}", text);
            }
        }
    }
}
