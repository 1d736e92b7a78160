//! How a run can end, and the exit code of each end.

/// Everything asked for was done, or a stream was ended by its limit or the user.
pub const COMPLETE: u8 = 0;
/// It could not be done.
pub const ERROR: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// Nothing that exists is what was asked for.
pub const NOTHING: u8 = 3;
/// The result is not whole; a line on stderr says what is missing.
pub const PARTIAL: u8 = 4;
/// There are findings at or above `--fail-on`.
pub const FINDINGS: u8 = 5;

/// A run that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// What was looked for and not found, one line.
    Nothing(String),
    /// What could not be seen and why, one line.
    Partial(String),
    /// Findings as bad as was asked for, one line; what could not be seen besides them.
    Findings {
        what: String,
        partial: Option<String>,
    },
}

/// A run that did not.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What is wrong with the command line and what to write instead; already escaped.
    #[error("{0}")]
    Usage(String),
    /// What failed, why, and the remedy.
    #[error("{0:#}")]
    Error(#[from] anyhow::Error),
    /// The reader of stdout is gone (a closed pipe, a terminal that went away): end quietly.
    #[error("the output is gone")]
    OutputGone,
}

impl From<std::io::Error> for Failure {
    /// Of an error met while writing to stdout.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputGone,
            std::io::ErrorKind::StorageFull => {
                Self::Error(anyhow::anyhow!("cannot write the output: {error}: free some space or write elsewhere"))
            }
            _ => Self::Error(anyhow::anyhow!("cannot write the output: {error}: write it elsewhere")),
        }
    }
}
