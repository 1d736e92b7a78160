//! The command line as a user meets it: help, mistakes, outputs that fail. Each mistake gets one line that names it and
//! exit code 2; nothing here needs privileges or touches the kernel.

use std::{
    fs::OpenOptions,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Output, Stdio},
};

fn nstrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nstrace"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    nstrace(args).output().expect("nstrace runs")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("messages are UTF-8")
}

/// Exit code 2, nothing on stdout, and one line on stderr, which this returns.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    let message = stderr(&output).to_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
    assert!(message.starts_with("nstrace: ") && message.ends_with('\n'), "{args:?}: {message}");
    message
}

#[test]
fn mistakes_are_named() {
    for (args, named) in [
        (&["watchh"][..], "'watchh'"),
        (&["watch", "--nope"], "'--nope'"),
        (&["watch", "surplus"], "'surplus'"),
        (
            &["watch", "--attach", "uprobe"],
            "'uprobe' for '--attach <MODE>' [possible values: auto, kprobe, fentry, tracepoint]",
        ),
        (&["doctor", "--attach", "uprobe"], "possible values: auto, kprobe, fentry, tracepoint"),
        (&["watch", "--attach"], "--attach"),
        (&["watch", "-t", "net,foo"], "unknown namespace type 'foo': use one of mnt pid net ipc uts user cgroup time"),
        (&["watch", "-t", ""], "unknown namespace type ''"),
        (&["watch", "--duration", "soon"], "'soon'"),
        (&["watch", "--duration", "soon"], "write it like 500ms, 10s, 2m or 1h30m"),
        (&["watch", "--count", "0"], "'0'"),
        (&["watch", "--count", "-1"], "-1"),
        (&["watch", "--color", "blue"], "possible values: auto, always, never"),
        (&["watch", "--ring-size", "3M"], "power of two"),
        (&["watch", "--container", ""], "--container"),
        (&["watch", "-o", "NS,NOPE"], "unknown column 'NOPE': use some of TIME "),
        (&["watch", "-J", "-o", "NS"], "'--output <COLS>'"),
        (&["watch", "-o", "\x1b[2J"], r"\x1b[2J"),
        // clap takes escape sequences out by itself.
        (&["\x1b[2J"], "unrecognized subcommand"),
    ] {
        let message = refused(args);
        assert!(message.contains(named), "{args:?}: {message}");
    }
}

#[test]
fn an_argument_that_is_no_utf8_is_refused() {
    let output =
        nstrace(&["watch", "-Q"]).arg(std::ffi::OsStr::from_bytes(b"COMM == '\xff'")).output().expect("nstrace runs");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_bad_filter_shows_the_place() {
    let output = run(&["watch", "-Q", "TYPE == \"net\" and TYPO"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "nstrace: bad filter: no field is called 'TYPO' (strings need quotes)");
    assert_eq!(lines[1], "  TYPE == \"net\" and TYPO");
    assert_eq!(lines[2], "                    ^^^^");
    assert!(lines[3].starts_with("fields: EVENT TIME "), "{message}");
    assert_eq!(lines.len(), 4, "{message}");
}

#[test]
fn no_verb_shows_the_help() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: nstrace <COMMAND>"), "{}", stderr(&output));
}

#[test]
fn help_names_every_verb_and_flag() {
    let help = |args: &[&str]| {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}");
        String::from_utf8(output.stdout).expect("help is UTF-8")
    };
    let verbs = help(&["--help"]);
    for verb in ["watch", "record", "replay", "verify", "doctor", "schema"] {
        assert!(verbs.contains(&format!("\n  {verb} ")), "{verb} is missing:\n{verbs}");
    }
    let watch = help(&["watch", "--help"]);
    for flag in [
        "-J, --json",
        "-t, --type",
        "--container <",
        "--containers",
        "-Q, --filter",
        "--duration",
        "--count",
        "-o, --output",
        "-n, --noheadings",
        "--color",
        "--attach",
        "--ring-size",
        "-v, --verbose",
    ] {
        assert!(watch.contains(flag), "{flag} is missing:\n{watch}");
    }
    assert!(help(&["--version"]).starts_with("nstrace "));
    assert!(help(&["doctor", "-h"]).contains("--attach"));
}

#[test]
fn a_full_disk_is_one_line_and_exit_1() {
    for args in [&["schema"][..], &["--help"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = nstrace(args).stdout(full).output().expect("nstrace runs");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let message = stderr(&output);
        assert!(message.starts_with("nstrace: cannot write the output: No space left on device"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for args in [&["schema"][..], &["--help"], &["watch", "--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = nstrace(args).stdout(writer).output().expect("nstrace runs");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = nstrace(&["watch", "--nope"]).stderr(writer).status().expect("nstrace runs");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn the_schema_is_json() {
    let output = run(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
