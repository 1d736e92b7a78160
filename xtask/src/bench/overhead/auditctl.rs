//! auditctl(8) for guests. Not in their image: its daemon would be at work in every test.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::guest;

/// Where Debian's packages have it, and the library of its own that it needs.
const PROGRAM: &str = "usr/sbin/auditctl";
const LIBRARY: &str = "libauparse.so.0";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The program and its library, by their names in the guest; fetched once.
///
/// # Errors
/// When the package cannot be had, or is made up otherwise.
pub fn files() -> Result<[(&'static str, PathBuf); 2]> {
    let tree = guest::folder().join("auditd");
    let program = tree.join(PROGRAM);
    if !program.exists() {
        guest::debian().unpack(&["auditd".to_owned()], &["libauparse"], &tree)?;
    }
    let library = tree.join(LIBRARIES).join(LIBRARY);
    let library = fs::canonicalize(&library).with_context(|| format!("{}", library.display()))?;
    Ok([("auditctl", program), (LIBRARY, library)])
}
