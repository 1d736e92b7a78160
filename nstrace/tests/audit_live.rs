//! The audit of real containers, made here without any engine: one with every layer passes, and each layer taken away
//! yields its finding and no other.

mod inspect_common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use inspect_common::{Subject, document, is_root, nstrace};
use serde_json::Value;

/// Makes a container of its child and waits: `python3 -c CONTAINER ROOTFS CGROUPS FAULT…`. Each argument that follows takes one layer
/// away; `NAME=PATH` uses that path. Everything is loaded before the root directory goes.
const CONTAINER: &str = r#"
import ctypes, os, platform, signal, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result, what):
    if result < 0: raise OSError(ctypes.get_errno(), what)
    return result
def mount(source, target, kind, flags, data=None):
    text = lambda s: None if s is None else s.encode()
    check(libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)), f"mount {target}")
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
rootfs, cgroups, faults = sys.argv[1], sys.argv[2], dict((f + "=").split("=")[:2] for f in sys.argv[3:])
kept = []
if "dirfd" in faults: kept.append(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
if "nsfd" in faults: kept.append(os.open("/proc/self/ns/net", os.O_RDONLY))
shared = None
if "shared" in faults:
    OPEN_TREE, CLONE = 428, 1
    shared = check(libc.syscall(OPEN_TREE, -100, faults["shared"].encode(), CLONE), "open_tree")
if "pid" not in faults: check(libc.unshare(NEWPID), "unshare")
wait, go = os.pipe()
child = os.fork()
if child:
    os.write(1, b"ready\n%d\n" % child)
    os.write(go, b"x")
    os.waitpid(child, 0)
    sys.exit(1)
libc.prctl(1, signal.SIGKILL)
os.read(wait, 1)
for cgroup in filter(None, cgroups.split(":")):
    with open(f"{cgroup}/cgroup.procs", "w") as procs: procs.write("0")
flags = 0
for name, flag in dict(mnt=NEWNS, net=NEWNET, ipc=NEWIPC, uts=NEWUTS, cgroup=NEWCGROUP).items():
    if name not in faults: flags |= flag
check(libc.unshare(flags), "unshare")
if "mnt" not in faults:
    mount(None, "/", None, REC | PRIVATE)
    mount("tmpfs", rootfs, "tmpfs", 0, "mode=755")
    make = lambda path, folder=True: os.mkdir(path) if folder else open(path, "w").close()
    def place(source, at):
        make(at, os.path.isdir(source))
        mount(source, at, None, BIND)
    for name in ("proc", "old", "empty"): make(f"{rootfs}/{name}")
    make(f"{rootfs}/null", False)
    mount("proc", f"{rootfs}/proc", "proc", 0)
    for path in ("acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"):
        path = f"{rootfs}/proc/{path}"
        if os.path.isdir(path): mount("tmpfs", path, "tmpfs", RDONLY)
        elif os.path.exists(path): mount(f"{rootfs}/null", path, None, BIND)
    for path in ("bus", "fs", "irq", "sys", "sysrq-trigger"):
        at = f"{rootfs}/proc/{path}"
        if os.path.exists(at) and not (path == "sys" and "procsys" in faults):
            mount(at, at, None, BIND)
            mount(None, at, None, BIND | REMOUNT | RDONLY)
    if "socket" in faults: place(faults["socket"], f"{rootfs}/engine")
    if "hostdir" in faults: place(faults["hostdir"], f"{rootfs}/hostdir")
    if shared is not None:
        make(f"{rootfs}/shared")
        MOVE_MOUNT, EMPTY_PATH = 429, 4
        check(libc.syscall(MOVE_MOUNT, shared, b"", -100, f"{rootfs}/shared".encode(), EMPTY_PATH), "move_mount")
        os.close(shared)
    os.chdir(rootfs)
    PIVOT_ROOT = 41 if platform.machine() == "aarch64" else 155
    check(libc.syscall(PIVOT_ROOT, b".", b"old"), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/old", 2), "umount")
if "caps" in faults: libc.prctl(8, 1)
if "root" in faults:
    # No privileges besides the uid: an empty set of version 3 (capset(2)).
    check(libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)), "capset")
else:
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
if "seccomp" not in faults:
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)
    code = ctypes.create_string_buffer(allow)
    program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(code))
    check(libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0), "seccomp")
os.write(1, b"set up\n")
sys.stdin.read()
"#;

/// Cgroups with limits, of version 1 and 2, whatever is there; they go away with it.
struct Limits(Vec<PathBuf>);

impl Limits {
    fn new(name: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let mut made = Vec::new();
        let mut make = |folder: PathBuf, settings: &[(&str, &str)]| {
            let cgroup = folder.join(name);
            if folder.join("cgroup.procs").exists() && fs::create_dir(&cgroup).is_ok() {
                for (file, value) in settings {
                    let _ = fs::write(cgroup.join(file), value);
                }
                made.push(cgroup);
            }
        };
        make(root.join("memory"), &[("memory.limit_in_bytes", "1G")]);
        make(root.join("pids"), &[("pids.max", "100")]);
        make(root.join("devices"), &[("devices.deny", "a"), ("devices.allow", "c 1:3 rwm")]);
        make(root.to_owned(), &[("memory.max", "1G"), ("pids.max", "100")]);
        Self(made)
    }

    fn has(&self, file: &str) -> bool {
        self.0.iter().any(|cgroup| cgroup.join(file).exists())
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for cgroup in &self.0 {
            // A dying process leaves its cgroup a moment later than it is reaped.
            for _ in 0..100_000 {
                if fs::remove_dir(cgroup).is_ok() {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}

/// A tmpfs of the host in a peer group.
struct SharedMount(PathBuf);

impl SharedMount {
    fn new(at: PathBuf) -> Self {
        fs::create_dir(&at).expect("a folder");
        let path = at.to_str().expect("text");
        for args in [&["-t", "tmpfs", "none", path][..], &["--make-shared", path]] {
            assert!(Command::new("mount").args(args).status().expect("mount runs").success());
        }
        Self(at)
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

struct Container {
    pid: u32,
    _subject: Subject,
    limits: Limits,
}

impl Container {
    /// `cgroup`: a name for its cgroups.
    fn start(cgroup: &str, rootfs: &Path, faults: &[&str]) -> Self {
        let limits = Limits::new(cgroup);
        let joined = limits.0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
        let mut program = vec!["python3", "-c", CONTAINER, rootfs.to_str().expect("text"), &joined];
        program.extend(faults);
        let mut subject = Subject::start(&program);
        let pid = subject.line().parse().unwrap_or_else(|_| panic!("{faults:?}: no container was made"));
        assert_eq!(subject.line(), "set up", "{faults:?}");
        Self { pid, _subject: subject, limits }
    }

    /// Checks with a finding worse than `info`, and the reasons of all for messages.
    fn findings(&self) -> (Vec<(String, String)>, String) {
        let document = document(&["audit", "-J", &self.pid.to_string()], "audit");
        let findings = document["findings"].as_array().expect("a list").clone();
        let word = |finding: &Value, key: &str| finding[key].as_str().expect("text").to_owned();
        let bad = findings.iter().filter(|finding| finding["severity"] != "info");
        let mut bad: Vec<_> = bad.map(|finding| (word(finding, "check"), word(finding, "severity"))).collect();
        bad.sort();
        let told = findings.iter().map(|f| format!("{}: {}", word(f, "check"), word(f, "explain")));
        (bad, told.collect::<Vec<_>>().join("\n"))
    }
}

#[test]
fn every_layer_taken_away_is_its_finding() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    // Whoever is in the container may walk through.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let rootfs = dir.path().join("rootfs");
    fs::create_dir(&rootfs).expect("a folder");
    let socket = dir.path().join("c");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let shared = SharedMount::new(dir.path().join("shared"));
    let (socket, shared) = (format!("socket={}", socket.display()), format!("shared={}", shared.0.display()));
    let plain = format!("nst-audit-{}", std::process::id());
    let named = format!("docker-{:064x}.scope", std::process::id());
    type Case<'c> = (&'c [&'c str], &'c [(&'c str, &'c str)]);
    let cases: [Case<'_>; 17] = [
        (&[], &[]),
        (&["pid"], &[("host-pid", "high")]),
        (&["net"], &[("host-net", "medium")]),
        (&["ipc"], &[("host-ipc", "medium")]),
        (&["uts"], &[("host-uts", "low")]),
        (&["cgroup"], &[("host-cgroup", "low")]),
        (&["mnt"], &[("host-mnt", "critical")]),
        (&["caps"], &[("privileged", "critical")]),
        (&["root"], &[("host-user", "low"), ("root", "low")]),
        (&["seccomp"], &[("seccomp", "medium")]),
        (&["procsys"], &[("proc-writable", "low")]),
        (&[&shared], &[("propagation", "medium")]),
        (&[&socket], &[("control-socket", "high")]),
        (&["hostdir=/etc"], &[("host-directory", "high")]),
        (&["dirfd"], &[("host-directory-descriptor", "critical")]),
        (&["nsfd"], &[("host-namespace-descriptor", "high")]),
        (&["pid", "net", "seccomp"], &[("host-net", "medium"), ("host-pid", "high"), ("seccomp", "medium")]),
    ];
    for (faults, expected) in cases {
        // In the host's mount namespace only its cgroup tells that it is a container.
        let container = Container::start(if faults == ["mnt"] { &named } else { &plain }, &rootfs, faults);
        let (found, told) = container.findings();
        let mut expected: Vec<(String, String)> =
            expected.iter().map(|(id, severity)| (format!("NST-021.{id}"), (*severity).to_owned())).collect();
        // Where this machine has no such controller, nothing can be limited.
        for (id, files) in [("memory", ["memory.max", "memory.limit_in_bytes"]), ("pids", ["pids.max", "pids.max"])] {
            if !files.iter().any(|file| container.limits.has(file)) {
                expected.push((format!("NST-021.{id}-limit"), "low".to_owned()));
            }
        }
        // Nor are devices filtered by the cgroup made here where that takes a BPF program.
        if faults.contains(&"caps") && !container.limits.has("devices.list") {
            expected.push(("NST-021.device-rules".to_owned(), "high".to_owned()));
        }
        expected.sort();
        assert_eq!(found, expected, "{faults:?}\n{told}");
    }
}

#[test]
fn chosen_formats_and_exit_codes() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let rootfs = dir.path().join("rootfs");
    fs::create_dir(&rootfs).expect("a folder");
    let container = Container::start(&format!("nst-chosen-{}", std::process::id()), &rootfs, &["net"]);
    let pid = container.pid.to_string();
    let mnt = inspect_common::inum(container.pid, "mnt");
    let by_namespace = document(&["audit", "-J", &format!("mnt:[{mnt}]")], "audit");
    let found = by_namespace["containers"].as_array().expect("a list");
    assert_eq!((found.len(), &found[0]["init"]["pid"]), (1, &Value::from(container.pid)));
    assert_eq!(found[0]["container"], Value::Null, "no engine and no cgroup names it");
    let cells = found[0]["namespaces"].as_array().expect("eight");
    let cell = |name: &str| cells.iter().find(|cell| cell["type"] == name).expect("there");
    assert_eq!((&cell("net")["host"], &cell("mnt")["host"]), (&Value::from(true), &Value::from(false)));
    assert_eq!(cell("mnt")["ns"]["inum"], mnt);
    for (args, code) in [
        (&["audit", &pid, "--fail-on", "medium"][..], 5),
        (&["audit", &pid, "--format", "sarif", "--fail-on", "info"], 5),
        (&["audit", "--container", "no-such-container"], 3),
        (&["audit", "2"], 3),
        (&["audit", "net:[1]"], 3),
        (&["audit", "--fail-on", "terrible"], 2),
        (&["audit", "-J", "--format", "html"], 2),
    ] {
        let output = nstrace(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert_eq!(output.stdout.is_empty(), code != 5, "{args:?}");
        assert!(stderr.lines().count() <= 2 && !stderr.contains("panicked"), "{args:?}: {stderr}");
    }
    let high = nstrace(&["audit", &pid, "--fail-on", "critical"]);
    assert!(matches!(high.status.code(), Some(0 | 4)), "nothing is that bad");
    let page = nstrace(&["audit", &pid, "--format", "html"]).stdout;
    let page = scraper::Html::parse_document(&String::from_utf8(page).expect("UTF-8"));
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    let sarif = nstrace(&["audit", &pid, "--format", "sarif"]).stdout;
    let log: serde_sarif::sarif::Sarif = serde_json::from_slice(&sarif).expect("SARIF");
    assert!(log.runs[0].results.as_ref().is_some_and(|results| !results.is_empty()));
}

#[test]
fn without_privileges_it_says_what_it_does_not_know() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let rootfs = dir.path().join("rootfs");
    fs::create_dir(&rootfs).expect("a folder");
    // Only its cgroup, which everybody may read, tells that it is a container.
    let id = format!("{:064x}", u64::from(std::process::id()) << 16);
    let _container = Container::start(&format!("docker-{id}.scope"), &rootfs, &[]);
    // A copy that anybody may execute.
    let copy = dir.path().join("nstrace");
    fs::copy(env!("CARGO_BIN_EXE_nstrace"), &copy).expect("copied");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["audit", "-J", "--container", &id])
        .stdin(Stdio::null())
        .output()
        .expect("setpriv runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let verdicts = value["containers"][0]["verdicts"].as_array().expect("judged");
    let verdict = |id: &str| {
        let row = verdicts.iter().find(|row| row["id"] == id).expect("judged");
        row["verdict"].as_str().expect("a word").to_owned()
    };
    let closed = [
        "host-mnt",
        "host-net",
        "privileged",
        "control-socket",
        "devices",
        "host-directory-descriptor",
        "host-namespace-descriptor",
    ];
    for id in closed {
        assert_eq!(verdict(&format!("NST-021.{id}")), "unknown", "{id}");
    }
    assert_eq!(verdict("NST-021.seccomp"), "pass", "status is for everybody");
    assert_eq!(value["complete"], false);
}
