//! How a check ends.

use serde::{Serialize, Serializer};

pub use crate::detect::Severity;

/// What a check says of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// A worse finding says the same already.
    Covered,
    /// What it rests on could not be read: never a pass.
    Unknown,
    Finding(Severity),
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Covered => "covered",
            Self::Unknown => "unknown",
            Self::Finding(severity) => severity.name(),
        }
    }

    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Finding(severity) => Some(severity),
            Self::Pass | Self::Covered | Self::Unknown => None,
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A verdict with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// One sentence with the real names and numbers; hostile.
    pub reason: String,
}

impl Judgement {
    pub fn pass(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, reason: reason.into() }
    }

    pub fn covered(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Covered, reason: reason.into() }
    }

    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, reason: reason.into() }
    }

    pub fn finding(severity: Severity, reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Finding(severity), reason: reason.into() }
    }
}
