//! `query` and `export` over the recording of a made-up kernel: the answers are what that kernel did, nothing but reading is
//! possible, and damaged recordings are told.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;
mod toy_recording;

use std::io::Write as _;

use model_support::{INIT, NET, Toy, USER, UTS, nr};
use nstrace::{
    event::{Event, PinHolder, Stamp, Stamped},
    ns::NsType,
};
use serde_json::{Value, json};
use toy_recording::{Recorded, nstrace, printed, refused};

/// A kernel with a namespace held by a mount, in which somebody makes a network namespace, pins it, joins it and goes.
fn life() -> Vec<Stamped> {
    let mut toy = Toy::new(true);
    // There before the recording: a process with a hostname of its own.
    let old = toy.clone(INIT, UTS);
    toy.pin(INIT, toy.of_type(old, NsType::Uts), nr::OPEN);
    let uts = toy.name(toy.of_type(old, NsType::Uts));
    toy.records();

    let mut events = toy.start();
    events.extend(toy.visit(false));
    let path = "/run/\x1b[2Juts".to_owned();
    events.push(Stamped {
        stamp: Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 },
        event: Event::SnapshotPin { ns: uts, holder: PinHolder::Mount { mnt_ns: 4_026_532_000, path } },
    });
    events.push(toy.snapshot_end());

    let maker = toy.clone(INIT, USER | NET);
    let net = toy.of_type(maker, NsType::Net);
    toy.pin(maker, net, nr::OPEN);
    let visitor = toy.clone(INIT, 0);
    toy.setns(visitor, net);
    toy.unshare_fails(visitor, USER, 28);
    toy.exit(maker);
    toy.unpin(visitor, net, nr::CLOSE);
    toy.exit(visitor);
    toy.exit(old);
    events.extend(toy.records());
    events
}

fn rows(recorded: &Recorded, sql: &str) -> Vec<Value> {
    let text = printed(&["query", "-J", recorded.path(), sql], 0);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_event_is_a_row_and_tells_what_its_line_tells() {
    let recorded = Recorded::new(&life());
    let lines: Vec<Value> =
        printed(&["replay", "-J", recorded.path()], 0).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    // Once as a stream, once from a table that was filled.
    for sql in ["SELECT * FROM events", "SELECT e.* FROM events e LEFT JOIN findings ON 0 ORDER BY e.seq"] {
        let rows = rows(&recorded, sql);
        assert_eq!(rows.len(), lines.len(), "{sql}");
        for (row, line) in rows.iter().zip(&lines) {
            for (column, pointer) in [
                ("seq", "/seq"),
                ("event", "/event"),
                ("time", "/time"),
                ("boot_ns", "/boot_ns"),
                ("type", "/ns/type"),
                ("ns", "/ns/inum"),
                ("nsid", "/ns/id"),
                ("pid", "/task/pid"),
                ("tid", "/task/tid"),
                ("comm", "/task/comm"),
                ("uid", "/task/uid"),
                ("via", "/cause/via"),
                ("errno", "/cause/errno"),
                ("owner", "/owner/inum"),
                ("nprocs", "/nprocs"),
                ("lifetime_ns", "/lifetime_ns"),
            ] {
                assert_eq!(&row[column], line.pointer(pointer).unwrap_or(&Value::Null), "{column} of {line}");
            }
            let json: Value = serde_json::from_str(row["json"].as_str().unwrap()).unwrap();
            assert_eq!(&json, line);
        }
    }
}

#[test]
fn namespaces_have_lives() {
    let recorded = Recorded::new(&life());
    let net = rows(&recorded, "SELECT * FROM namespaces WHERE type = 'net' AND NOT initial");
    assert_eq!(net.len(), 1);
    let net = &net[0];
    assert_eq!((&net["state"], &net["via"], &net["comm"]), (&json!("destroyed"), &json!("clone3"), &json!("toy")));
    assert_eq!((&net["destroyed_via"], &net["nprocs"]), (&json!("exit"), &Value::Null));
    assert!(net["created"].as_str() < net["destroyed"].as_str() && net["lifetime_ns"].as_u64() > Some(0));
    let uts = rows(&recorded, "SELECT * FROM namespaces WHERE type = 'uts' AND NOT initial");
    assert_eq!((&uts[0]["created"], &uts[0]["state"], &uts[0]["nprocs"]), (&Value::Null, &json!("live"), &json!(0)));
    // Each is met once, whether by a snapshot or by its creation.
    let all = rows(&recorded, "SELECT count(*) AS n, count(DISTINCT ns_key) AS d FROM namespaces");
    let seen = rows(&recorded, "SELECT count(DISTINCT ns_key) AS d FROM events");
    assert_eq!((&all[0]["n"], &all[0]["d"]), (&seen[0]["d"], &seen[0]["d"]));
}

#[test]
fn memberships_begin_and_end() {
    let recorded = Recorded::new(&life());
    let members = |of: &str| {
        let sql = format!("SELECT pid, joined, joined_via, left, left_via FROM memberships WHERE {of} ORDER BY pid");
        rows(&recorded, &sql)
    };
    let net = members("type = 'net' AND NOT initial");
    assert_eq!(net.len(), 2, "{net:?}");
    assert_eq!((&net[0]["joined_via"], &net[0]["left_via"]), (&json!("clone3"), &json!("exit")));
    assert_eq!((&net[1]["joined_via"], &net[1]["left_via"]), (&json!("setns"), &json!("exit")));
    // In it before the recording.
    let uts = members("type = 'uts' AND NOT initial");
    assert_eq!(uts.len(), 1);
    assert_eq!((&uts[0]["joined"], &uts[0]["left_via"]), (&Value::Null, &json!("exit")));
    assert!(uts[0]["left"].is_string());
}

#[test]
fn holders_begin_and_end() {
    let recorded = Recorded::new(&life());
    let holders = rows(&recorded, "SELECT * FROM holders ORDER BY kind");
    let kinds: Vec<&str> = holders.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fd", "mount", "nsfs"], "{holders:?}");
    assert_eq!((&holders[1]["path"], &holders[1]["since"]), (&json!("/run/\x1b[2Juts"), &Value::Null));
    assert_eq!((&holders[1]["until"], &holders[2]["since_via"]), (&Value::Null, &json!("open")));
    assert_eq!((&holders[2]["type"], &holders[2]["until_via"]), (&json!("net"), &json!("close")));
    // As text it is escaped.
    let text = printed(&["query", recorded.path(), "SELECT path FROM holders WHERE kind = 'mount'"], 0);
    assert_eq!(text, "path\n/run/\\x1b[2Juts\n");
}

#[test]
fn tasks_are_told_apart_by_their_start() {
    let recorded = Recorded::new(&life());
    let tasks = rows(&recorded, "SELECT tid, start_ns, events FROM tasks ORDER BY tid");
    let sql = "SELECT tid, start_ns, count(*) FILTER (WHERE event NOT IN ('snapshot', 'destroyed')) AS events FROM events \
               WHERE tid IS NOT NULL GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(tasks, rows(&recorded, sql));
}

#[test]
fn joins_over_several_tables_agree() {
    let recorded = Recorded::new(&life());
    let sql = "SELECT n.type, e.pid FROM namespaces n JOIN events e USING (ns_key) WHERE e.event = 'created'";
    assert_eq!(rows(&recorded, sql).len(), rows(&recorded, "SELECT 1 FROM events WHERE event = 'created'").len());
    let sql = "SELECT count(*) AS n FROM events JOIN namespaces USING (ns_key)";
    assert_eq!(rows(&recorded, sql)[0]["n"], rows(&recorded, "SELECT count(ns_key) AS n FROM events")[0]["n"]);
    let sql = "SELECT count(*) AS n FROM namespaces";
    assert_eq!(rows(&recorded, sql), rows(&recorded, "SELECT count(DISTINCT ns_key) AS n FROM events"));
    // Columns that SQLite does not tell of while it prepares the statement.
    let sql = "SELECT a.seq FROM events a JOIN events b USING (json)";
    assert_eq!(rows(&recorded, sql).len(), rows(&recorded, "SELECT 1 FROM events").len());
    let sql = "WITH RECURSIVE next(seq) AS (SELECT min(seq) FROM events UNION ALL \
               SELECT e.seq FROM events e JOIN next ON e.seq = next.seq + 1) SELECT count(*) AS n FROM next";
    assert_eq!(rows(&recorded, sql)[0]["n"], rows(&recorded, "SELECT count(*) AS n FROM events")[0]["n"]);
}

#[test]
fn the_file_itself_can_be_read() {
    let recorded = Recorded::new(&life());
    let kinds = rows(&recorded, "SELECT kind, typeof(data) AS t FROM rec.entry ORDER BY id");
    assert_eq!(kinds[0], json!({"kind": "session", "t": "blob"}));
    assert_eq!(kinds.last().unwrap()["kind"], "end");
}

#[test]
fn nothing_but_reading_is_possible() {
    let recorded = Recorded::new(&life());
    let before = std::fs::read(&recorded.file).unwrap();
    let new = recorded.folder.path().join("new.db");
    let attach = format!("ATTACH '{}' AS new", new.display());
    let vacuum = format!("VACUUM rec INTO '{}'", new.display());
    for sql in [
        "DELETE FROM rec.entry",
        "UPDATE rec.entry SET kind = 'x'",
        "INSERT INTO rec.entry SELECT * FROM rec.entry",
        "INSERT INTO events (seq) VALUES (1) RETURNING seq",
        "DROP TABLE events",
        "CREATE TABLE temp.x (y)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE TABLE rec.x (y)",
        "ALTER TABLE tasks ADD COLUMN x",
        "PRAGMA writable_schema = 1",
        "PRAGMA rec.journal_mode = DELETE",
        "PRAGMA rec.user_version = 2",
        "PRAGMA temp_store_directory = '/'",
        "SELECT load_extension('x')",
        "DETACH rec",
        "BEGIN",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "EXPLAIN DELETE FROM rec.entry",
        &attach,
        &vacuum,
    ] {
        let message = refused(&["query", recorded.path(), sql], 2);
        assert!(message.contains("not authorized") || message.contains("asks for nothing"), "{sql}: {message}");
    }
    assert!(!new.exists());
    assert_eq!(std::fs::read(&recorded.file).unwrap(), before);
}

#[test]
fn mistakes_are_named() {
    let recorded = Recorded::new(&life());
    for (sql, named) in [
        ("SELEC 1", "near \"SELEC\": syntax error"),
        ("SELECT nope FROM events", "no such column: nope"),
        ("SELECT * FROM nope", "no such table: nope"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("", "begin with SELECT"),
        ("/* nothing */", "begin with SELECT"),
        ("SELECT ?1", "parameters"),
        ("SELECT '\x1b[2J", r"\x1b[2J"),
    ] {
        let message = refused(&["query", recorded.path(), sql], 2);
        assert!(message.starts_with("nstrace: bad SQL: ") && message.contains(named), "{sql}: {message}");
    }
    assert!(refused(&["query", recorded.path()], 2).contains("<SQL>"));
    assert!(refused(&["query", "/nonexistent", "SELECT 1"], 1).contains("/nonexistent"));
    assert!(refused(&["query", "/etc/passwd", "SELECT 1"], 1).contains("is no recording"));
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    refused(&["query", recorded.path(), &deep], 2);
    let big = "SELECT zeroblob(2000000000)";
    assert!(refused(&["query", recorded.path(), big], 1).contains("too big"));
}

#[test]
fn no_rows_is_an_outcome_of_its_own() {
    let recorded = Recorded::new(&life());
    assert_eq!(printed(&["query", recorded.path(), "SELECT * FROM findings"], 3), "");
    assert_eq!(printed(&["query", "-J", recorded.path(), "SELECT * FROM findings"], 3), "[]\n");
    let header = printed(&["query", "--csv", recorded.path(), "SELECT rule, title FROM findings"], 3);
    assert_eq!(header, "rule,title\r\n");
}

#[test]
fn sql_comes_from_stdin_too() {
    let recorded = Recorded::new(&life());
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_nstrace"))
        .args(["query", "-n", recorded.path(), "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 6 * 7;\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"42\n");
}

#[test]
fn the_tables_are_described_as_they_are() {
    let recorded = Recorded::new(&life());
    let text = printed(&["query", "--tables"], 0);
    for table in ["events", "namespaces", "tasks", "holders", "memberships", "findings"] {
        let section = text.split(&format!("{table}: ")).nth(1).unwrap().split("\n\n").next().unwrap();
        let described: Vec<&str> =
            section.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
        let columns = rows(&recorded, &format!("SELECT name FROM pragma_table_info('{table}')"));
        assert_eq!(described, columns.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>());
    }
}

#[test]
fn json_is_as_the_schema_says() {
    let recorded = Recorded::new(&life());
    let mut schema: Value = serde_json::from_str(nstrace::view::schema::TEXT).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!("#/$defs/query");
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for sql in ["SELECT * FROM events", "SELECT * FROM rec.entry", "SELECT 1.5, -1, NULL, 9007199254740993, 9e999"] {
        let rows = Value::Array(rows(&recorded, sql));
        assert!(validator.is_valid(&rows), "{rows}");
    }
    assert!(!validator.is_valid(&json!([{"x": [1]}])) && !validator.is_valid(&json!({})));
}

#[test]
fn damage_is_told_and_nothing_panics() {
    let recorded = Recorded::new(&life());
    let whole = std::fs::read(&recorded.file).unwrap();
    let file = recorded.folder.path().join("damaged.nst");
    let path = file.to_str().unwrap();
    let statements = [
        "SELECT count(*) AS n FROM events",
        "SELECT count(*) AS n FROM events JOIN namespaces USING (ns_key)",
        "SELECT count(*) AS n FROM rec.entry",
    ];
    let whole_answers: Vec<String> = statements.map(|sql| printed(&["query", recorded.path(), sql], 0)).to_vec();
    let step = whole.len() / 40;
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&file, &bytes).unwrap();
        for (sql, answer) in statements.iter().zip(&whole_answers) {
            let output = nstrace(&["query", path, sql]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                // A byte that nothing reads, or one that only the chain is over.
                Some(0) if sql.contains("rec.entry") => {}
                Some(0) => assert_eq!(&String::from_utf8(output.stdout).unwrap(), answer, "byte {at}"),
                Some(1) => assert_eq!(stderr.lines().count(), 1, "byte {at}: {stderr}"),
                // Without its own table the file has no rec.entry.
                Some(2) => assert!(sql.contains("rec.entry"), "byte {at}: {stderr}"),
                code => panic!("byte {at}: {code:?} {stderr}"),
            }
        }
    }
    for length in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        let output = nstrace(&["query", path, statements[0]]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "cut at {length}: {output:?}");
    }
}

#[test]
fn exports_agree_with_replay() {
    let recorded = Recorded::new(&life());
    let lines = printed(&["replay", "-J", recorded.path()], 0);
    assert_eq!(printed(&["export", recorded.path()], 0), lines);
    for format in ["ecs", "ocsf"] {
        let schema: Value = serde_json::from_str(&printed(&["schema", format], 0)).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let text = printed(&["export", recorded.path(), "--format", format], 0);
        assert_eq!(text.lines().count(), lines.lines().count());
        for line in text.lines() {
            assert!(validator.is_valid(&serde_json::from_str(line).unwrap()), "{line}");
        }
    }
    let csv = printed(&["export", recorded.path(), "--format", "csv", "-n", "-t", "net"], 0);
    let net = lines.lines().filter(|line| line.contains(r#""type":"net""#)).count();
    assert!(net > 0);
    assert_eq!(csv.lines().filter(|line| line.contains(",net,")).count(), csv.lines().count());
    // Ones in which it is the owner or parent of another type are none: user namespaces own it, it owns nothing.
    assert_eq!(csv.lines().count(), net);
    // The clock of the recording: everything at its end, nothing after.
    assert_eq!(printed(&["export", recorded.path(), "--since", "-0s", "--until", "+0s"], 0), "");
    let all = printed(&["export", recorded.path(), "--since", "+0s", "--until", "-0s"], 0);
    assert_eq!(all, lines);
    let by_boot = printed(&["export", recorded.path(), "--since", "@0", "--until", "@9999"], 0);
    assert_eq!(by_boot, lines);
}
