//! Embeds the eBPF object when `cargo xtask ebpf` has built it, so that the binary needs nothing else at run time.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(ebpf_object)");
    println!("cargo::rerun-if-env-changed=NSTRACE_EBPF_OBJECT");
    let default =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../target/ebpf/nstrace.o");
    let object = env::var_os("NSTRACE_EBPF_OBJECT").map_or(default, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    if let Ok(path) = fs::canonicalize(&object) {
        println!("cargo::rustc-cfg=ebpf_object");
        println!("cargo::rustc-env=NSTRACE_EBPF_OBJECT_PATH={}", path.display());
    }
}
