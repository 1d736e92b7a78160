//! The entries that are JSON: under which circumstances the facts were recorded. Unknown members are ignored, so that a later
//! nstrace can say more.

use serde::{Deserialize, Serialize};

use crate::policy::Texts;

/// Name and version of this program, as it names itself in what it records.
pub const TOOL: &str = concat!("nstrace ", env!("CARGO_PKG_VERSION"));

/// Entry 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Name and version of the program that recorded.
    pub tool: String,
    /// [`nstrace_common::record::ABI`] of the records.
    pub abi: u16,
    /// `uname -r` and `uname -m`.
    pub kernel: String,
    pub machine: String,
    /// `uname -n`.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`; empty when it cannot be read.
    pub boot_id: String,
    /// `struct Layout` of nstrace-common, hexadecimal: where the programs found what they recorded.
    pub layout: String,
    /// The words of the command line.
    pub command: Vec<String>,
    /// What could be observed and what not: the document of `nstrace doctor -J`.
    pub report: serde_json::Value,
    /// The flags in force.
    #[serde(default)]
    pub configuration: Configuration,
    /// Exceptions in force, whose findings are told as suppressed: TOML, as the files had it.
    #[serde(default)]
    pub exceptions: Vec<String>,
    /// Rules of the user in force, likewise.
    #[serde(default)]
    pub rules: Vec<String>,
}

impl Session {
    /// The rules and exceptions in force.
    pub fn policy(&self) -> Texts {
        Texts { exceptions: self.exceptions.clone(), rules: self.rules.clone() }
    }
}

/// What `nstrace record` was told, defaults included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// `--attach`: `auto`, `kprobe`, `fentry` or `tracepoint`.
    pub attach: String,
    /// `--ring-size`.
    pub ring_bytes: u32,
    /// `--keep` in seconds; None: for ever.
    pub keep_seconds: Option<u64>,
    /// `--max-size`; None: no limit.
    pub max_bytes: Option<u64>,
    /// `--sign` was given.
    pub sealed: bool,
}

/// The last entry of a recording that was ended and not cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Facts ever recorded, those dropped since included.
    pub facts: u64,
    /// Records that the kernel's counters or gaps in the numbers say were lost, as the facts tell.
    pub lost: u64,
}

/// Entries were dropped: all but the first one that are older than `before`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Id of the oldest entry that was kept (a keyframe).
    pub before: i64,
    /// Hash of the entry before that one, hexadecimal.
    pub hash: String,
    /// Facts dropped by this cut.
    pub facts: u64,
    /// `age` or `size`.
    pub why: String,
}

/// Where a reader can start: a conclusion, no evidence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keyframe<W> {
    /// [`crate::source::fact::Facts::latest`] after the facts before it.
    pub latest: u64,
    /// What the model knew then: a [`crate::model::Checkpoint`].
    pub world: W,
}

/// A signature over everything before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// What was signed, byte for byte.
    pub text: String,
    /// minisign(1)'s signature file.
    pub signature: String,
}

/// The data of an entry and the length it had before it was compressed.
///
/// # Errors
/// None but a failing compressor.
pub fn pack(document: &impl Serialize) -> std::io::Result<(Vec<u8>, i64)> {
    let raw = serde_json::to_vec(document)?;
    let data = zstd::bulk::compress(&raw, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    Ok((data, i64::try_from(raw.len()).unwrap_or(i64::MAX)))
}
