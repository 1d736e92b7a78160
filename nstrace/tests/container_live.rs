//! Containers as engines make them: namespaces, a cgroup with their id, and an engine that answers on a socket.

mod inspect_common;

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::Command,
};

use inspect_common::{Subject, document, inum, is_root, validator};
use serde_json::{Value, json};

/// A cgroup with a process in it; both go away with it.
struct Container {
    id: String,
    cgroup: PathBuf,
    subject: Option<Subject>,
}

impl Container {
    /// None: there is no cgroup2 that takes processes here.
    fn start(number: u8, unshare: &[&str]) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let root = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        let id = format!("{number:02x}{:08x}", std::process::id()).repeat(7)[..64].to_owned();
        let cgroup = PathBuf::from(root).join(format!("docker-{id}.scope"));
        std::fs::create_dir(&cgroup).ok()?;
        // The shell goes in and only then becomes the container.
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.display());
        let mut program = vec!["sh", "-c", &script, "sh"];
        program.extend(unshare);
        program.extend(["sh", "-c", "echo ready; read x"]);
        let subject = Some(Subject::start(&program));
        Some(Self { id, cgroup, subject })
    }

    fn subject(&self) -> &Subject {
        self.subject.as_ref().expect("it runs")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.subject = None;
        let kill = self.cgroup.join("cgroup.kill");
        let _ = std::fs::write(kill, "1");
        // A dying process leaves its cgroup a moment later than it is reaped.
        for _ in 0..1000 {
            if std::fs::remove_dir(&self.cgroup).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Runs nstrace beside an engine that knows `list`, and gives the document.
fn with_engine(list: &Value, args: &[&str], definition: &str) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let body = list.to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("nstrace asks");
        let _ = stream.read(&mut [0; 1024]).expect("a request");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("nstrace reads");
    });
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace"))
        .args(args)
        .env("DOCKER_HOST", format!("unix://{}", path.display()))
        .output()
        .expect("nstrace runs");
    server.join().expect("it was asked");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{args:?}: {stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let validator = validator(definition);
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{args:?}\n{}", errors.join("\n"));
    value
}

#[test]
fn by_name_with_all_its_processes() {
    if !is_root() {
        return;
    }
    let Some(container) = Container::start(1, &["unshare", "-npf", "--mount-proc"]) else { return };
    let init = container.subject().child_pid();
    let list = json!([{"Id": container.id, "Names": ["/test-web"], "Image": "img:1", "State": "running"}]);
    for name in ["test-web", &container.id, &container.id[..20]] {
        let shown = with_engine(&list, &["show", "-J", name], "show");
        assert_eq!(shown["kind"], "container", "{name}");
        let found = &shown["container"];
        assert_eq!(
            (&found["name"], &found["image"], &found["id"]),
            (&json!("test-web"), &json!("img:1"), &json!(container.id))
        );
        let pids: Vec<&Value> = found["processes"].as_array().expect("list").iter().map(|p| &p["pid"]).collect();
        assert_eq!(pids, [&json!(container.subject().pid()), &json!(init)]);
        assert_eq!(shown["task"]["pid"], init, "its process 1");
        assert_eq!(shown["task"]["containers"][0]["name"], "test-web");
    }
    let alone = document(&["show", "-J", &container.id[..20]], "show");
    assert_eq!((&alone["container"]["id"], &alone["container"]["name"]), (&json!(container.id), &Value::Null));
    // Cgroups are told by the iterators; where there are none, ls knows of no container and asks nobody.
    if document(&["ls", "-J", "--members"], "ls")["complete"] == true {
        let listed = with_engine(&list, &["ls", "-J", "--container", "test-web"], "ls");
        let rows = listed["namespaces"].as_array().expect("rows");
        let found: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["type"], &row["container"]["image"])).collect();
        let image = json!("img:1");
        // Mount and network namespace of the shell, pid namespace of its child; the others are the host's.
        assert_eq!(found, [(&json!("mnt"), &image), (&json!("pid"), &image), (&json!("net"), &image)]);
        assert_eq!(rows[1]["pid"], init);
    }
    let back = with_engine(&list, &["map", "pid", "-J", "1@test-web"], "map_pid_one");
    assert_eq!((&back["pid"], &back["container"]["name"]), (&json!(init), &json!("test-web")));
}

#[test]
fn network_modes() {
    if !is_root() {
        return;
    }
    let Some(none) = Container::start(2, &["unshare", "-n"]) else { return };
    let Some(host) = Container::start(3, &["env"]) else { return };
    let net = format!("--net=/proc/{}/ns/net", none.subject().pid());
    let Some(joined) = Container::start(4, &["nsenter", &net]) else { return };
    let Some(bridge) = Container::start(5, &["unshare", "-n"]) else { return };
    let name = format!("nst{}", std::process::id());
    let pid = bridge.subject().pid().to_string();
    let ip = ["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &pid];
    assert!(Command::new("ip").args(ip).status().expect("ip runs").success());
    let list = json!([{"Id": none.id, "Names": ["/test-none"]}]);
    let map = with_engine(&list, &["map", "net", "-J"], "map_net");
    let mode = |container: &Container| {
        let namespaces = map["namespaces"].as_array().expect("namespaces").iter();
        let row =
            namespaces.flat_map(|row| row["containers"].as_array().expect("list")).find(|c| c["id"] == container.id);
        row.expect("it is there")["mode"].as_str().expect("a word").to_owned()
    };
    assert_eq!(mode(&none), "none");
    assert_eq!(mode(&host), "host");
    assert_eq!(mode(&joined), "container:test-none");
    assert_eq!(mode(&bridge), "bridge");
    assert_ne!(inum(none.subject().pid(), "net"), inum(bridge.subject().pid(), "net"));
}
