//! Programs in namespaces of their own, nstrace run against them, and its schema.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use jsonschema::Validator;
use serde_json::{Value, json};

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that runs until this is dropped.
pub struct Subject {
    child: Child,
    _stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Subject {
    /// Runs `program`, whose script has to print `ready` and then wait for its input to end.
    pub fn start(program: &[&str]) -> Self {
        let mut child = Command::new(program[0])
            .args(&program[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut subject = Self { child, _stdin: stdin, stdout };
        assert_eq!(subject.line(), "ready", "{program:?}");
        subject
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    #[expect(clippy::allow_attributes, reason = "not every test file talks back")]
    #[allow(dead_code)]
    pub fn say(&mut self, line: &str) {
        writeln!(self._stdin, "{line}").expect("the program reads");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its only child.
    #[expect(clippy::allow_attributes, reason = "not every test file has subjects with children")]
    #[allow(dead_code)]
    pub fn child_pid(&self) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        std::fs::read_to_string(path).expect("children").trim().parse().expect("one child")
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Output and exit code.
pub fn nstrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nstrace")).args(args).stdin(Stdio::null()).output().expect("nstrace runs")
}

/// A document that is valid under `definition`. Complete or partial: a machine may hide processes even from root.
pub fn document(args: &[&str], definition: &str) -> Value {
    let output = nstrace(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    let value: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stderr}"));
    assert_eq!(code, Some(if value["complete"] == true { 0 } else { 4 }), "{args:?}: {stderr}");
    let validator = validator(definition);
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{args:?}\n{}", errors.join("\n"));
    value
}

/// The schema as the program prints it, narrowed to one of its definitions.
pub fn validator(definition: &str) -> Validator {
    let output = nstrace(&["schema"]);
    let mut schema: Value = serde_json::from_slice(&output.stdout).expect("the schema is JSON");
    let object = schema.as_object_mut().expect("the schema is an object");
    object.remove("anyOf").expect("the root offers alternatives");
    object.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    jsonschema::draft202012::new(&schema).expect("the schema is a schema of draft 2020-12")
}

/// readlink of a namespace of a process.
#[expect(clippy::allow_attributes, reason = "not every test file uses it")]
#[allow(dead_code)]
pub fn inum(pid: u32, slot: &str) -> u64 {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{slot}")).expect("a namespace");
    let text = link.to_string_lossy().into_owned();
    text.split(['[', ']']).nth(1).expect("brackets").parse().expect("a number")
}
