//! `diff` and `timeline` over the recording of a made-up kernel.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;
mod toy_recording;

use model_support::{INIT, NET, PID, Toy, USER, UTS, nr};
use nstrace::{
    event::Stamped,
    ns::{NsName, NsType},
};
use serde_json::{Value, json};
use toy_recording::{Recorded, moment, printed, refused};

struct Life {
    events: Vec<Stamped>,
    /// CLOCK_BOOTTIME in seconds, before and after the middle part.
    before: String,
    after: String,
    old: u32,
    maker: u32,
    visitor: u32,
    uts: NsName,
    net: NsName,
    user: NsName,
}

/// Before: `old` in a uts namespace. In the middle: `maker` with user, pid and net namespaces, and `visitor` joins `old`.
/// Then all goes but a pin of the net namespace.
fn life() -> Life {
    let mut toy = Toy::new(true);
    let old = toy.clone(INIT, UTS);
    let uts_ns = toy.of_type(old, NsType::Uts);
    let uts = toy.name(uts_ns);
    toy.records();
    let mut events = toy.start();
    events.extend(toy.visit(false));
    events.push(toy.snapshot_end());
    let before = moment(toy.tick());
    let maker = toy.clone(INIT, USER | PID | NET);
    let visitor = toy.clone(INIT, 0);
    toy.setns(visitor, uts_ns);
    toy.pin(INIT, toy.of_type(maker, NsType::Net), nr::OPEN);
    let (net, user) = (toy.name(toy.of_type(maker, NsType::Net)), toy.name(toy.of_type(maker, NsType::User)));
    let after = moment(toy.tick());
    toy.exit(maker);
    toy.exit(old);
    toy.exit(visitor);
    events.extend(toy.records());
    Life { events, before, after, old, maker, visitor, uts, net, user }
}

fn diff(recorded: &Recorded, from: &str, to: &str) -> Value {
    let point = |time: &str| format!("{}@{time}", recorded.path());
    let value: Value = serde_json::from_str(&printed(&["diff", "-J", &point(from), &point(to)], 0)).unwrap();
    let mut schema: Value = serde_json::from_str(nstrace::view::schema::TEXT).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!("#/$defs/diff");
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&value), "{value}");
    value
}

fn names(states: &Value) -> Vec<String> {
    let name = |state: &Value| format!("{}:[{}]", state["ns"]["type"].as_str().unwrap(), state["ns"]["inum"]);
    states.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn what_came_and_went() {
    let life = life();
    let recorded = Recorded::new(&life.events);
    let there = diff(&recorded, &life.before, &life.after);
    assert_eq!(there["went"], json!([]));
    let came = names(&there["came"]);
    assert_eq!(came.len(), 3, "{there}");
    assert!(came.contains(&life.net.to_string()) && came.contains(&life.user.to_string()));
    let net = there["came"].as_array().unwrap().iter().find(|state| state["ns"]["type"] == "net").unwrap();
    assert_eq!(net["members"], json!([{"pid": life.maker, "comm": "toy", "uid": 0}]));
    assert_eq!(net["pinned"], true);
    // The namespace that stayed got a member.
    let expected = json!([{
        "ns": {"type": "uts", "inum": life.uts.inum, "id": life.uts.id},
        "came": [{"pid": life.visitor, "comm": "toy", "uid": 0}],
        "went": [],
        "pinned": {"before": false, "after": false},
    }]);
    assert_eq!(there["changed"], expected);

    // Backwards it is the other way round.
    let back = diff(&recorded, &life.after, &life.before);
    assert_eq!((&back["went"], &back["came"]), (&there["came"], &there["went"]));
    // The end: only the net namespace is still held, and with it the user namespace that owns it.
    let end = diff(&recorded, &life.before, "-0s");
    assert_eq!(names(&end["came"]), [life.net.to_string(), life.user.to_string()]);
    assert_eq!(names(&end["went"]), [life.uts.to_string()]);
}

#[test]
fn text_and_exit_codes() {
    let life = life();
    let recorded = Recorded::new(&life.events);
    let (before, after) =
        (format!("{}@{}", recorded.path(), life.before), format!("{}@{}", recorded.path(), life.after));
    let text = printed(&["diff", &before, &after], 0);
    assert!(text.contains(&format!("\n+ {}  {} toy  held by a file or mount\n", life.net, life.maker)), "{text}");
    assert!(text.contains(&format!("\n  {}\n+   {} toy\n", life.uts, life.visitor)), "{text}");
    assert_eq!(printed(&["diff", &before, &before], 3), "");
    assert_eq!(printed(&["diff", recorded.path(), recorded.path()], 3), "");
    assert!(refused(&["diff", &before, &format!("{}@soon", recorded.path())], 2).contains("write a time like"));
    assert!(refused(&["diff", "/nonexistent@+1s", recorded.path()], 1).contains("/nonexistent:"));
}

#[test]
fn two_files_are_compared_by_name() {
    let life = life();
    let (one, two) = (Recorded::new(&life.events), Recorded::new(&life.events));
    assert_eq!(printed(&["diff", one.path(), two.path()], 3), "");
    let from = format!("{}@{}", one.path(), life.before);
    let two: Value = serde_json::from_str(&printed(&["diff", "-J", &from, two.path()], 0)).unwrap();
    let same: Value = serde_json::from_str(&printed(&["diff", "-J", &from, one.path()], 0)).unwrap();
    for key in ["came", "went", "changed"] {
        assert_eq!(two[key], same[key], "{key}");
    }
}

#[test]
fn a_file_name_may_have_an_at_sign() {
    let recorded = Recorded::new(&life().events);
    let odd = recorded.folder.path().join("a@+1s@b.nst");
    std::fs::copy(&recorded.file, &odd).unwrap();
    let odd = odd.to_str().unwrap();
    assert_eq!(printed(&["diff", odd, &format!("{odd}@-0s")], 3), "");
}

fn events(recorded: &Recorded, subject: &str) -> Vec<Value> {
    let text = printed(&["timeline", "-J", recorded.path(), subject], 0);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words(events: &[Value], ns: NsName) -> Vec<String> {
    let of = events.iter().filter(|event| event["ns"]["inum"] == ns.inum && event["ns"]["type"] == ns.ns_type.name());
    of.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_life_of_a_namespace() {
    let life = life();
    let recorded = Recorded::new(&life.events);
    for subject in [life.uts.to_string(), life.uts.inum.to_string(), format!(":{}", life.uts.id.unwrap())] {
        let events = events(&recorded, &subject);
        assert_eq!(words(&events, life.uts), ["snapshot", "joined", "left", "left", "destroyed"], "{subject}");
        assert_eq!(events.len(), 5, "nothing else: {events:?}");
    }
    // With the namespaces it owns.
    let events = events(&recorded, &life.user.to_string());
    assert_eq!(words(&events, life.net), ["created", "joined", "pinned", "left"]);
    assert_eq!(words(&events, life.user), ["created", "joined", "left"]);
}

#[test]
fn the_life_of_a_process() {
    let life = life();
    let recorded = Recorded::new(&life.events);
    let visitor = events(&recorded, &life.visitor.to_string());
    let told: Vec<&str> = visitor.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["left", "joined", "left", "destroyed"], "{visitor:?}");
    // What init made is followed to its end: the pid namespace goes with its maker, whom init is not.
    let init = events(&recorded, "1");
    assert!(init.iter().any(|event| event["event"] == "destroyed" && event["ns"]["type"] == "pid"), "{init:?}");
    assert_eq!(words(&init, life.net), ["created", "joined", "pinned", "left"]);
    assert!(events(&recorded, &life.old.to_string()).len() >= 2);
    assert_eq!(printed(&["timeline", "-n", recorded.path(), "4000000"], 3), "");
    assert_eq!(printed(&["timeline", "-n", recorded.path(), "nobody"], 3), "");
    refused(&["timeline", recorded.path(), "net:[x]"], 2);
}
