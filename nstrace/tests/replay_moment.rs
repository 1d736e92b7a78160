//! `replay --at TIME show` and `map` over the recording of a made-up kernel: what is known is told, the rest is not made up.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;
mod toy_recording;

use model_support::{INIT, NET, PID, Toy, USER, UTS};
use nstrace::{
    event::{Event, Stamp, Stamped},
    ns::{NsName, NsType},
};
use serde_json::{Value, json};
use toy_recording::{Recorded, moment, printed, refused};

const CONTAINER: &str = "5555555555555555555555555555555555555555555555555555555555555555";

struct Story {
    events: Vec<Stamped>,
    /// While all of it lived, and after its end.
    during: String,
    after: String,
    web: u32,
    child: u32,
    pid: NsName,
    user: NsName,
    net: NsName,
    uts: NsName,
}

/// A container `web` with user, pid and net namespaces, a child in it that makes a uts namespace; then both end.
fn story() -> Story {
    let mut toy = Toy::new(true);
    let mut events = toy.start();
    events.push(toy.snapshot_end());
    let web = toy.clone(INIT, USER | PID | NET);
    let child = toy.clone(web, UTS);
    let name = |tid, ns_type| toy.name(toy.of_type(tid, ns_type));
    let (pid, user, net, uts) =
        (name(web, NsType::Pid), name(web, NsType::User), name(web, NsType::Net), name(child, NsType::Uts));
    let cgroup = toy.tasks[&web].cgroup;
    let stamp = Stamp { boot_ns: toy.now, cpu: 0, seq: 0 };
    let path = Event::CgroupPath { cgroup, path: format!("/system.slice/docker-{CONTAINER}.scope") };
    events.extend(toy.records());
    events.push(Stamped { stamp, event: path });
    let during = moment(toy.tick());
    toy.exit(child);
    toy.exit(web);
    let after = moment(toy.tick());
    events.extend(toy.records());
    Story { events, during, after, web, child, pid, user, net, uts }
}

fn valid(definition: &str, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    let mut schema: Value = serde_json::from_str(nstrace::view::schema::TEXT).unwrap();
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{text}\n{}", errors.join("\n"));
    value
}

impl Story {
    fn recorded(&self) -> Recorded {
        let web = nstrace::engine::Named {
            runtime: "docker".to_owned(),
            id: CONTAINER.to_owned(),
            name: Some("web\u{1b}[31m".to_owned()),
            image: Some("nginx:1.27".to_owned()),
            image_id: Some("sha256:aa".to_owned()),
            ..Default::default()
        };
        Recorded::with_containers(&self.events, vec![web])
    }

    fn show(&self, recorded: &Recorded, at: &str, target: &str) -> Value {
        let text = printed(&["replay", recorded.path(), "--at", at, "show", "-J", target], 4);
        valid("show_at", &text)
    }

    fn map(&self, recorded: &Recorded, what: &str) -> Value {
        valid("map_at", &printed(&["replay", recorded.path(), "--at", &self.during, "map", what, "-J"], 4))
    }
}

fn ns(name: NsName) -> Value {
    json!({"type": name.ns_type.name(), "inum": name.inum, "id": name.id})
}

#[test]
fn a_task_as_it_was() {
    let story = story();
    let recorded = story.recorded();
    let document = story.show(&recorded, &story.during, &story.web.to_string());
    let task = &document["task"];
    assert_eq!((&document["kind"], &document["namespace"]), (&json!("task"), &Value::Null));
    assert_eq!(task["pid"], story.web);
    assert_eq!(task["container"]["image"], "nginx:1.27");
    assert_eq!(task["container"]["id"], CONTAINER);
    let levels = task["pids"].as_array().unwrap();
    assert_eq!(levels.len(), 2, "{levels:?}");
    assert_eq!(levels[0]["pid"], story.web);
    assert_eq!((&levels[1]["pid"], &levels[1]["ns"]), (&json!(1), &ns(story.pid)));
    let slot = |name: &str| {
        let slots = task["namespaces"].as_array().unwrap();
        slots.iter().find(|slot| slot["slot"] == name).unwrap().clone()
    };
    let net = slot("net");
    assert_eq!((&net["ns"], &net["initial"]), (&ns(story.net), &json!(false)));
    assert_eq!((&net["owner"], &net["shared_with"]), (&ns(story.user), &json!(1)));
    assert_eq!(net["created"]["by"], json!({"pid": INIT, "comm": "toy"}));
    assert!(net["created"]["flags"].as_array().unwrap().contains(&json!("CLONE_NEWNET")));
    let uts = slot("uts");
    assert_eq!((&uts["initial"], &uts["shared_with"], &uts["created"]), (&json!(true), &Value::Null, &Value::Null));
    // What is not known has no key.
    for key in ["ppid", "command", "state", "uid_map"] {
        assert_eq!(task.get(key), None);
    }
    assert_eq!(document["complete"], false);
    // By a path of /proc, as it was recorded and not as it is here.
    let path = story.show(&recorded, &story.during, &format!("/proc/{}/ns/net", story.web));
    assert_eq!(path["namespace"]["ns"], ns(story.net));
}

#[test]
fn a_namespace_as_it_was() {
    let story = story();
    let recorded = story.recorded();
    for target in [story.user.to_string(), story.user.inum.to_string(), format!(":{}", story.user.id.unwrap())] {
        let document = story.show(&recorded, &story.during, &target);
        let user = &document["namespace"];
        assert_eq!(user["ns"], ns(story.user), "{target}");
        let owns = user["owns"].as_array().unwrap();
        assert!(owns.contains(&ns(story.net)) && owns.contains(&ns(story.pid)), "{owns:?}");
        let members: Vec<&Value> = user["members"].as_array().unwrap().iter().map(|m| &m["pid"]).collect();
        assert_eq!(members, [story.web, story.child]);
    }
    let uts = story.show(&recorded, &story.during, &story.uts.to_string());
    assert_eq!(uts["namespace"]["created"]["by"]["pid"], story.web);
}

#[test]
fn a_container_by_the_name_that_was_recorded() {
    let story = story();
    let recorded = story.recorded();
    for target in ["web\u{1b}[31m", "55555", CONTAINER] {
        let document = story.show(&recorded, &story.during, target);
        assert_eq!(document["kind"], "container");
        assert_eq!(document["container"]["image_id"], "sha256:aa");
        assert_eq!(document["task"]["pid"], story.web, "its init");
        assert!(document["container"]["processes"].as_array().unwrap().iter().any(|p| p["pid"] == story.web));
    }
    let text = printed(&["replay", recorded.path(), "--at", &story.during, "show", "55555"], 4);
    assert!(text.contains("nginx:1.27") && !text.contains('\u{1b}'), "{text}");
    let listed = printed(
        &["replay", recorded.path(), "--at", &story.during, "ls", "--container", "web\u{1b}[31m", "-t", "net", "-n"],
        4,
    );
    assert!(listed.contains(&story.net.inum.to_string()), "{listed}");
    // The stream is selected by the name as well as by the id.
    let by_name = printed(&["replay", recorded.path(), "-J", "--container", "web\u{1b}[31m"], 0);
    assert_eq!(by_name, printed(&["replay", recorded.path(), "-J", "--container", CONTAINER], 0));
    assert!(by_name.lines().count() >= 3, "{by_name}");
    let life = printed(&["timeline", recorded.path(), "-J", "web\u{1b}[31m"], 0);
    assert_eq!(life, printed(&["timeline", recorded.path(), "-J", CONTAINER], 0));
    let sql = "SELECT name, image, events.event FROM containers JOIN events USING (container) WHERE event = 'left'";
    let rows: Value = serde_json::from_str(&printed(&["query", "-J", recorded.path(), sql], 0)).unwrap();
    assert_eq!(rows[0]["image"], "nginx:1.27");
    let alone = printed(&["query", "--csv", "-n", recorded.path(), "SELECT image_id FROM containers"], 0);
    assert_eq!(alone.trim_end(), "sha256:aa");
}

#[test]
fn maps_of_a_moment() {
    let story = story();
    let recorded = story.recorded();
    for (what, own) in [("pid", story.pid), ("user", story.user), ("net", story.net)] {
        let map = story.map(&recorded, what);
        let namespaces = map["namespaces"].as_array().unwrap();
        assert_eq!((&map["what"], namespaces.len()), (&json!(what), 2), "{map}");
        assert_eq!((&namespaces[0]["initial"], &namespaces[1]["ns"]), (&json!(true), &ns(own)), "parents first");
        assert_eq!(namespaces[1]["members"].as_array().unwrap().len(), 2);
        let text = printed(&["replay", recorded.path(), "--at", &story.during, "map", what], 4);
        assert!(text.contains(&own.to_string()), "{text}");
    }
    assert_eq!(story.map(&recorded, "mnt")["namespaces"].as_array().unwrap().len(), 1);
    // Both ways between PIDs.
    let translated = |which: &str| {
        let args = ["replay", recorded.path(), "--at", &story.during, "map", "pid", "-J", which];
        valid("map_pid_one", &printed(&args, 4))
    };
    let inside = translated(&format!("1@{}", story.web));
    assert_eq!(inside["pid"], story.web);
    assert_eq!(inside, translated(&story.web.to_string()));
    let below =
        printed(&["replay", recorded.path(), "--at", &story.during, "map", "pid", "-J", &format!("@{}", story.pid)], 4);
    assert_eq!(valid("map_at", &below)["namespaces"].as_array().unwrap().len(), 1);
}

#[test]
fn documents_of_a_moment_are_valid() {
    let story = story();
    let recorded = story.recorded();
    let said = |words: &[&str]| printed(&[&["replay", recorded.path(), "--at", &story.during][..], words].concat(), 4);
    let listed = valid("ls", &said(&["ls", "-J"]));
    let net = listed["namespaces"].as_array().unwrap().iter().find(|row| row["ns"] == story.net.inum).unwrap();
    assert_eq!(net["container"]["image_id"], "sha256:aa");
    valid("why", &said(&["why", "-J", &story.net.to_string()]));
    valid("query", &printed(&["query", "-J", recorded.path(), "SELECT * FROM containers, namespaces"], 0));
}

#[test]
fn what_was_not_there_is_not_made_up() {
    let story = story();
    let recorded = story.recorded();
    let (during, after) = (story.during.as_str(), story.after.as_str());
    let ask =
        |at: &str, words: &[&str], code| refused(&[&["replay", recorded.path(), "--at", at][..], words].concat(), code);
    let web = story.web.to_string();
    assert!(ask(after, &["show", &web], 3).contains("knows no process"));
    assert!(ask(after, &["show", &story.net.to_string()], 3).contains("knows no namespace"));
    assert!(ask(during, &["show", "nobody"], 3).contains("knows no container nobody"));
    assert!(ask(during, &["map", "pid", "4000000"], 3).contains("4000000"));
    // This machine's own files are not asked.
    assert!(ask(during, &["show", "/proc/self/ns/net"], 2).contains("does not know paths"));
    assert!(ask(during, &["ls", "/proc/self/ns/net"], 2).contains("does not know paths"));
    assert!(ask(during, &["why", "/proc/self/ns/net"], 2).contains("does not know paths"));
    assert!(ask(during, &["show", &format!("{web}:77")], 2).contains("pidfds"));
    assert!(ask(during, &["show", "--explain", &web], 2).contains("--explain"));
    assert!(ask(during, &["map", "net", "--dot"], 2).contains("--dot"));
    assert!(refused(&["replay", recorded.path(), "show", &web], 2).contains("--at"));
}
