//! Every way to make, enter and leave a namespace, well and badly, against the kernel's own answers.

use nstrace_tests::live::check;

#[test]
fn calls() {
    check(&["calls"]);
}

#[test]
fn denied() {
    check(&["denied"]);
}

#[test]
fn nested_and_threads() {
    check(&["nested", "threads"]);
}

#[test]
fn storms() {
    check(&["storms"]);
}
