//! The census against `actor keep`: every namespace that is held in an odd way is listed, with the kinds of all its holders,
//! and every reference to it is explained; or the tool says that this kernel does not tell.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use nstrace_tests::{
    held::{Held, Line},
    kinds::kind,
    nsfs,
    program::{self, Output, note, patience, settle},
};
use serde_json::Value;

/// Namespaces that live as long as this does.
struct Kept {
    actor: Child,
    life: Option<ChildStdin>,
    held: Vec<Held>,
}

impl Kept {
    fn new() -> Self {
        let mut actor = Command::new(program::actor())
            .arg("keep")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor was built");
        let life = actor.stdin.take();
        let mut held = Vec::new();
        for line in BufReader::new(actor.stdout.take().expect("piped")).lines() {
            match serde_json::from_str(&line.expect("text")).expect("a line of `actor keep`") {
                Line::Held(one) => held.push(one),
                Line::Skipped { name, why } => note(&format!("not held: {name}: {why}")),
                Line::Ready => break,
            }
        }
        assert!(held.len() > 100, "only {} namespaces are held", held.len());
        Self { actor, life, held }
    }

    /// Ends it; everything has to have worked.
    fn end(mut self) {
        drop(self.life.take());
        let status = self.actor.wait().expect("the actor is ours");
        assert!(status.success(), "the actor failed: see its words above");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.life.take());
        let _ = self.actor.wait();
    }
}

fn nstrace(args: &[&str]) -> (Output, Value) {
    let output = program::run(Command::new(program::nstrace()).args(args), patience()).expect("nstrace runs");
    let document =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"));
    (output, document)
}

fn kinds(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|kind| kind.as_str().expect("a word").to_owned()).collect()
}

/// (major, minor) of this kernel.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What this kernel cannot tell of: nobody is named, and one reference is left.
fn untold(name: &str) -> bool {
    // `iter/task_vma` came with 5.12.
    let mapped = ["shared memory", "credentials of a mapped file"];
    kernel() < (5, 12) && mapped.iter().any(|mapped| name.starts_with(mapped))
}

/// References that this kernel takes and no source tells of, beside holders that are found.
fn rest(name: &str) -> u32 {
    // From 5.17 to 6.1 each mount holds a user namespace: also the two of an overlay's own that no mount tree has.
    if name == "overlay" && ((5, 17)..(6, 2)).contains(&kernel()) {
        return 2;
    }
    u32::from(untold(name))
}

/// One fixture, one CPU, and counts that change when tasks come and go: one test after the other.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn every_holder_is_found_and_named() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !program::live() {
        return;
    }
    let kept = Kept::new();
    // The kernel frees what ended while the fixture was made within a while.
    let deadline = Instant::now() + settle();
    let mut wrong = differences(&kept.held);
    while !wrong.is_empty() && Instant::now() < deadline {
        wrong = differences(&kept.held);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), kept.held.len(), wrong.join("\n"));
    note(&format!("{} namespaces held, all found and their holders named", kept.held.len()));
    for Held { name, ns_type, ns, .. } in kept.held.iter().filter(|_| kernel() == (6, 18)) {
        assert_ne!(nsfs::lives(kind(ns_type), *ns), Some(false), "{name}: the kernel says that it is gone");
    }
    one_by_one(&kept.held);
    kept.end();
}

/// Where one run of `ls` and the fixture do not agree.
fn differences(held: &[Held]) -> Vec<String> {
    let (output, document) = nstrace(&["ls", "-J"]);
    // Before 6.18 the kernel has no lists of all its namespaces.
    let complete = kernel() >= (6, 18);
    assert_eq!(document["complete"], complete, "{}", document["missing"]);
    assert_eq!(output.status.code(), Some(if complete { 0 } else { 4 }), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), usize::from(!complete), "{}", output.stderr);
    let rows = document["namespaces"].as_array().expect("a list");
    let mut wrong = Vec::new();
    for Held { name, ns_type, ns, kinds: wanted, .. } in held {
        let untold = untold(name);
        let Some(row) = rows.iter().find(|row| row["ns"] == ns.inum && row["type"] == **ns_type) else {
            if !untold {
                wrong.push(format!("{name} ({ns_type}): not listed"));
            }
            continue;
        };
        let found = kinds(&row["kept_by"]);
        let wanted = if untold { BTreeSet::new() } else { wanted.iter().cloned().collect() };
        let rest = rest(name);
        if found != wanted || row["unexplained"] != rest {
            wrong.push(format!(
                "{name} ({ns_type}): held by {wanted:?} with {rest} unexplained, not by {found:?} with {} of {}",
                row["unexplained"], row["refs"]
            ));
        }
    }
    wrong
}

/// `why` says of one namespace what `ls` says of all: asked once for each set of kinds.
fn one_by_one(held: &[Held]) {
    let mut asked = BTreeSet::new();
    for Held { name, ns_type, ns, kinds: wanted, .. } in held.iter().filter(|held| rest(&held.name) == 0) {
        // An emulated CPU takes seconds for each, and `ls` has told the same already.
        if program::in_guest() && asked.len() >= 4 || !asked.insert(wanted) {
            continue;
        }
        let (output, document) = nstrace(&["why", "-J", &format!("{ns_type}:[{}]", ns.inum)]);
        let holders = document["holders"].as_array().expect("a list");
        let found: BTreeSet<&str> = holders.iter().filter_map(|holder| holder["kind"].as_str()).collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        assert_eq!(found, wanted, "{name}: {document}");
        assert_eq!(document["unexplained"], 0, "{name}: {document}");
        // The devices of a namespace that is held without any file cannot always be asked for; its holders are all named.
        let whole = output.status.code() == Some(0) || output.stderr.contains("not seen: the network devices of");
        assert!(whole, "{name}: every reference is explained: {}", output.stderr);
    }
    note(&format!("asked why {} times", asked.len()));
}

#[test]
fn whoever_may_not_see_everything_is_told_so() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !program::live() {
        return;
    }
    let nobody = 65534;
    // Where others may not go, a copy.
    let copy = std::env::temp_dir().join(format!("nstrace-unprivileged-{}", std::process::id()));
    std::fs::copy(program::nstrace(), &copy).expect("the temporary folder is writable");
    for args in [&["ls", "-J"][..], &["ls", "-J", "--members"], &["why", "-J", "net:[1]"]] {
        let output = program::run(Command::new(&copy).args(args).uid(nobody).gid(nobody), patience()).expect("it runs");
        assert_eq!(output.stderr.lines().count(), 1, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("run as root"), "{args:?}: {}", output.stderr);
        if args[0] == "why" {
            assert_eq!(output.status.code(), Some(3), "{}", output.stderr);
            continue;
        }
        assert_eq!(output.status.code(), Some(4), "{args:?}: {}", output.stderr);
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        assert_eq!(document["complete"], false, "{args:?}");
        assert!(!document["missing"].as_array().expect("a list").is_empty(), "{args:?}");
    }
    let _ = std::fs::remove_file(copy);
}
