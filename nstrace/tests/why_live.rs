//! `why` foretells what goes with a network namespace, and it does go.

mod inspect_common;

use std::process::Command;

use inspect_common::{Subject, document, inum, is_root, nstrace};
use serde_json::{Value, json};

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().expect("ip runs").success(), "{args:?}");
}

fn device<'a>(why: &'a Value, name: &str) -> &'a Value {
    let devices = why["teardown"]["devices"].as_array().expect("a list");
    devices.iter().find(|device| device["name"] == name).unwrap_or_else(|| panic!("{name} is in {why}"))
}

/// The reader needs the kernel's lists for a teardown it can promise; a machine without passes.
fn has_iterators() -> bool {
    is_root() && document(&["ls", "-J", "--members"], "ls")["complete"] == true
}

#[test]
fn devices_that_go_with_a_network_namespace() {
    if !has_iterators() {
        return;
    }
    let (near, far) = (format!("nw{}", std::process::id()), format!("fw{}", std::process::id()));
    let wait = ["unshare", "-n", "sh", "-c", "echo ready; read x"];
    let (there, here) = (Subject::start(&wait), Subject::start(&wait));
    let (outer, inner) = (inum(there.pid(), "net"), inum(here.pid(), "net"));
    let within = |args: &str| {
        let pid = there.pid().to_string();
        let entered =
            Command::new("nsenter").args(["-t", &pid, "-n", "ip", "link", "add"]).args(args.split(' ')).status();
        assert!(entered.expect("nsenter runs").success(), "{args}");
    };
    within(&format!("{far} type veth peer name {near} netns {}", here.pid()));
    within("pair0 type veth peer name pair1");
    assert_ne!(outer, inner);

    let why = document(&["why", "-J", &format!("net:[{inner}]")], "why");
    let found = device(&why, &near);
    assert_eq!((&found["kind"], &found["fate"], &found["ns"]), (&json!("veth"), &json!("dies"), &json!(inner)));
    assert_eq!(found["peer"], json!({ "name": far, "ns": outer }));
    let text = String::from_utf8(nstrace(&["why", &format!("net:[{inner}]")]).stdout).expect("UTF-8");
    assert!(text.contains(&format!("with it dies {near} (veth, peer {far} in net:[{outer}])")), "{text}");

    let why = document(&["why", "-J", &format!("net:[{outer}]")], "why");
    assert_eq!(device(&why, "pair0")["peer"], json!({ "name": "pair1", "ns": outer }));
    assert_eq!(device(&why, &far)["peer"], json!({ "name": near, "ns": inner }));
}

#[test]
fn a_namespace_that_only_a_socket_holds_is_looked_into_and_let_go() {
    if !has_iterators() {
        return;
    }
    let script = "import ctypes, os, socket, subprocess, sys\n\
                  libc = ctypes.CDLL(None)\n\
                  home = os.open('/proc/self/ns/net', os.O_RDONLY)\n\
                  assert libc.unshare(0x40000000) == 0\n\
                  inum = os.readlink('/proc/thread-self/ns/net')\n\
                  subprocess.run(['ip', 'link', 'add', 'here', 'type', 'bridge'], check=True)\n\
                  kept = socket.socket()\n\
                  assert libc.setns(home, 0) == 0\n\
                  os.close(home)\n\
                  print('ready', flush=True)\n\
                  print(inum, flush=True)\n\
                  sys.stdin.readline()\n\
                  kept.close()\n\
                  print('closed', flush=True)\n\
                  sys.stdin.read()";
    let mut subject = Subject::start(&["python3", "-c", script]);
    let ns = subject.line();
    let why = document(&["why", "-J", &ns], "why");
    let kinds: Vec<&Value> = why["holders"].as_array().expect("a list").iter().map(|holder| &holder["kind"]).collect();
    assert_eq!(kinds, [&json!("socket")], "{why}");
    assert_eq!((&device(&why, "here")["fate"], &device(&why, "here")["peer"]), (&json!("dies"), &Value::Null));
    // Nothing of the visit is left: what the socket held is freed with it.
    subject.say("go on");
    assert_eq!(subject.line(), "closed");
    let gone = || nstrace(&["why", &ns]).status.code() == Some(3);
    // The kernel frees network namespaces in a work queue; it is asked again until it has, or clearly will not.
    assert!((0..200).any(|_| gone()), "{ns} is still there");
}

#[test]
fn the_pair_is_gone_when_the_namespace_is() {
    if !has_iterators() {
        return;
    }
    let (name, link) = (format!("nstrace-why-{}", std::process::id()), format!("gw{}", std::process::id()));
    ip(&["netns", "add", &name]);
    ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name]);
    let why = document(&["why", "-J", &format!("/run/netns/{name}")], "why");
    ip(&["netns", "del", &name]);
    assert_eq!(device(&why, "eth0")["peer"]["name"], link.as_str());
    let there = || std::path::Path::new("/sys/class/net").join(&link).exists();
    // As above.
    let freed = (0..200).any(|_| {
        let _ = nstrace(&["ls", "--members"]);
        !there()
    });
    assert!(freed, "what was foretold has come");
}
