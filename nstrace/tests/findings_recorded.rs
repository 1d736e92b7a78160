//! Findings of a recording: `query`, `export` and `replay` tell the same of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;
mod toy_recording;

use model_support::{CGROUP, INIT, IPC, MNT, NET, PID, Toy, UTS};
use nstrace::{
    event::{Event, Stamp, Stamped},
    ns::NsType,
};
use serde_json::Value;
use toy_recording::{Recorded, printed};

/// A task of a container enters namespaces of the host.
fn escape() -> Vec<Stamped> {
    let mut toy = Toy::new(true);
    let mut events = toy.start();
    events.push(Stamped { stamp: Stamp { boot_ns: toy.tick(), cpu: 0, seq: 0 }, event: Event::SnapshotEnd });
    let shell = toy.clone(INIT, MNT | PID | IPC | UTS | NET | CGROUP);
    toy.runs(shell, 500);
    for ns_type in [NsType::Net, NsType::Mnt] {
        toy.setns(shell, toy.of_type(INIT, ns_type));
    }
    events.extend(toy.records());
    events
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_reader_tells_the_same_findings() {
    let recorded = Recorded::new(&escape());
    let lines = json_lines(&printed(&["replay", "-J", recorded.path()], 0));
    let findings: Vec<&Value> = lines.iter().filter(|line| line["event"] == "finding").collect();
    assert!(findings.len() >= 2, "{lines:?}");

    let rows: Vec<Value> =
        serde_json::from_str(&printed(&["query", "-J", recorded.path(), "SELECT * FROM findings ORDER BY seq"], 0))
            .unwrap();
    assert_eq!(rows.len(), findings.len());
    for (row, finding) in rows.iter().zip(&findings) {
        for key in ["seq", "time", "rule", "severity", "title", "explain", "count", "suppressed"] {
            assert_eq!(row[key], finding[key], "{key}");
        }
        assert_eq!(row["pid"], finding["task"]["pid"]);
        let evidence: Vec<String> = finding["evidence"].as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(row["evidence"], evidence.join(" "));
    }
    // What a finding rests on is there.
    let sql = "SELECT count(*) FROM findings JOIN events ON ' ' || evidence || ' ' LIKE '% ' || events.seq || ' %'";
    let resting = printed(&["query", "--csv", "-n", recorded.path(), sql], 0);
    assert!(resting.trim().parse::<usize>().unwrap() >= findings.len(), "{resting}");

    let ecs = json_lines(&printed(&["export", recorded.path(), "--format", "ecs"], 0));
    let alerts: Vec<&Value> = ecs.iter().filter(|line| line["event"]["kind"] == "alert").collect();
    let ocsf = json_lines(&printed(&["export", recorded.path(), "--format", "ocsf"], 0));
    let detections: Vec<&Value> = ocsf.iter().filter(|line| line["class_uid"] == 2004).collect();
    assert_eq!((alerts.len(), detections.len()), (findings.len(), findings.len()));
    for (n, finding) in findings.iter().enumerate() {
        assert_eq!(alerts[n]["rule"]["id"], finding["rule"]);
        assert_eq!(detections[n]["finding_info"]["analytic"]["uid"], finding["rule"]);
        assert_eq!(detections[n]["severity"].as_str().unwrap().to_lowercase(), finding["severity"].as_str().unwrap());
    }
}
