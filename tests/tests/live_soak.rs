//! Short random runs; the long ones are `cargo xtask soak`. Here a divergence is told, there it is made short.

use std::{fs, path::Path, process::Command, time::Duration};

use nstrace_tests::{
    live::one_at_a_time,
    program::{self, Output, note},
};

const OPERATIONS: &str = "3000";

fn run(arguments: &[&str], keep: &Path) -> Output {
    let mut command = Command::new(program::soak());
    command.args(arguments).env("NSTRACE_BIN", program::nstrace()).env("NSTRACE_KEEP", keep);
    program::run(&mut command, Duration::from_secs(900)).unwrap_or_else(|error| panic!("{error:#}"))
}

fn agrees(arguments: &[&str]) {
    let keep = tempfile::tempdir().expect("a temporary folder");
    let output = run(&[arguments, &["--shrink", "0"]].concat(), keep.path());
    assert!(output.status.success(), "soak {arguments:?}: {}{}", output.text(), output.stderr);
    note(&format!("{arguments:?}: {}", output.text()));
}

fn soak(arguments: &[&str]) {
    let _turn = one_at_a_time();
    if program::in_guest() {
        note("skipped: an emulated guest takes long; `cargo xtask soak --kernel` does it at length");
        return;
    }
    if program::live() {
        agrees(arguments);
    }
}

/// In guests a short one.
#[test]
fn workers_side_by_side() {
    let _turn = one_at_a_time();
    if program::live() {
        let operations = if program::in_guest() { "450" } else { OPERATIONS };
        agrees(&["--ops", operations, "--seed", "11"]);
    }
}

/// The mode that is left where the kernel lets no other in, on kernels that do: natively it is the only one.
#[test]
fn workers_in_tracepoint_mode() {
    let _turn = one_at_a_time();
    if program::in_guest() && !program::again() {
        agrees(&["--ops", "300", "--seed", "14", "--attach", "tracepoint"]);
    }
}

#[test]
fn one_worker() {
    soak(&["--ops", OPERATIONS, "--seed", "12", "--workers", "1"]);
}

/// What was lost is told, and afterwards the model is right again.
#[test]
fn a_reader_that_is_stopped_and_a_tiny_ring() {
    soak(&["--ops", OPERATIONS, "--seed", "13", "--ring-size", "65536", "--suspend", "3", "--census", "1000"]);
}

/// Scripts that once diverged, or hung.
#[test]
fn scripts_of_former_divergences() {
    const SCRIPTS: [(&str, &str); 1] =
        [("child_of_a_lingering_thread", include_str!("soak_scripts/child_of_a_lingering_thread.json"))];
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, script) in SCRIPTS {
        let path = folder.path().join(format!("{name}.json"));
        fs::write(&path, script).expect("room for a script");
        agrees(&["--script", path.to_str().expect("UTF-8")]);
    }
}

/// The comparison itself: lines that are passed over on purpose are missed, and the script becomes short.
#[test]
fn a_divergence_is_found_and_its_script_made_short() {
    let _turn = one_at_a_time();
    if program::in_guest() {
        note("skipped: nothing here depends on the kernel");
        return;
    }
    if !program::live() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    const FAULT: [&str; 2] = ["--forget", "left:ipc"];
    let found = run(
        &[&["--ops", "2000", "--round", "30", "--seed", "21", "--workers", "1", "--shrink", "60"], &FAULT[..]].concat(),
        folder.path(),
    );
    let said = found.text();
    assert_eq!(found.status.code(), Some(1), "{said}{}", found.stderr);
    for words in ["soak: divergence in round", "(seed 21)", "still diverge", "soak: FAILED: seed 21"] {
        assert!(said.contains(words), "{words:?} is missing: {said}");
    }
    let path = folder.path().join("shrunk.json");
    let text = fs::read_to_string(&path).expect("the script is left in a file");
    let script: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list of operations");
    assert!((1..=3).contains(&script.len()), "one that leaves an IPC namespace would do: {text}");
    let path = path.to_str().expect("UTF-8");
    let again = run(&[&["--script", path], &FAULT[..]].concat(), folder.path());
    assert_eq!(again.status.code(), Some(1), "{}", again.text());
    agrees(&["--script", path]);
}
