//! Wrong command lines and hard places: one clear line, the right exit code, no panic.

use std::{
    fs::OpenOptions,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

use nstrace_tests::{
    live::one_at_a_time,
    program::{self, Output, run},
};

const SOON: Duration = Duration::from_secs(60);

/// True when there is a binary to test.
fn present() -> bool {
    let binary = program::nstrace();
    let skip = std::env::var_os("NSTRACE_SKIP_LIVE").is_some_and(|v| v == "1");
    assert!(binary.exists() || skip, "no nstrace binary at {}: build it or set NSTRACE_BIN", binary.display());
    binary.exists()
}

fn nstrace(args: &[&str]) -> Output {
    run(Command::new(program::nstrace()).args(args), SOON).expect("nstrace runs")
}

/// `code`, nothing on stdout, and on stderr one line that names `names`.
fn refuses(args: &[&str], code: i32, names: &[&str]) {
    if present() {
        check_refusal(&nstrace(args), &format!("{args:?}"), code, names);
    }
}

fn check_refusal(output: &Output, what: &str, code: i32, names: &[&str]) {
    let said = &output.stderr;
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert_eq!(said.lines().count(), 1, "{what}: one line, not: {said}");
    for name in names {
        assert!(said.contains(name), "{what}: {name:?} is not named: {said}");
    }
}

#[test]
fn unknown_verb_and_flag() {
    refuses(&["wach"], 2, &["wach"]);
    refuses(&["watch", "--no-such-flag"], 2, &["--no-such-flag"]);
}

#[test]
fn unknown_attach_mode() {
    refuses(&["watch", "--attach", "uprobe"], 2, &["uprobe", "kprobe", "fentry", "tracepoint"]);
    refuses(&["doctor", "--attach", ""], 2, &["--attach"]);
}

#[test]
fn unknown_type() {
    refuses(&["watch", "-t", "net,network"], 2, &["network", "mnt", "cgroup"]);
}

#[test]
fn bad_limits() {
    refuses(&["watch", "--duration", "10 parsecs"], 2, &["10 parsecs"]);
    refuses(&["watch", "--count", "0"], 2, &["0"]);
    refuses(&["watch", "--count", "many"], 2, &["many"]);
}

#[test]
fn hostile_arguments_are_escaped() {
    refuses(&["watch", "-t", "\u{1b}[31mred\u{7}"], 2, &["red"]);
    if present() {
        let said = nstrace(&["watch", "-t", "\u{1b}[31mred\u{7}"]).stderr;
        assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
    }
}

/// The caret stands below the fault.
#[test]
fn bad_filter() {
    if !present() {
        return;
    }
    for (filter, fault) in
        [("TYPE == \"net\" and and PID > 1", "and PID"), ("NO_SUCH_FIELD == 1", "NO_SUCH_FIELD"), ("PID >", "")]
    {
        let output = nstrace(&["watch", "-Q", filter]);
        let said = &output.stderr;
        assert_eq!(output.status.code(), Some(2), "{filter}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        let lines: Vec<&str> = said.lines().collect();
        let shown =
            lines.iter().position(|l| l.contains(filter)).unwrap_or_else(|| panic!("the filter is not shown: {said}"));
        let start = lines[shown].find(filter).expect("just found");
        let caret =
            lines.get(shown + 1).and_then(|l| l.find('^')).unwrap_or_else(|| panic!("no caret below it: {said}"));
        let expected = if fault.is_empty() { filter.len() } else { filter.find(fault).expect("in the filter") };
        assert!(
            caret.checked_sub(start).is_some_and(|column| column.abs_diff(expected) <= 1),
            "the caret is not below {fault:?}: {said}"
        );
    }
}

/// Someone without privileges is told what is missing.
#[test]
fn not_root() {
    if !present() {
        return;
    }
    for verb in [&["watch"][..], &["watch", "-J"]] {
        let mut command = Command::new(program::nstrace());
        command.args(verb);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        let output = run(&mut command, SOON).expect("nobody can execute the binary");
        check_refusal(&output, "as nobody", 1, &[]);
        let said = output.stderr.to_lowercase();
        assert!(["root", "sudo", "cap_"].iter().any(|remedy| said.contains(remedy)), "no remedy: {said}");
        assert!(output.stdout.is_empty(), "something was printed all the same: {}", output.text());
    }
}

/// A root without capabilities is nobody too.
#[test]
fn root_without_capabilities() {
    if !present() || !rustix::process::geteuid().is_root() || !program::installed("setpriv") {
        program::note("root_without_capabilities: not performed, it needs root and setpriv");
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(program::nstrace()).arg("watch");
    let output = run(&mut command, SOON).expect("setpriv runs");
    check_refusal(&output, "without capabilities", 1, &[]);
    let said = output.stderr.to_lowercase();
    assert!(said.contains("cap_"), "the capability is not named: {said}");
}

fn watch_into(stdout: Stdio, args: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(program::nstrace())
        .args(["watch", "--attach", &program::attach(), "--duration", "60s"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("nstrace starts");
    let stderr = program::reader(child.stderr.take().expect("piped"));
    let Ok(said) = stderr.recv_timeout(program::patience()) else {
        program::kill(&mut child);
        panic!("the watch goes on without a reader");
    };
    let status = child.wait().expect("ours");
    (status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// What is no complaint about the output: facts that this kernel hides.
fn complaints(said: &str) -> Vec<&str> {
    said.lines().filter(|line| !line.contains("nstrace: not seen")).collect()
}

#[test]
fn full_disk() {
    let _turn = one_at_a_time();
    if !present() || !program::live() {
        return;
    }
    for args in [&["-J"][..], &[]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full is there");
        let (code, said) = watch_into(full.into(), args);
        assert_eq!(code, Some(1), "{said}");
        let lines = complaints(&said);
        assert_eq!(lines.len(), 1, "one line: {said}");
        assert!(lines[0].contains("No space left"), "{said}");
    }
}

/// `nstrace watch | head`: whoever read has seen enough.
#[test]
fn closed_pipe() {
    let _turn = one_at_a_time();
    if !present() || !program::live() {
        return;
    }
    for args in [&["-J"][..], &[]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (code, said) = watch_into(writer.into(), args);
        assert_eq!(code, Some(0), "{said}");
        let lines = complaints(&said);
        assert!(lines.iter().all(|line| line.contains("lost")), "nothing but the summary: {said}");
    }
}
