//! What is left of a divergence for whoever looks into it.

use std::{collections::VecDeque, io::Write, path::PathBuf};

use anyhow::Context;

use crate::{expected::Expected, op::Op};

/// nstrace and the kernel do not agree.
#[derive(Debug)]
pub struct Divergence {
    pub round: u64,
    pub differences: Vec<String>,
    /// What each worker had done.
    pub scripts: Vec<Vec<Op>>,
}

impl Divergence {
    /// Prints it, and leaves lines, logs and scripts in [`folder`].
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn show(&self, seed: u64, lines: &VecDeque<String>, expected: &Expected) -> anyhow::Result<()> {
        println!("soak: divergence in round {} (seed {}):", self.round, seed);
        for difference in self.differences.iter().take(20) {
            println!("  {difference}");
        }
        if self.differences.len() > 20 {
            println!("  and {} more", self.differences.len() - 20);
        }
        let folder = folder()?;
        let mut file = std::fs::File::create(folder.join("lines.jsonl"))?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        let mut file = std::fs::File::create(folder.join("expected.txt"))?;
        for (key, items) in &expected.items {
            writeln!(file, "{key:?}: {items:#?}")?;
        }
        let mut file = std::fs::File::create(folder.join("log.jsonl"))?;
        for record in &expected.log {
            writeln!(file, "{}", serde_json::to_string(record)?)?;
        }
        for (number, script) in self.scripts.iter().enumerate() {
            std::fs::write(folder.join(format!("script-{number}.json")), serde_json::to_vec_pretty(script)?)?;
        }
        println!("soak: lines and scripts are in {}", folder.display());
        Ok(())
    }
}

/// Where what explains a divergence is left: `NSTRACE_KEEP`, else a folder in the temporary one.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> anyhow::Result<PathBuf> {
    let folder =
        std::env::var_os("NSTRACE_KEEP").map_or_else(|| std::env::temp_dir().join("nstrace-soak"), PathBuf::from);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
