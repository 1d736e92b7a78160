//! What `actor keep` holds: namespaces kept alive in odd ways, one JSON object per line.

use serde::{Deserialize, Serialize};

use crate::deed::NsTruth;

/// One line of `actor keep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A namespace that lives, and by what.
    Held(Held),
    /// This kernel does not let it be made.
    Skipped { name: String, why: String },
    /// Everything is made; it is kept until standard input ends.
    Ready,
}

/// A namespace that is kept alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of the way it is held.
    pub name: String,
    pub ns_type: String,
    pub ns: NsTruth,
    /// The kinds of all its holders, as `kept_by` spells them.
    pub kinds: Vec<String>,
    /// The process that holds it.
    pub pid: u32,
}
