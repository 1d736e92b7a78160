//! Engines made up: a thread that answers on a socket, folders with state files.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    path::PathBuf,
    thread::JoinHandle,
};

use tempfile::TempDir;

use super::*;
use crate::{discover::Proc, inspect::status::Status};

const ID: &str = "3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a3f2a";
const INNER: &str = "abababababababababababababababababababababababababababababababab";

struct Fake {
    dir: TempDir,
}

impl Fake {
    fn new() -> Self {
        Self { dir: TempDir::new().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("folders");
        path
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn places(&self) -> Places {
        let at = |name: &str| self.dir.path().join(name);
        Places {
            proc: Proc::at(at("proc")),
            cgroup: at("cgroup"),
            etc: at("etc"),
            run: at("run"),
            var_lib: at("var/lib"),
            docker_host: None,
            container_host: None,
        }
    }

    /// Answers one request; gives the request line back.
    fn answer(&self, socket: &str, answer: String) -> JoinHandle<String> {
        let listener = UnixListener::bind(self.path(socket)).expect("a socket");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let n = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("a client that reads");
            String::from_utf8_lossy(&request[..n]).lines().next().unwrap_or_default().to_owned()
        })
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}")
}

fn process(pid: u32, uid: u32, cgroup: &str) -> Process {
    let status = Status { pid, tgid: pid, pids: vec![pid], uid: [uid; 4], ..Status::default() };
    Process { status, slots: crate::event::SlotSet::default(), denied: false, cgroup: Some(cgroup.into()), start: 1 }
}

fn table(processes: Vec<Process>) -> ProcessTable {
    ProcessTable::of(processes)
}

fn bare(id: &str) -> Container {
    Container { runtime: "docker", id: id.to_owned(), pod: None }
}

#[test]
fn docker_and_podman_answer() {
    let fake = Fake::new();
    let docker = fake.answer("run/docker.sock", ok(&format!(r#"[{{"Id":"{ID}","Names":["/web"],"Image":"nginx"}}]"#)));
    let podman = fake.answer("run/podman/podman.sock", ok(r#"[{"Id":"cd34","Names":["db"],"Image":"pg","Pid":7}]"#));
    let engines = Engines::read(&fake.places(), &ProcessTable::default());
    assert!(docker.join().expect("asked").starts_with("GET /containers/json HTTP/1.0"));
    assert!(podman.join().expect("asked").starts_with("GET /v4.0.0/libpod/containers/json"));
    assert_eq!(engines.name(bare(ID)).name.as_deref(), Some("web"));
    assert_eq!(engines.name(bare(&ID[..12])).image.as_deref(), Some("nginx"), "a cut id is completed");
    assert_eq!(engines.name(bare("cd34")).pid, Some(7));
    assert_eq!(engines.name(bare("ef")).name, None);
    assert!(engines.missing().is_empty());
}

#[test]
fn nobody_there_is_no_error_and_silence_is_waited_for_only_so_long() {
    let fake = Fake::new();
    assert_eq!(Engines::read(&fake.places(), &ProcessTable::default()).iter().count(), 0);
    // It takes connections and never says a word.
    let _listener = UnixListener::bind(fake.path("run/docker.sock")).expect("a socket");
    let start = Instant::now();
    let engines = Engines::read(&fake.places(), &ProcessTable::default());
    assert!(start.elapsed() < PATIENCE * 4, "{:?}", start.elapsed());
    assert_eq!(engines.missing().len(), 1);
    assert!(engines.missing()[0].contains("docker.sock"), "{:?}", engines.missing());
}

#[test]
fn a_users_engine_speaks_only_of_its_own() {
    let fake = Fake::new();
    let list = format!(r#"[{{"Id":"{ID}","Names":["stolen"],"Pid":1}},{{"Id":"{INNER}","Names":["mine"],"Pid":20}}]"#);
    let server = fake.answer("run/user/1000/podman/podman.sock", ok(&list));
    let table = table(vec![
        process(10, 0, &format!("/system.slice/docker-{ID}.scope")),
        process(20, 101_000, &format!("/user.slice/user-1000.slice/user@1000.service/libpod-{INNER}.scope")),
    ]);
    let engines = Engines::read(&fake.places(), &table);
    server.join().expect("asked");
    assert_eq!(engines.name(bare(ID)).name, None);
    let mine = engines.name(bare(INNER));
    assert_eq!((mine.name.as_deref(), mine.pid), (Some("mine"), Some(20)));
}

#[test]
fn an_engine_inside_a_container_names_what_is_inside() {
    let fake = Fake::new();
    let list = format!(r#"[{{"Id":"{INNER}","Names":["/inner"]}},{{"Id":"{ID}","Names":["/outer"]}}]"#);
    let server = fake.answer("proc/10/root/run/docker.sock", ok(&list));
    let mut daemon = process(10, 0, &format!("/docker/{ID}"));
    daemon.status.name = "dockerd".to_owned();
    let table = table(vec![daemon, process(20, 0, &format!("/docker/{ID}/docker/{INNER}"))]);
    let engines = Engines::read(&fake.places(), &table);
    server.join().expect("asked");
    assert_eq!(engines.name(bare(INNER)).name.as_deref(), Some("inner"));
    assert_eq!(engines.name(bare(ID)).name, None, "not of itself");
}

#[test]
fn a_link_in_a_container_leads_nowhere_outside() {
    let fake = Fake::new();
    let listener = UnixListener::bind(fake.path("host.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a listener");
    let target = fake.path("host.sock");
    std::os::unix::fs::symlink(target, fake.path("proc/10/root/run/docker.sock")).expect("a link");
    let mut daemon = process(10, 0, &format!("/docker/{ID}"));
    daemon.status.name = "dockerd".to_owned();
    let _ = Engines::read(&fake.places(), &table(vec![daemon]));
    assert!(listener.accept().is_err(), "nobody connected to the host's socket");
}

#[test]
fn state_files_tell_without_a_daemon() {
    let fake = Fake::new();
    fake.file(
        &format!("var/lib/docker/containers/{ID}/config.v2.json"),
        &format!(r#"{{"ID":"{ID}","Name":"/web","Config":{{"Image":"nginx"}},"State":{{"Running":true,"Pid":42}}}}"#),
    );
    fake.file(
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/c1/config.json",
        r#"{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.image-name":"app:1",
            "io.kubernetes.cri.sandbox-name":"pod-1","io.kubernetes.cri.sandbox-namespace":"prod"}}"#,
    );
    fake.file("run/containerd/io.containerd.runtime.v2.task/k8s.io/c1/init.pid", "77");
    fake.file(
        "var/lib/containers/storage/overlay-containers/containers.json",
        r#"[{"id":"p1","names":["db"],"metadata":"{\"image-name\":\"postgres\",\"name\":\"db\"}"},
            {"id":"k1","names":["k8s_x"],"metadata":"{\"pod-name\":\"pod-2\",\"image-name\":\"x:2\"}"}]"#,
    );
    // Rootless podman of a user.
    let home = fake.path("home/alice/x");
    let home = home.parent().expect("the home").to_str().expect("text");
    fake.file("etc/passwd", &format!("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::{home}:/bin/sh\n"));
    fake.file(
        "home/alice/.local/share/containers/storage/overlay-containers/containers.json",
        r#"[{"id":"u1","names":["mine"],"metadata":"{}"},{"id":"c1","names":["stolen"],"metadata":"{}"}]"#,
    );
    fake.file("run/runc/r1/state.json", r#"{"init_process_pid":55,"config":{"labels":[]}}"#);
    fake.file("run/systemd/machines/deb", "NAME=deb\nCLASS=container\nLEADER=99\nROOT=/var/lib/machines/deb\n");
    fake.file("run/systemd/machines/vm", "NAME=vm\nCLASS=vm\nLEADER=98\n");
    fake.file("var/lib/lxc/box/config", "lxc.rootfs.path = dir:/srv/box\n");
    let engines = Engines::read(&fake.places(), &ProcessTable::default());
    let of = |id: &str| engines.name(bare(id));
    assert_eq!((of(ID).name.as_deref(), of(ID).pid), (Some("web"), Some(42)));
    assert_eq!((of("c1").name.as_deref(), of("c1").pod.as_deref()), (Some("app"), Some("pod-1")));
    assert_eq!((of("c1").pod_namespace.as_deref(), of("c1").pid), (Some("prod"), Some(77)));
    assert_eq!((of("p1").name.as_deref(), of("p1").image.as_deref()), (Some("db"), Some("postgres")));
    assert_eq!(of("k1").pod.as_deref(), Some("pod-2"));
    assert_eq!((of("r1").name.as_deref(), of("r1").pid), (Some("r1"), Some(55)));
    assert_eq!((of("deb").pid, of("deb").image.as_deref()), (Some(99), Some("/var/lib/machines/deb")));
    assert_eq!((of("u1").name.as_deref(), of("u1").runtime.as_str()), (Some("mine"), "docker"));
    assert_eq!(of("vm").name, None);
    assert_eq!(of("box").image.as_deref(), Some("dir:/srv/box"));
    assert!(engines.missing().is_empty());
}
