//! Embeds the eBPF objects when `cargo xtask ebpf` has built them, so that the binary needs nothing else at run time.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../target/ebpf");
    embed("NSTRACE_EBPF_OBJECT", "ebpf_object", &folder.join("nstrace.o"));
    embed("NSTRACE_CENSUS_OBJECT", "census_object", &folder.join("census.o"));
}

/// Sets `cfg(name)` and `VARIABLE_PATH` when the object, at `path` or where `variable` says, is there.
fn embed(variable: &str, name: &str, path: &Path) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    println!("cargo::rerun-if-env-changed={variable}");
    let object = env::var_os(variable).map_or_else(|| path.to_owned(), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    if let Ok(path) = fs::canonicalize(&object) {
        println!("cargo::rustc-cfg={name}");
        println!("cargo::rustc-env={variable}_PATH={}", path.display());
    }
}
