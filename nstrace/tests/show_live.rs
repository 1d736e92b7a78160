//! `show` against programs in real namespaces: what it says is what the kernel says.

mod inspect_common;

use inspect_common::{Subject, document, inum, is_root, nstrace};
use serde_json::{Value, json};

fn slot<'v>(task: &'v Value, name: &str) -> &'v Value {
    let slots = task["namespaces"].as_array().expect("slots");
    slots.iter().find(|slot| slot["slot"] == name).expect("all ten are there")
}

#[test]
fn a_process_in_namespaces_of_its_own() {
    if !is_root() {
        return;
    }
    let script = "hostname inner-host; mount -t tmpfs x /mnt; echo ready; read x";
    let subject = Subject::start(&["unshare", "-muinpf", "--mount-proc", "sh", "-c", script]);
    let pid = subject.child_pid();
    let document = document(&["show", "-J", &pid.to_string()], "show");
    let task = &document["task"];
    assert_eq!((&document["kind"], &task["pid"]), (&json!("task"), &json!(pid)));
    for name in ["mnt", "uts", "ipc", "net", "pid"] {
        let slot = slot(task, name);
        assert_eq!(slot["ns"]["inum"], inum(pid, name), "{name}");
        assert_eq!(slot["owner"]["inum"], inum(pid, "user"), "{name}");
    }
    // unshare(1) itself is in all of them but the pid namespace.
    assert_eq!((&slot(task, "net")["relation"], &slot(task, "net")["shared_with"]), (&json!("parent"), &json!(1)));
    assert_eq!((&slot(task, "pid")["relation"], &slot(task, "pid")["shared_with"]), (&json!("own"), &json!(0)));
    assert_eq!(slot(task, "user")["relation"], "host");
    assert_eq!(slot(task, "pid_for_children")["relation"], "itself");
    let pids: Vec<&Value> = task["pids"].as_array().expect("levels").iter().map(|level| &level["pid"]).collect();
    assert_eq!(pids, [&json!(pid), &json!(1)]);
    assert_eq!(task["inside"]["hostname"], "inner-host");
    assert_eq!(task["host"]["hostname"], rustix::system::uname().nodename().to_string_lossy().as_ref());
    let links = task["inside"]["interfaces"].as_array().expect("links");
    assert!(links.iter().all(|link| link["name"] != "eth0"), "{links:?}");
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mounts").lines().count();
    assert_eq!(task["inside"]["mounts"], mounts);
}

#[test]
fn a_namespace_by_every_name() {
    if !is_root() {
        return;
    }
    let subject = Subject::start(&["unshare", "-u", "sh", "-c", "hostname named-ns; echo ready; read x"]);
    let pid = subject.pid();
    let inum = inum(pid, "uts");
    let by = |target: &str| document(&["show", "-J", target], "show");
    let first = by(&format!("uts:[{inum}]"));
    assert_eq!((&first["kind"], &first["namespace"]["ns"]["inum"]), (&json!("namespace"), &json!(inum)));
    assert_eq!(first["namespace"]["inside"]["hostname"], "named-ns");
    assert_eq!(first["namespace"]["members"][0]["pid"], pid);
    assert_eq!(first["namespace"]["initial"], false);
    let mut names = vec![inum.to_string(), format!("/proc/{pid}/ns/uts")];
    if let Some(id) = first["namespace"]["ns"]["id"].as_u64() {
        names.push(format!(":{id}"));
    }
    for name in names {
        assert_eq!(by(&name)["namespace"], first["namespace"], "{name}");
    }
}

#[test]
fn a_namespace_that_only_a_mount_and_a_file_hold() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let pin = dir.path().join("pin");
    std::fs::write(&pin, "").expect("a file");
    let pin = pin.to_str().expect("text");
    // In a mount namespace of its own, so that the mount goes away with the test; the descriptor is held by the shell.
    let script = format!(
        "unshare --net={pin} true; exec 9<{pin}; echo ready; readlink /proc/self/fd/9; stat -Lc %i {pin}; read x"
    );
    let mut subject = Subject::start(&["unshare", "-m", "sh", "-c", &script]);
    let (_, inum) = (subject.line(), subject.line());
    let document = document(&["show", "-J", &format!("net:[{inum}]")], "show");
    let ns = &document["namespace"];
    assert_eq!(ns["members"], json!([]));
    let held = ns["held_by"].as_array().expect("holders");
    assert!(held.iter().any(|h| h["kind"] == "fd" && h["pid"] == subject.pid() && h["fd"] == 9), "{held:?}");
    assert!(held.iter().any(|h| h["kind"] == "mount" && h["path"] == pin), "{held:?}");
    assert_eq!(ns["inside"]["net"]["links"][0]["name"], "lo", "entered without a process in it");
}

#[test]
fn ids_and_capabilities_of_a_rootless_user_namespace() {
    if !is_root() {
        return;
    }
    let script = "echo ready; read x";
    let rootless =
        ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "-Ur", "-n", "sh", "-c", script];
    let subject = Subject::start(&rootless);
    let pid = subject.pid();
    let document = document(&["show", "-J", &pid.to_string()], "show");
    let task = &document["task"];
    let map = &task["uid_map"][0];
    assert_eq!((&map["inside"], &map["outside"], &map["count"]), (&json!(0), &json!(12345), &json!(1)));
    assert_eq!(
        (&map["inside_name"], &task["inside"]["uid"], &task["host"]["uid"]),
        (&json!("root"), &json!(0), &json!(12345))
    );
    let over = task["capabilities"]["over"].as_array().expect("standings");
    let standing = |user: u64| over.iter().find(|o| o["user"]["inum"] == user).expect("asked about");
    assert_eq!(standing(inum(std::process::id(), "user"))["standing"], "none", "none over the host");
    let own = standing(inum(pid, "user"));
    assert_eq!((&own["standing"], &own["owns"]), (&json!("effective"), &json!(["net"])));
    assert!(!task["capabilities"]["effective"].as_array().expect("names").is_empty());
    let text = String::from_utf8(nstrace(&["show", &pid.to_string(), "--explain"]).stdout).expect("UTF-8");
    assert!(text.contains("root(0) = 12345 on host"), "{text}");
    assert!(text.contains(&format!("$ ls -l /proc/{pid}/ns")), "{text}");
}

#[test]
fn no_new_privs_and_hostile_names() {
    if !is_root() {
        return;
    }
    let script = "printf '\\033[31mred' > /proc/self/comm; echo ready; read x";
    let subject = Subject::start(&["setpriv", "--no-new-privs", "sh", "-c", script]);
    let pid = subject.pid().to_string();
    let document = document(&["show", "-J", &pid], "show");
    assert_eq!(document["task"]["security"]["no_new_privs"], true);
    assert_eq!(document["task"]["comm"], "\u{1b}[31mred");
    let text = nstrace(&["show", "--color=never", &pid]).stdout;
    assert!(!text.contains(&0x1b), "nothing of the name reaches a terminal");
}

#[test]
fn what_is_not_there_and_what_is_no_target() {
    for (target, code, named) in [
        ("no-such-container-here", 3, "no-such-container-here"),
        ("4194303", 3, "4194303"),
        ("net:[4294967295]", 3, "net:[4294967295]"),
        (":18446744073709551615", 3, "18446744073709551615"),
        ("/run/netns/no-such", 3, "/run/netns/no-such"),
        ("/etc/passwd", 2, "'/etc/passwd' is no namespace"),
        ("nat:[1]", 2, "nat:[1]"),
        ("", 2, "no target"),
    ] {
        let output = nstrace(&["show", target]);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{target}: {stderr}");
        assert!(output.stdout.is_empty(), "{target}");
        assert!(stderr.lines().count() == 1 && stderr.contains(named), "{target}: {stderr}");
    }
}

#[test]
fn a_thread_that_differs_from_its_leader() {
    if !is_root() {
        return;
    }
    let script = "import ctypes, sys, threading; libc = ctypes.CDLL(None); \
                  run = lambda: (libc.unshare(0x04000000), print('ready', flush=True), \
                                 print(threading.get_native_id(), flush=True), sys.stdin.read()); \
                  threading.Thread(target=run).start()";
    let mut subject = Subject::start(&["python3", "-c", script]);
    let tid: u32 = subject.line().parse().expect("a number");
    let document = document(&["show", "-J", &tid.to_string()], "show");
    let task = &document["task"];
    assert_eq!((&task["pid"], &task["tid"]), (&json!(subject.pid()), &json!(tid)));
    assert_eq!(slot(task, "uts")["ns"]["inum"], inum(tid, "uts"));
    assert_ne!(slot(task, "uts")["ns"]["inum"], inum(subject.pid(), "uts"));
}

#[test]
fn an_interface_cannot_hide_by_its_name() {
    if !is_root() {
        return;
    }
    // The kernel takes any bytes but '/', ':' and spaces.
    let script = "import subprocess, sys; \
                  [subprocess.run([b'ip', b'link', b'add', n, b'type', b'bridge'], check=True) for n in (b'a\\xffb', b'\\x1b[31m')]; \
                  print('ready', flush=True); sys.stdin.read()";
    let subject = Subject::start(&["unshare", "-n", "python3", "-c", script]);
    let target = format!("/proc/{}/ns/net", subject.pid());
    let document = document(&["show", "-J", &target], "show");
    let links = document["namespace"]["inside"]["net"]["links"].as_array().expect("links");
    let names: Vec<&Value> = links.iter().map(|link| &link["name"]).filter(|name| *name != "lo").collect();
    assert!(names.contains(&&json!("a?b")) && names.contains(&&json!("\u{1b}[31m")), "{names:?}");
    let text = nstrace(&["show", "--color=never", &target]).stdout;
    assert!(!text.contains(&0x1b), "nothing of the name reaches a terminal");
}

#[test]
fn pid_and_inode_of_its_pidfd() {
    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("own pidfd");
    let inode = rustix::fs::fstat(&pidfd).expect("a file").st_ino;
    let number = pid.as_raw_nonzero().get();
    let document = document(&["show", "-J", &format!("{number}:{inode}")], "show");
    assert_eq!(document["task"]["pid"], number);
    let output = nstrace(&["show", &format!("{number}:{}", inode + 1)]);
    assert_eq!(output.status.code(), Some(3), "another process");
}

#[test]
fn an_nsproxy_is_shared_by_fork_and_threads_and_not_by_equality() {
    // The iterators have to be there: without them nobody can tell, and the document says null.
    if !is_root() || document(&["ls", "-J", "--members"], "ls")["complete"] != true {
        return;
    }
    // One more thread, one child that shares, and one that entered its own namespace again: that makes a new nsproxy.
    let script = "import ctypes, os, signal, sys, threading\n\
                  libc = ctypes.CDLL(None)\n\
                  assert libc.unshare(0x04000000) == 0\n\
                  libc.prctl(1, signal.SIGKILL)\n\
                  def wait(again):\n\
                  \x20   libc.prctl(1, signal.SIGKILL)\n\
                  \x20   if again:\n\
                  \x20       assert libc.setns(os.open('/proc/self/ns/uts', os.O_RDONLY), 0) == 0\n\
                  \x20   os.write(told, b'x')\n\
                  \x20   signal.pause()\n\
                  tell, told = os.pipe()\n\
                  children = []\n\
                  for again in (False, True):\n\
                  \x20   child = os.fork()\n\
                  \x20   if child == 0: wait(again)\n\
                  \x20   children.append(child)\n\
                  for child in children: os.read(tell, 1)\n\
                  threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()\n\
                  print('ready', flush=True)\n\
                  print(*children, flush=True)\n\
                  sys.stdin.read()";
    let mut subject = Subject::start(&["python3", "-c", script]);
    let children = subject.line();
    let (sharer, other) = children.split_once(' ').expect("two of them");
    let sharing = |pid: &str| document(&["show", "-J", pid], "show")["task"].clone();
    for pid in [subject.pid().to_string().as_str(), sharer] {
        let task = sharing(pid);
        assert_eq!(task["nsproxy"], json!({ "threads": 3, "processes": 2 }), "{pid}");
        assert_eq!(task["same_namespaces"], 3);
    }
    let task = sharing(other);
    assert_eq!((&task["nsproxy"], &task["same_namespaces"]), (&json!({ "threads": 1, "processes": 1 }), &json!(3)));
    let text = String::from_utf8(nstrace(&["show", sharer]).stdout).expect("UTF-8");
    assert!(text.contains("one nsproxy is shared by 3 threads of 2 processes"), "{text}");
}
