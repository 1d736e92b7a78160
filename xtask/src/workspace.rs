//! Where things are: the repository and its `target` folder.

use std::env;
use std::path::{Path, PathBuf};

/// The repository's top folder.
pub fn root() -> PathBuf {
    // Run time first: a binary that was moved with its checkout still finds it.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// The repository's own `target`: caches that must not move with `CARGO_TARGET_DIR` live here (`nstrace/build.rs`
/// looks for the eBPF object at this place).
pub fn target() -> PathBuf {
    root().join("target")
}
