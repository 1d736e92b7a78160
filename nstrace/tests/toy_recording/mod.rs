//! Recordings of made-up kernels, for the tests of the verbs that read one.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses its part")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nstrace::{
    engine::Named,
    event::Stamped,
    recording::{
        Options, Writer,
        containers::Containers,
        document::Session,
        entry::{Kind, Span},
    },
    source::fact::Fact,
};
use serde_json::Value;

/// A time of CLOCK_BOOTTIME as `--at` and its like take it.
pub fn moment(boot_ns: u64) -> String {
    format!("@{}.{:09}", boot_ns / 1_000_000_000, boot_ns % 1_000_000_000)
}

/// Writes events as a recording, and what engines told of containers.
pub fn record(path: &Path, events: &[Stamped], containers: Vec<Named>) {
    let session = Session {
        tool: "nstrace test".to_owned(),
        abi: nstrace_common::record::ABI,
        kernel: "6.18.0-test".to_owned(),
        machine: "x86_64".to_owned(),
        host: "toy".to_owned(),
        boot_id: "88a1f0ed-5ae5-41ee-af6b-41921c311872".to_owned(),
        layout: String::new(),
        command: vec!["nstrace".to_owned()],
        report: Value::Null,
        configuration: nstrace::recording::document::Configuration::default(),
        exceptions: Vec::new(),
        rules: Vec::new(),
    };
    let mut writer = Writer::create(path, &session, Span::moment(0, 0), Options::default()).unwrap();
    for event in events {
        writer.fact(Fact::Told(&serde_json::to_vec(event).unwrap()), event).unwrap();
    }
    if !containers.is_empty() {
        writer.document(Kind::Container, &Containers { containers }).unwrap();
    }
    writer.end().unwrap();
}

/// A folder with one recording in it.
pub struct Recorded {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

impl Recorded {
    pub fn new(events: &[Stamped]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toy.nst");
        record(&file, events, Vec::new());
        Self { folder, file }
    }

    pub fn with_containers(events: &[Stamped], containers: Vec<Named>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("toy.nst");
        record(&file, events, containers);
        Self { folder, file }
    }

    pub fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

pub fn nstrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nstrace")).args(args).stdin(Stdio::null()).output().unwrap()
}

/// What a run printed; it has to end with this exit code.
pub fn printed(args: &[&str], code: i32) -> String {
    let output = nstrace(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line on stderr of a run that fails with this exit code and prints nothing.
pub fn refused(args: &[&str], code: i32) -> String {
    let output = nstrace(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(!stderr.chars().any(|c| c.is_control() && c != '\n'), "{stderr:?}");
    stderr
}
