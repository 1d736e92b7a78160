//! Knowing whether a cached file is still what would be built today: a file beside it holds the inputs it was made of.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The inputs of one cached artifact.
#[derive(Debug)]
pub struct Stamp {
    file: PathBuf,
    inputs: String,
}

impl Stamp {
    /// For the artifact in `folder` called `name`, made of these inputs (whole texts: comparing is cheaper than a
    /// hash that can lie).
    pub fn new(folder: &Path, name: &str, inputs: &[&str]) -> Self {
        let mut text = String::new();
        for input in inputs {
            let _infallible = writeln!(text, "{input}\n--");
        }
        Self { file: folder.join(format!("{name}.inputs")), inputs: text }
    }

    /// True when the artifact was made of the same inputs and finished.
    pub fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|written| written == self.inputs)
    }

    /// Before work begins: a half-made artifact must never look finished.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    /// After the work succeeded.
    pub fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.inputs).with_context(|| format!("cannot write {}", self.file.display()))
    }
}
