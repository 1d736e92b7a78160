//! The export formats over changes of every kind: each line is valid under the schema of its format, says what the event
//! line says, and carries nothing that a terminal or a spreadsheet acts upon.

mod cli_common;

use jsonschema::Validator;
use nstrace::{
    detect::{Finding, Severity},
    model::{Change, What},
    view::{View, csv, ecs, ocsf, origin::Origin},
};
use serde_json::{Value, json};

fn origin() -> Origin {
    Origin {
        host: "node-1".to_owned(),
        boot_id: "88a1f0ed-5ae5-41ee-af6b-41921c311872".to_owned(),
        kernel: "6.18.0".to_owned(),
    }
}

/// One of each kind, and a finding that no exception covers.
fn all() -> Vec<Change> {
    let mut changes = cli_common::all();
    let last = changes.last().expect("there are some").clone();
    let What::Finding(finding) = &last.what else { panic!("the last one is a finding: {last:?}") };
    let open = Finding { suppressed: None, count: 1, severity: Severity::High, ..(**finding).clone() };
    changes.push(Change { seq: last.seq + 1, what: What::Finding(Box::new(open)), ..last });
    changes
}

fn text(view: &View) -> String {
    let mut out = Vec::new();
    view.heading(&mut out);
    for change in all() {
        view.line(&change, &mut out);
    }
    String::from_utf8(out).expect("UTF-8 whatever the names")
}

fn lines(view: &View) -> Vec<Value> {
    text(view).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("the schema is a schema of draft 2020-12")
}

fn formats() -> [(View, View, Validator); 2] {
    [
        (View::Ecs(origin()), View::Ecs(Origin::default()), validator(ecs::SCHEMA)),
        (View::Ocsf(origin()), View::Ocsf(Origin::default()), validator(ocsf::SCHEMA)),
    ]
}

#[test]
fn every_line_is_valid() {
    for (full, bare, validator) in formats() {
        for line in lines(&full).into_iter().chain(lines(&bare)) {
            let errors: Vec<_> = validator.iter_errors(&line).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{line}\n{}", errors.join("\n"));
        }
    }
}

/// Every object inside a line, by JSON pointer.
fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(path.to_owned());
            for (key, value) in map {
                objects(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(all) => all.iter().enumerate().for_each(|(n, v)| objects(v, &format!("{path}/{n}"), found)),
        _ => {}
    }
}

#[test]
fn the_schemas_notice_what_is_wrong() {
    for (view, _, validator) in formats() {
        for line in lines(&view) {
            let mut places = Vec::new();
            objects(&line, "", &mut places);
            for place in places {
                let at = |line: &Value| line.pointer(&place).and_then(Value::as_object).expect("an object").clone();
                let mut more = line.clone();
                more.pointer_mut(&place).expect("it is there")["surprise"] = json!(1);
                assert!(!validator.is_valid(&more), "a key nobody described at {place}: {more}");
                for key in at(&line).keys() {
                    let mut wrong = line.clone();
                    wrong.pointer_mut(&place).expect("it is there")[key] = json!(-1.5);
                    assert!(!validator.is_valid(&wrong), "{place}/{key} of the wrong type: {wrong}");
                }
            }
            for key in line.as_object().expect("an object").keys() {
                let mut without = line.clone();
                without.as_object_mut().expect("an object").remove(key);
                let optional = matches!(key.as_str(), "container" | "orchestrator");
                assert!(optional || !validator.is_valid(&without), "valid without {key}: {without}");
            }
        }
    }
}

#[test]
fn ecs_says_what_the_event_says() {
    let lines = lines(&View::Ecs(origin()));
    let created = &lines[2];
    assert_eq!(created["@timestamp"], "2026-11-21T20:35:12.127956789Z");
    assert_eq!(created["event"]["action"], "namespace-created");
    assert_eq!(created["event"]["category"], json!(["configuration"]));
    assert_eq!(created["event"]["type"], json!(["creation"]));
    assert_eq!(created["event"]["sequence"], 3);
    assert_eq!(created["process"]["pid"], 4321);
    assert_eq!(created["process"]["vpid"], 1);
    assert_eq!(created["user"]["id"], "0");
    assert_eq!(created["host"]["boot"]["id"], origin().boot_id);
    assert_eq!(created["message"], "runc:[1:INIT] (pid 4321) created net:[4026532177]: unshare(CLONE_NEWNET)");
    assert_eq!(
        created["nstrace"],
        json!({"boot_ns": 100_004_500_000_u64, "pids": [4321, 7, 1], "via": "unshare", "flags": ["CLONE_NEWNET"],
            "namespace": {"type": "net", "inum": 4_026_532_177_u32, "id": "12403", "initial": false},
            "owner": {"type": "user", "inum": 4_026_531_837_u32, "id": "1"}})
    );
    let denied = &lines[11];
    assert_eq!((&denied["event"]["outcome"], &denied["error"]["code"]), (&json!("failure"), &json!("EPERM")));
    assert_eq!(denied["container"]["runtime"], "lxc");
    let pod = &lines[9];
    assert_eq!(pod["orchestrator"]["resource"]["id"], "0a1b2c3d-0000-1111-2222-333344445555");
    assert_eq!(lines[15]["nstrace"]["lost"], i64::MAX, "capped");
}

#[test]
fn ocsf_says_what_the_event_says() {
    let lines = lines(&View::Ocsf(origin()));
    let created = &lines[2];
    for (key, value) in [
        ("class_uid", json!(1003)),
        ("activity_name", json!("Create")),
        ("type_uid", json!(100_301)),
        ("time", json!(1_795_293_312_127_i64)),
        ("status", json!("Success")),
    ] {
        assert_eq!(created[key], value, "{key}");
    }
    assert_eq!(created["kernel"]["name"], "net:[4026532177]");
    assert_eq!(created["kernel"]["system_call"], "unshare");
    assert_eq!(created["actor"]["process"]["namespace_pid"], 1);
    assert_eq!(created["device"]["hostname"], "node-1");
    assert_eq!(lines[12]["status_code"], "ENOSPC");
    assert_eq!(lines[12]["kernel"]["type"], "user namespace");
    assert_eq!(lines[9]["actor"]["process"]["container"]["pod_uuid"], "0a1b2c3d-0000-1111-2222-333344445555");
    assert_eq!(lines[0]["actor"], json!({"app_name": "nstrace"}), "who reads is no member");
    assert_eq!(lines[14]["class_uid"], 0);
}

#[test]
fn findings_are_alerts() {
    let lines = lines(&View::Ecs(origin()));
    let [.., suppressed, open] = lines.as_slice() else { panic!("two findings") };
    assert_eq!((&open["event"]["kind"], &suppressed["event"]["kind"]), (&json!("alert"), &json!("event")));
    assert_eq!((&open["event"]["severity"], &suppressed["event"]["severity"]), (&json!(4), &json!(5)));
    assert_eq!(open["rule"]["id"], "NST-001");
    assert_eq!(
        open["threat"],
        json!({"framework": "MITRE ATT&CK",
            "technique": {"id": ["T1611", "T1055"], "subtechnique": {"id": ["T1055.008"]}}})
    );
    let lines = self::lines(&View::Ocsf(origin()));
    let [.., suppressed, open] = lines.as_slice() else { panic!("two findings") };
    for (key, value) in [
        ("class_uid", json!(2004)),
        ("category_uid", json!(2)),
        ("type_uid", json!(200_401)),
        ("severity", json!("High")),
        ("status", json!("New")),
        ("is_alert", json!(true)),
    ] {
        assert_eq!(open[key], value, "{key}");
    }
    assert_eq!((&suppressed["activity_name"], &suppressed["status_id"]), (&json!("Update"), &json!(3)));
    let info = &open["finding_info"];
    assert_eq!(info["analytic"]["uid"], "NST-001");
    assert_eq!(info["attacks"][1], json!({"technique": {"uid": "T1055"}, "sub_technique": {"uid": "T1055.008"}}));
    let sequence = open["metadata"]["sequence"].as_i64().expect("a number");
    assert_eq!(info["uid"], format!("{}/{sequence}", origin().boot_id));
    assert_eq!(info["related_events"][0]["uid"], format!("{}/18", origin().boot_id));
}

#[test]
fn csv_is_read_back() {
    let text = text(&View::Csv);
    let mut reader = ::csv::ReaderBuilder::new().terminator(::csv::Terminator::CRLF).from_reader(text.as_bytes());
    assert_eq!(reader.headers().expect("a header"), csv::COLUMNS.as_slice());
    let rows: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("rows of equal length");
    let changes = all();
    assert_eq!(rows.len(), changes.len());
    let cell = |row: usize, name: &str| {
        let column = csv::COLUMNS.iter().position(|c| *c == name).expect("a column");
        rows[row].get(column).expect("a cell").to_owned()
    };
    for (row, change) in changes.iter().enumerate() {
        assert_eq!(cell(row, "event"), change.what.event());
        assert_eq!(cell(row, "seq"), change.seq.to_string());
        assert_eq!(cell(row, "pid"), change.task.map(|task| task.tgid.to_string()).unwrap_or_default());
    }
    assert_eq!(cell(2, "time"), "2026-11-21T20:35:12.127956789Z");
    assert_eq!(
        (cell(2, "ns_inum"), cell(2, "ns_id"), cell(2, "pids")),
        ("4026532177".into(), "12403".into(), "4321 7 1".into())
    );
    assert_eq!(cell(3, "flags"), "CLONE_NEWPID|CLONE_INTO_CGROUP|0x1000000000");
    assert_eq!(cell(11, "comm"), r"\x1b[31mevil\x07\xff\n");
    let holders: Value = serde_json::from_str(&cell(1, "holders")).expect("holders are JSON");
    assert_eq!(holders[1]["path"], "/run/netns/a\x1b[2J\u{202e}b");
    assert_eq!(cell(15, "lost"), u64::MAX.to_string());
    assert_eq!((cell(17, "act").is_empty(), cell(18, "act").is_empty()), (false, true));
    let open = rows.len() - 1;
    assert_eq!((cell(open, "rule"), cell(open, "severity")), ("NST-001".into(), "high".into()));
    assert_eq!((cell(open, "mitre"), cell(open, "count")), ("T1611 T1055.008".into(), "1".into()));
    assert!(cell(open, "explain").starts_with(r"sh\x1b[1m (pid 5002)"), "{}", cell(open, "explain"));
    assert_eq!((cell(open, "suppressed"), cell(open - 1, "suppressed")), (String::new(), "it may".into()));
    assert_eq!(cell(open, "evidence"), format!("18 {}", 1_u64 << 60));
}

#[test]
fn a_name_is_no_formula() {
    for name in ["=1+1", "+1", "-1", "@SUM(A1)", "'=x"] {
        assert_eq!(csv::cell(name.as_bytes()), format!("'{name}"));
    }
    assert_eq!(csv::cell(b"\t=1"), r"\t=1");
    let mut changes = cli_common::all();
    let change = &mut changes[2];
    change.task = Some(cli_common::task(1, b"=cmd|' /C x'!A\""));
    let mut out = Vec::new();
    csv::line(change, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.contains(r#","'=cmd|' /C x'!A""","#), "{text}");
    assert!(text.ends_with("\r\n"));
}

#[test]
fn nothing_reaches_a_terminal_unescaped() {
    for view in [View::Ecs(origin()), View::Ocsf(origin()), View::Csv] {
        let text = text(&view).replace("\r\n", "\n");
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}
