//! Namespaces that this process keeps alive in odd ways: `nstrace ls` has to list each, name the right kind of holder, and
//! explain every reference.
//!
//! Needs root and a kernel that allows BPF iterators; says so and passes otherwise.

use std::{
    fs,
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socket,
        socketpair,
    },
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};
use serde_json::Value;

/// Most times that a census is taken again while something is unexplained.
const PATIENCE: usize = 100;

/// `unshare` in this thread only.
fn leave(flags: UnshareFlags) {
    // SAFETY: no flag used here (no CLONE_FILES but in a thread that shares nothing by number) breaks other threads.
    unsafe { unshare_unsafe(flags) }.expect("root may unshare");
}

/// A child in new namespaces; `sleep` for ever.
fn child(flags: UnshareFlags) -> Child {
    let mut command = Command::new("sleep");
    command.arg("infinity");
    // SAFETY: between fork and exec there is one thread, and unshare allocates nothing.
    unsafe {
        command.pre_exec(move || Ok(unshare_unsafe(flags)?));
    }
    command.spawn().expect("sleep is installed")
}

fn open_ns(path: &str, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("the namespace is there")
}

fn inode(fd: impl AsFd) -> u64 {
    rustix::fs::fstat(fd).expect("an open file").st_ino
}

/// A namespace whose only holder is the returned descriptor.
fn orphan(flags: UnshareFlags, name: &str) -> OwnedFd {
    let mut maker = child(flags);
    let fd = open_ns(&format!("/proc/{}/ns/{name}", maker.id()), OFlags::RDONLY);
    end(&mut maker);
    fd
}

fn end(child: &mut Child) {
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

/// What `ls -J` says; None where the kernel's lists cannot be read here.
fn census() -> Option<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace")).args(["ls", "-J"]).output().expect("nstrace runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 4)), "{errors}");
    if errors.contains("lists cannot be read") {
        eprintln!("skipped: {errors}");
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("a JSON document"))
}

fn why(inum: u64) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace"))
        .args(["why", "-J", &inum.to_string()])
        .output()
        .expect("nstrace runs");
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

fn assert_valid(definition: &str, document: &Value) {
    let mut schema: Value = serde_json::from_str(nstrace::view::schema::TEXT).expect("the schema is JSON");
    let object = schema.as_object_mut().expect("the schema is an object");
    object.remove("anyOf").expect("the root offers alternatives");
    object.insert("$ref".to_owned(), serde_json::json!(format!("#/$defs/{definition}")));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12");
    let errors: Vec<String> = validator.iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// Runs `work` in a thread that then waits until the returned sender is dropped.
fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (T, mpsc::Sender<()>) {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    thread::spawn(move || {
        tell.send(work()).expect("the test waits");
        let _ = stopped.recv();
    });
    (told.recv().expect("the thread works"), stop)
}

fn own_link(name: &str) -> u64 {
    fs::metadata(format!("/proc/thread-self/ns/{name}")).expect("own namespace").ino()
}

#[test]
fn every_odd_holder_is_found_and_named() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let mut expected: Vec<(&str, u64, &str)> = Vec::new();

    let by_fd = orphan(UnshareFlags::NEWUTS, "uts");
    expected.push(("an fd", inode(&by_fd), "fd"));

    let opened = orphan(UnshareFlags::NEWIPC, "ipc");
    let by_path = open_ns(&format!("/proc/self/fd/{}", opened.as_raw_fd()), OFlags::PATH);
    drop(opened);
    expected.push(("an O_PATH fd", inode(&by_path), "fd"));

    let (near, _far) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("sockets");
    let sent = orphan(UnshareFlags::NEWNET, "net");
    expected.push(("a file in flight", inode(&sent), "inflight"));
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [sent.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(&near, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("the queue has room");
    drop(sent);

    let ((by_socket, net), _socket_thread) = in_thread(|| {
        let home = open_ns("/proc/thread-self/ns/net", OFlags::RDONLY);
        leave(UnshareFlags::NEWNET);
        let inum = own_link("net");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network)).expect("back home");
        (socket, inum)
    });
    expected.push(("a socket", net, "socket"));

    let (uts, _member) = in_thread(|| {
        leave(UnshareFlags::NEWUTS);
        own_link("uts")
    });
    expected.push(("a thread", uts, "thread"));

    let (time, _pending) = in_thread(|| {
        leave(UnshareFlags::NEWTIME);
        own_link("time_for_children")
    });
    expected.push(("a thread's future children", time, "pending"));

    let (private, _private_table) = in_thread(|| {
        leave(UnshareFlags::FILES);
        let fd = orphan(UnshareFlags::NEWCGROUP, "cgroup");
        let inum = inode(&fd);
        // Stays in this thread's table until the thread ends.
        std::mem::forget(fd);
        inum
    });
    expected.push(("an fd in a private table", private, "fd"));

    let mut owner = child(UnshareFlags::NEWUSER | UnshareFlags::NEWUTS);
    let user = fs::metadata(format!("/proc/{}/ns/user", owner.id())).expect("a child").ino();
    let owned = open_ns(&format!("/proc/{}/ns/uts", owner.id()), OFlags::RDONLY);
    end(&mut owner);
    expected.push(("what it owns", user, "owned"));
    expected.push(("the owned one", inode(&owned), "fd"));

    let mut dead = child(UnshareFlags::NEWUSER);
    let zombie = fs::metadata(format!("/proc/{}/ns/user", dead.id())).expect("a child").ino();
    dead.kill().expect("it is ours");
    // waitid(2) with WNOWAIT: dead, and left a zombie.
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    let pid = rustix::process::Pid::from_child(&dead);
    rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).expect("it is ours");
    expected.push(("a zombie", zombie, "zombie"));

    let mut document = census();
    // What a dead process held is given back a grace period of RCU after its end.
    let settled = |document: &Value| {
        let rows = document["namespaces"].as_array().expect("a list");
        expected.iter().all(|(_, inum, _)| rows.iter().any(|row| row["ns"] == *inum && row["unexplained"] == 0))
    };
    for _ in 0..PATIENCE {
        if document.as_ref().is_none_or(settled) {
            break;
        }
        document = census();
    }
    let owner_document = why(user);
    dead.wait().expect("it is ours");
    let Some(document) = document else { return };
    assert_valid("ls", &document);
    let rows = document["namespaces"].as_array().expect("a list");
    for (what, inum, kind) in &expected {
        let row = rows.iter().find(|row| row["ns"] == *inum);
        let row = row.unwrap_or_else(|| panic!("{what}: {inum} is not listed"));
        assert_eq!(row["kept_by"], serde_json::json!([kind]), "{what}: {row}");
        assert_eq!(row["unexplained"], 0, "{what}: {row}");
    }

    let own = std::process::id();
    let document = why(inode(&by_fd));
    // The thread with a file table of its own has copies of what was open before.
    let holders = document["holders"].as_array().expect("a list");
    let mine = holders.iter().find(|holder| holder["tid"] == own).expect("the leader's descriptor");
    assert_eq!((&mine["kind"], &mine["pid"], &mine["fd"]), (&"fd".into(), &own.into(), &by_fd.as_raw_fd().into()));
    assert!(holders.iter().all(|holder| holder["kind"] == "fd" && holder["pid"] == own), "{document}");
    assert_eq!((&document["refs"], &document["unexplained"]), (&1.into(), &0.into()));
    assert_eq!(document["teardown"]["exit"], serde_json::json!([]));
    assert_eq!(document["teardown"]["close"][0]["fd"], by_fd.as_raw_fd());
    assert_valid("why", &document);
    assert_eq!(owner_document["holders"][0]["ns"]["inum"], inode(&owned));
    assert_valid("why", &owner_document);
    drop(by_socket);
}

#[test]
fn what_is_not_there_is_exit_3() {
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace")).args(["why", "net:[1]"]).output().expect("nstrace runs");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    let output = Command::new(env!("CARGO_BIN_EXE_nstrace")).args(["why", "nat:[1]"]).output().expect("nstrace runs");
    assert_eq!(output.status.code(), Some(2));
}
