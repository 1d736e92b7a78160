//! `query` over a recording that dropped what was old: it begins in the middle, with what was there then.
#![expect(clippy::unwrap_used, reason = "tests")]

mod recording_support;

use std::{path::Path, process::Command};

use nstrace::recording::{Keep, Options};
use recording_support::{host, record};

fn answer(path: &Path, sql: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_nstrace")).args(["query", "--csv"]).arg(path).arg(sql).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_was_there_is_in_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole.nst"), folder.path().join("cut.nst"));
    let facts = host(60_000);
    let lines = record(&whole, &facts, Options::default());
    record(&cut, &facts, Options { keep: Keep::new(None, Some(150_000)), ..Options::default() });

    let events = answer(&cut, "SELECT count(*) FROM events");
    let left: usize = events.lines().nth(1).unwrap().parse().unwrap();
    assert!(left > 1_000 && left < lines.len() / 2, "{left} of {}", lines.len());
    // What is true at the end does not depend on where the recording begins.
    for sql in [
        "SELECT ns_key, type, ns, nsid, initial, nprocs FROM namespaces WHERE state = 'live' ORDER BY ns_key",
        "SELECT ns_key, pid, initial FROM memberships WHERE left IS NULL AND NOT initial ORDER BY ns_key, pid",
    ] {
        let expected = answer(&whole, sql);
        assert!(expected.lines().count() > 10, "{expected}");
        assert_eq!(answer(&cut, sql), expected, "{sql}");
    }
    // Nothing is left by somebody who never was there.
    let sql = "SELECT count(*) FROM memberships WHERE joined IS NULL AND left IS NULL AND ns_key NOT IN (SELECT ns_key FROM namespaces)";
    assert_eq!(answer(&cut, sql).lines().nth(1), Some("0"));
}
