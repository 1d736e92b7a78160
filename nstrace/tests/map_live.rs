//! `map` against real namespaces.

mod inspect_common;

use std::process::Command;

use inspect_common::{Subject, document, inum, is_root, nstrace};
use serde_json::{Value, json};

fn find(list: &Value, found: impl Fn(&Value) -> bool) -> &Value {
    list.as_array().expect("a list").iter().find(|row| found(row)).expect("it is in the list")
}

#[test]
fn pids_are_translated_both_ways() {
    if !is_root() {
        return;
    }
    let script = "trap : USR1; sh -c 'echo ready; read x'; :";
    let subject = Subject::start(&["unshare", "-pf", "--mount-proc", "sh", "-c", script]);
    let init = subject.child_pid();
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).expect("children");
    let inner: u32 = children.trim().parse().expect("one child");
    let there = document(&["map", "pid", "-J", &inner.to_string()], "map_pid_one");
    let levels: Vec<u64> =
        there["levels"].as_array().expect("levels").iter().map(|l| l["pid"].as_u64().expect("a number")).collect();
    assert_eq!(levels[0], u64::from(inner));
    assert_eq!(there["levels"][1]["ns"]["inum"], inum(inner, "pid"));
    for at in [init.to_string(), format!("pid:[{}]", inum(inner, "pid")), format!("/proc/{init}/ns/pid")] {
        let back = document(&["map", "pid", "-J", &format!("{}@{at}", levels[1])], "map_pid_one");
        assert_eq!(back["pid"], inner, "{at}");
    }
    assert_eq!(nstrace(&["map", "pid", &format!("4194303@{init}")]).status.code(), Some(3));
    assert_eq!(nstrace(&["map", "pid", "seven@web"]).status.code(), Some(2));

    let map = document(&["map", "pid", "-J", &format!("@{init}")], "map_pid");
    let ns = find(&map["namespaces"], |row| row["ns"]["inum"] == inum(init, "pid"));
    assert_eq!((&ns["level"], &ns["processes"], &ns["init"]["pid"]), (&json!(1), &json!(2), &json!(init)));
    assert_eq!(ns["parent"], inum(std::process::id(), "pid"));
    assert!(ns["init"]["handles"].as_array().expect("names").contains(&json!("SIGUSR1")), "{ns}");
    assert!(ns["init"]["deaf_to"].as_array().expect("names").contains(&json!("SIGTERM")), "{ns}");
    let processes: Vec<&Value> = map["processes"].as_array().expect("list").iter().map(|p| &p["pid"]).collect();
    assert_eq!(processes, [&json!(init), &json!(inner)], "only what is in it");
}

#[test]
fn zombies_are_named() {
    // WNOWAIT: the child has ended and stays a zombie.
    let script = "import os, sys; child = os.fork() or os._exit(0); \
                  os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT); print('ready', flush=True); sys.stdin.read()";
    let subject = Subject::start(&["python3", "-c", script]);
    let (pid, zombie) = (subject.pid(), subject.child_pid());
    let map = document(&["map", "pid", "-J"], "map_pid");
    let row = find(&map["processes"], |p| p["pid"] == zombie);
    assert_eq!((&row["zombie"], &row["ppid"]), (&json!(true), &json!(pid)));
    let text = String::from_utf8(nstrace(&["map", "pid"]).stdout).expect("UTF-8");
    assert!(text.contains("zombie: its parent has not waited for it"), "{text}");
}

/// Namespaces below /run/netns that go away with it.
struct NetNs(String);

impl NetNs {
    fn new(name: &str) -> Self {
        let name = format!("nstrace-{name}-{}", std::process::id());
        ip(&["netns", "add", &name]);
        Self(name)
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().expect("ip runs").success(), "{args:?}");
}

#[test]
fn veth_pairs_across_namespaces_bridges_and_sockets() {
    if !is_root() {
        return;
    }
    let (left, right) = (NetNs::new("l"), NetNs::new("r"));
    let (l, r) = (left.0.as_str(), right.0.as_str());
    ip(&["-n", l, "link", "add", "v-left", "type", "veth", "peer", "name", "v-right", "netns", r]);
    ip(&["-n", l, "link", "add", "br-left", "type", "bridge"]);
    ip(&["-n", l, "link", "set", "v-left", "master", "br-left", "up"]);
    ip(&["-n", r, "addr", "add", "10.77.0.2/24", "dev", "v-right"]);
    ip(&["-n", r, "link", "set", "v-right", "up"]);
    ip(&["-n", r, "route", "add", "default", "via", "10.77.0.1"]);
    let map = document(&["map", "net", "-J"], "map_net");
    let named =
        |name: &str| find(&map["namespaces"], |row| row["names"].as_array().is_some_and(|n| n.contains(&json!(name))));
    let (row_l, row_r) = (named(l), named(r));
    let tie = find(&map["ties"], |tie| tie["from"]["name"] == "v-left" || tie["to"]["name"] == "v-left");
    let mut ends = [tie["from"]["ns"].clone(), tie["to"]["ns"].clone()].map(|ns| ns.as_u64().expect("both ends"));
    ends.sort_unstable();
    let mut wanted = [&row_l["ns"]["inum"], &row_r["ns"]["inum"]].map(|ns| ns.as_u64().expect("a number"));
    wanted.sort_unstable();
    assert_eq!((ends, &tie["kind"]), (wanted, &json!("veth")));
    let bridge = find(&map["bridges"], |bridge| bridge["name"] == "br-left");
    assert_eq!((&bridge["ns"], &bridge["ports"]), (&row_l["ns"]["inum"], &json!(["v-left"])));
    let link = find(&row_r["view"]["links"], |link| link["name"] == "v-right");
    assert!(link["addresses"].as_array().expect("list").contains(&json!("10.77.0.2/24")), "{link}");
    let route = find(&row_r["view"]["routes"], |route| route["destination"] == "default");
    assert_eq!(route["gateway"], "10.77.0.1");
    let dot = String::from_utf8(nstrace(&["map", "net", "--dot"]).stdout).expect("UTF-8");
    assert!(dot.starts_with("graph nstrace {") && dot.contains("v-left") && dot.contains("label=\"veth\""), "{dot}");
}

#[test]
fn listening_sockets_of_another_namespace() {
    if !is_root() {
        return;
    }
    let script = "ip link set lo up; exec python3 -c 'import socket,sys; s=socket.create_server((\"127.0.0.1\", 7001)); \
                  print(\"ready\", flush=True); sys.stdin.read()'";
    let subject = Subject::start(&["unshare", "-n", "sh", "-c", script]);
    let map = document(&["map", "net", "-J"], "map_net");
    let row = find(&map["namespaces"], |row| row["ns"]["inum"] == inum(subject.pid(), "net"));
    let socket = find(&row["view"]["listening"], |socket| socket["port"] == 7001);
    assert_eq!(socket["held_by"]["pid"], subject.pid());
    assert_eq!((&socket["protocol"], &socket["address"]), (&json!("tcp"), &json!("127.0.0.1")));
}

#[test]
fn mounts_propagation_overmounts_and_namespaces_without_a_process() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().to_str().expect("text");
    // A shared mount, a second namespace that only listens, and that one held by a bind mount alone. The kernel takes a mount
    // namespace into another only when its 64-bit id is larger (`mnt_ns_loop`), and ids are handed to the CPUs in batches: a
    // newer namespace can have a smaller one, and unshare(1) then fails with EINVAL. Another one is made until it works.
    let script = format!(
        "mount --make-rprivate /; mount -t tmpfs outer {at}; mount --make-private {at}; mkdir {at}/s {at}/o; touch {at}/pin; \
         mount -t tmpfs s {at}/s; mount --make-shared {at}/s; mkdir {at}/o/x; mount -t tmpfs below {at}/o/x; \
         mount -t tmpfs over {at}/o; \
         until unshare --mount={at}/pin --propagation slave true 2>/dev/null; do :; done; echo ready; stat -Lc %i {at}/pin; read x"
    );
    let mut subject = Subject::start(&["unshare", "-m", "sh", "-c", &script]);
    let pinned: u64 = subject.line().parse().expect("a number");
    let map = document(&["map", "mnt", "-J"], "map_mnt");
    let own = find(&map["namespaces"], |row| row["ns"]["inum"] == inum(subject.pid(), "mnt"));
    assert_eq!(own["pivoted"], false);
    let mount = |row: &Value, path: &str, source: &str| {
        find(&row["mounts"], |m| m["point"] == path && m["source"] == source).clone()
    };
    let below = mount(own, &format!("{at}/o/x"), "below");
    assert_eq!(below["hidden"], true, "{below}");
    assert_eq!(mount(own, &format!("{at}/o"), "over")["hidden"], false);
    let shared = mount(own, &format!("{at}/s"), "s");
    let group = find(&map["groups"], |group| group["group"] == shared["shared"]);
    assert_eq!(group["peers"][0]["mnt_ns"], own["ns"]["inum"]);
    let other = find(&map["namespaces"], |row| row["ns"]["inum"] == pinned);
    assert_eq!((&other["processes"], &other["pid"]), (&json!(0), &Value::Null), "entered: nobody is in it");
    assert_eq!(mount(other, &format!("{at}/s"), "s")["master"], shared["shared"]);
    assert_eq!(group["slaves"][0]["mnt_ns"], pinned);
}

#[test]
fn user_namespaces_without_a_process_are_parents_too() {
    if !is_root() {
        return;
    }
    // The outer one loses its last process when sh replaces itself by an unshare that makes the inner one.
    let subject = Subject::start(&[
        "unshare",
        "-Ur",
        "sh",
        "-c",
        "readlink /proc/self/ns/user >&2; exec unshare -Ur sh -c 'echo ready; read x'",
    ]);
    let pid = subject.pid();
    let map = document(&["map", "user", "-J"], "map_user");
    let inner = find(&map["namespaces"], |row| row["ns"]["inum"] == inum(pid, "user"));
    let outer = find(&map["namespaces"], |row| row["ns"]["inum"] == inner["parent"]);
    assert_eq!((&outer["processes"], &outer["uid_map"]), (&json!(0), &Value::Null));
    assert_eq!(outer["parent"], inum(std::process::id(), "user"));
    assert_eq!((&inner["rootless"], &inner["maps_host_root"]), (&json!(false), &json!(true)));
}

#[test]
fn without_privileges_it_says_what_it_did_not_see() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("nstrace");
    // By another process: a file that this one has open for writing is inherited by whatever another test starts meanwhile,
    // and cannot be executed as long as that has it (ETXTBSY).
    let copied = Command::new("install").args(["-m", "755", env!("CARGO_BIN_EXE_nstrace")]).arg(&program).status();
    assert!(copied.expect("install runs").success(), "a copy that anybody may run");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).expect("a folder that anybody may enter");
    for (args, definition) in [
        (&["map", "pid", "-J"][..], "map_pid"),
        (&["map", "user", "-J"], "map_user"),
        (&["map", "net", "-J"], "map_net"),
        (&["map", "mnt", "-J"], "map_mnt"),
        (&["show", "-J", "2"], "show"),
    ] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(args)
            .output()
            .expect("setpriv runs");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(4), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(value["complete"], false, "{args:?}");
        let errors: Vec<String> = inspect_common::validator(definition)
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{args:?}\n{}", errors.join("\n"));
    }
}
