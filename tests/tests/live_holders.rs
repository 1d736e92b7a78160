//! Namespaces without members, kept by files, mounts and messages; and the programs people use for that.

use nstrace_tests::live::check;

#[test]
fn holders() {
    check(&["holders"]);
}

#[test]
fn programs() {
    check(&["programs"]);
}
