//! Where a stream comes from, for formats whose every line says so.

/// A host during one boot; names are as untrusted as the recording that they are from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `uname -n`; empty = unknown.
    pub host: String,
    /// `/proc/sys/kernel/random/boot_id`; empty = unknown.
    pub boot_id: String,
    /// `uname -r`; empty = unknown.
    pub kernel: String,
}

impl Origin {
    /// None where a field is unknown.
    pub(super) fn known(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
}
