//! Short random runs; the long ones are `cargo xtask soak`. Here a divergence is told, there it is made short.

use std::{process::Command, time::Duration};

use nstrace_tests::{
    live::one_at_a_time,
    program::{self, note},
};

const OPERATIONS: &str = "3000";

fn soak(arguments: &[&str]) {
    let _turn = one_at_a_time();
    if program::in_guest() {
        note(
            "skipped: in an emulated guest each comparison takes seconds; `cargo xtask soak --kernel` does it at length",
        );
        return;
    }
    if !program::live() {
        return;
    }
    let mut command = Command::new(program::soak());
    command.args(arguments).args(["--shrink", "0"]).env("NSTRACE_BIN", program::nstrace());
    let output = program::run(&mut command, Duration::from_secs(900)).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(output.status.success(), "soak {arguments:?}: {}{}", output.text(), output.stderr);
    note(&format!("{arguments:?}: {}", output.text()));
}

#[test]
fn workers_side_by_side() {
    soak(&["--ops", OPERATIONS, "--seed", "11"]);
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
