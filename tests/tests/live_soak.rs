//! Short random runs; the long ones are `cargo xtask soak`. Here a divergence is told, there it is made short.

use std::{process::Command, time::Duration};

use nstrace_tests::{
    live::one_at_a_time,
    program::{self, note},
};

/// In an emulated guest each comparison takes seconds.
fn operations() -> &'static str {
    if program::in_guest() { "900" } else { "3000" }
}

fn soak(arguments: &[&str]) {
    let _turn = one_at_a_time();
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
    soak(&["--ops", operations(), "--seed", "11"]);
}

#[test]
fn one_worker() {
    soak(&["--ops", operations(), "--seed", "12", "--workers", "1"]);
}

/// What was lost is told, and afterwards the model is right again.
#[test]
fn a_reader_that_is_stopped_and_a_tiny_ring() {
    soak(&["--ops", operations(), "--seed", "13", "--ring-size", "65536", "--suspend", "3"]);
}
