//! `--exceptions` and `--rules`: the same flags for `watch`, `record` and `replay`.

use std::path::PathBuf;

use super::exit::Failure;
use crate::policy::{Policy, Texts, fault::Fault, source::Source};

#[derive(Debug, clap::Args)]
pub(super) struct Policies {
    /// Findings that are accepted, in TOML; they are told as suppressed and do not count; may be repeated
    #[arg(long, value_name = "FILE")]
    exceptions: Vec<PathBuf>,

    /// Rules of your own, in TOML; may be repeated; 'nstrace rules explain format' says how they are written
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

impl Policies {
    /// # Errors
    /// The first fault of the files.
    pub fn read(&self) -> Result<Policy, Failure> {
        policy(&sources(&self.exceptions)?, &sources(&self.rules)?)
    }

    /// For a replay: what is not given is as it was while recording. None: nothing is given.
    ///
    /// # Errors
    /// The first fault of the files, or of those in the recording.
    pub fn instead_of(&self, kept: &Texts) -> Result<Option<Policy>, Failure> {
        if self.exceptions.is_empty() && self.rules.is_empty() {
            return Ok(None);
        }
        let take = |files: &[PathBuf], what, kept: &[String]| {
            if files.is_empty() { Ok(Source::kept(what, kept)) } else { sources(files) }
        };
        let exceptions = take(&self.exceptions, "exceptions", &kept.exceptions)?;
        let rules = take(&self.rules, "rules", &kept.rules)?;
        policy(&exceptions, &rules).map(Some)
    }
}

fn sources(files: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    files.iter().map(|file| Source::read(file).map_err(|fault| refuse(&[fault]))).collect()
}

fn policy(exceptions: &[Source], rules: &[Source]) -> Result<Policy, Failure> {
    Policy::read(exceptions, rules).map_err(|faults| refuse(&faults))
}

fn refuse(faults: &[Fault]) -> Failure {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    match faults.len() {
        0 | 1 => anyhow::anyhow!("{first}").into(),
        more => anyhow::anyhow!("{first} (and {} more: 'nstrace rules check' tells all)", more - 1).into(),
    }
}
