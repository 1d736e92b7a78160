//! Names that attack terminals and parsers, in JSON and in text.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nstrace_tests::{
    live::{check, one_at_a_time, perform},
    program,
};

/// The comms are compared with the kernel's, and no line has a raw control character (see `watch`).
#[test]
fn hostile_names_in_json() {
    check(&["hostile"]);
}

/// In text, coloured, whatever a name holds: the only escape sequences are our own colours, and a name never breaks a line.
#[test]
fn hostile_names_in_text() {
    let _turn = one_at_a_time();
    if !program::live() {
        return;
    }
    for colour in ["always", "never"] {
        let text = watched_text(colour);
        assert!(text.contains("uts:["), "nothing was watched: {text}");
        let mut rest = text.as_str();
        while let Some(at) = rest.find('\u{1b}') {
            assert_eq!(colour, "always", "an escape without colours: {:?}", line_at(rest, at));
            let sequence = &rest[at + 1..];
            let end = sequence.find(|c: char| !matches!(c, '[' | '0'..='9' | ';'));
            let end = end.unwrap_or_else(|| panic!("an open escape sequence: {:?}", line_at(rest, at)));
            assert!(
                sequence.starts_with('[') && sequence[end..].starts_with('m'),
                "no colour but {:?}",
                line_at(rest, at)
            );
            rest = &sequence[end..];
        }
        let bad = |c: char| {
            (c.is_control() && !matches!(c, '\n' | '\u{1b}'))
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        for line in text.lines() {
            assert!(!line.contains(bad), "a raw character of a name: {line:?}");
            assert!(!line.starts_with('b'), "a name broke the line: {line:?}");
        }
        // The names are there, made visible.
        assert!(text.contains("evil"), "the name with a direction override is gone: {text}");
    }
}

fn line_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    text[start..].lines().next().unwrap_or_default()
}

/// Output of a watch in text mode around the hostile scenarios; it is stopped when the last of them has been seen.
fn watched_text(colour: &str) -> String {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(program::nstrace())
        .args(["watch", "--attach", &program::attach(), &format!("--color={colour}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("nstrace starts");
    let stdout = child.stdout.take().expect("piped");
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut all = String::new();
    let deadline = Instant::now() + program::patience();
    let read_until = |done: &dyn Fn(&str) -> bool, what: &str, all: &mut String| {
        while !done(all) {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match lines.recv_timeout(left) {
                Ok(line) => {
                    all.push_str(std::str::from_utf8(&line).expect("the text is UTF-8 whatever the names are"));
                    all.push('\n');
                }
                Err(error) => panic!("{what} did not come ({error}): {all}"),
            }
        }
    };
    // A heading may come before; a line with a namespace is one of the snapshot.
    read_until(&|text| text.contains(":["), "the first line", &mut all);
    let deeds = perform(&["hostile"]).expect("the actor performs");
    let last = deeds
        .iter()
        .rev()
        .find_map(|deed| match &deed.what {
            nstrace_tests::deed::What::Exit { task, .. } => Some(task.pid.to_string()),
            _ => None,
        })
        .expect("a scenario ends");
    let last = last.as_str();
    read_until(
        &|text| {
            text.lines().any(|l| {
                l.contains("left") && l.contains("exit") && l.split(|c: char| !c.is_ascii_digit()).any(|w| w == last)
            })
        },
        "the last exit",
        &mut all,
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    while let Ok(line) = lines.recv_timeout(program::patience()) {
        all.push_str(std::str::from_utf8(&line).expect("the text is UTF-8 whatever the names are"));
        all.push('\n');
    }
    assert_eq!(child.wait().expect("ours").code(), Some(0), "Ctrl-C ends a watch with 0");
    all
}
