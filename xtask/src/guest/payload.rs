//! What a guest is given to do: a read-only disk with programs, environment and a command.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{forge, kernel::Kernel};
use crate::step;

/// Where the guest's output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// stdout to stdout, stderr to stderr.
    Inherit,
    /// Both into `target/vm/log/<name>.log`.
    Log(String),
    /// stdout line by line to whoever runs the machine; stderr to stderr.
    Lines,
}

type Sink<'a> = Box<dyn Write + Send + 'a>;

impl Output {
    /// Writers for the guest's stdout and stderr; `line` is called with the lines of [`Output::Lines`].
    pub fn sinks<'a>(&self, line: impl FnMut(&str) + Send + 'a) -> Result<(Sink<'a>, Sink<'a>)> {
        Ok(match self {
            Self::Inherit => (Box::new(io::stdout()), Box::new(io::stderr())),
            Self::Lines => (Box::new(Lines { unfinished: Vec::new(), line }), Box::new(io::stderr())),
            Self::Log(name) => {
                let folder = super::folder().join("log");
                fs::create_dir_all(&folder)?;
                let log = File::create(folder.join(format!("{name}.log")))?;
                (Box::new(log.try_clone()?), Box::new(log))
            }
        })
    }
}

/// Gives each line on, without its end; the last one when dropped.
struct Lines<F: FnMut(&str)> {
    unfinished: Vec<u8>,
    line: F,
}

impl<F: FnMut(&str)> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            (self.line)(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&str)> Drop for Lines<F> {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            (self.line)(&String::from_utf8_lossy(&self.unfinished));
        }
    }
}

/// The payload; [`Payload::write_disk`] packs it.
#[derive(Debug, Clone)]
pub struct Payload {
    command: Vec<String>,
    environment: Vec<(String, String)>,
    programs: Vec<(String, PathBuf)>,
    /// What happens with the guest's output.
    pub output: Output,
}

impl Payload {
    /// A command with its arguments; none at all means an interactive shell on the serial console.
    pub fn new<S: AsRef<str>>(command: &[S]) -> Self {
        let command = command.iter().map(|word| word.as_ref().to_owned()).collect();
        Self { command, environment: Vec::new(), programs: Vec::new(), output: Output::Inherit }
    }

    /// True when there is no command to run.
    pub fn is_interactive(&self) -> bool {
        self.command.is_empty()
    }

    /// Sends all output to a log file of this name.
    pub fn log_output(&mut self, name: &str) {
        self.output = Output::Log(name.to_owned());
    }

    /// Sets an environment variable of the command.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Puts an executable on the guest's `PATH`, at `/payload/bin/<name>`; a later one replaces an earlier one.
    pub fn program(&mut self, name: &str, path: &Path) {
        self.programs.retain(|(known, _)| known != name);
        self.programs.push((name.to_owned(), path.to_owned()));
    }

    /// Gives the kernel module of the tests, or says why there is none.
    pub fn forge(&mut self, kernel: Kernel) {
        match forge::module(kernel) {
            Ok(path) => {
                self.program("nstrace_forge.ko", &path);
                self.env("NSTRACE_FORGE", "/payload/bin/nstrace_forge.ko");
            }
            Err(why) => self.env("NSTRACE_FORGE_MISSING", &why),
        }
    }

    /// Packs the payload as a squashfs image. Uncompressed: the guest maps what it uses, nothing is copied.
    pub fn write_disk(&self, folder: &Path) -> Result<PathBuf> {
        let tree = folder.join("payload");
        let programs = tree.join("bin");
        fs::create_dir_all(&programs)?;
        fs::write(tree.join("command"), terminated(self.command.iter().cloned()))?;
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        fs::write(tree.join("environment"), terminated(environment))?;
        for (name, path) in &self.programs {
            let place = programs.join(name);
            fs::hard_link(path, &place)
                .or_else(|_other_filesystem| fs::copy(path, &place).map(drop))
                .with_context(|| format!("cannot give {} to the guest", path.display()))?;
        }
        let disk = folder.join("payload.sqfs");
        let mut mksquashfs = Command::new("mksquashfs");
        mksquashfs.arg(&tree).arg(&disk).args(["-quiet", "-no-progress", "-all-root"]);
        mksquashfs.args(["-noI", "-noD", "-noF", "-noX"]);
        step::logged("mksquashfs-payload", &mut mksquashfs)?;
        Ok(disk)
    }
}

/// NUL-terminated strings, as `read -d ''` and `mapfile -d ''` take them.
fn terminated(words: impl Iterator<Item = String>) -> String {
    words.fold(String::new(), |text, word| text + &word + "\0")
}
