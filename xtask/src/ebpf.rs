//! `cargo xtask ebpf`: compiles `nstrace-ebpf` for `bpfel-unknown-none` into one stable place.
//!
//! No stable toolchain ships `core` for that target, so it is built from source (`-Zbuild-std`). That takes either a
//! rustup nightly with the `rust-src` component or the distribution's rustc (its sources are a package) with
//! `RUSTC_BOOTSTRAP=1`; bpf-linker then has to read the LLVM bitcode that this rustc writes.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{apt, step, workspace};

/// LLVM of the Debian packages and of bpf-linker; bitcode of a newer one cannot be read.
const LLVM_MAJOR: u32 = 22;
/// Oldest rustc that compiles `nstrace-ebpf` (the workspace's `rust-version`).
const MINIMUM_RUSTC: (u32, u32) = (1, 95);
const TARGET: &str = "bpfel-unknown-none";
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";
const DISTRIBUTION_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
const DISTRIBUTION_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// What compiles the eBPF crate.
#[derive(Debug)]
enum Toolchain {
    /// A rustup toolchain by name; it has `rust-src`.
    Rustup(String),
    /// Debian's rustc with `RUSTC_BOOTSTRAP=1`, driven by the cargo that runs us.
    Distribution,
}

/// Builds the objects, `target/ebpf/census.o` and `target/ebpf/nstrace.o`, and returns the path of the latter.
/// A file is only touched when its bytes change, so that nothing that embeds it is rebuilt for nothing.
pub fn build() -> Result<PathBuf> {
    let source = workspace::root().join("nstrace-ebpf");
    if !source.join("Cargo.toml").exists() {
        bail!("{} is missing: nothing to build", source.display());
    }
    let (toolchain, version) = find_toolchain()?;
    let linker = bpf_linker()?;
    step::timed(format_args!("build eBPF object with {version}"), || {
        compile(&source, &toolchain, &linker)?;
        let folder = build_folder().join(TARGET).join("release");
        publish(&folder.join("census"), "census.o")?;
        publish(&folder.join("nstrace"), "nstrace.o")
    })
}

fn find_toolchain() -> Result<(Toolchain, String)> {
    let rustup = step::probe(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let names = rustup.lines().filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| name.starts_with("nightly")) {
        let rustc = || {
            let mut command = Command::new("rustup");
            command.args(["run", name, "rustc"]);
            command
        };
        let sysroot = step::probe(rustc().args(["--print", "sysroot"])).unwrap_or_default();
        let has_source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists();
        let verbose = step::probe(rustc().arg("-vV")).unwrap_or_default();
        if has_source && usable(&verbose) {
            return Ok((Toolchain::Rustup(name.to_owned()), format!("rustup {name}")));
        }
    }
    let version = || step::probe(Command::new(DISTRIBUTION_RUSTC).arg("-vV")).filter(|verbose| usable(verbose));
    if version().is_none() || !Path::new(DISTRIBUTION_SOURCES).exists() {
        apt::ensure(&DISTRIBUTION_PACKAGES)?;
        if version().is_none() {
            apt::newest(&DISTRIBUTION_PACKAGES)?;
        }
    }
    let verbose = version().with_context(|| {
        format!(
            "{DISTRIBUTION_RUSTC} cannot build the eBPF object: rustc {}.{} or newer with LLVM up to {LLVM_MAJOR} is \
             needed; `rustup component add --toolchain nightly rust-src` gives another way",
            MINIMUM_RUSTC.0, MINIMUM_RUSTC.1
        )
    })?;
    if !Path::new(DISTRIBUTION_SOURCES).exists() {
        bail!("{DISTRIBUTION_SOURCES} is missing although rust-web-src is installed");
    }
    let release = field(&verbose, "release:").unwrap_or("?");
    Ok((Toolchain::Distribution, format!("{DISTRIBUTION_RUSTC} {release}")))
}

/// New enough for the crate, and not newer than bpf-linker's LLVM.
fn usable(verbose: &str) -> bool {
    let llvm = field(verbose, "LLVM version:").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    let release = field(verbose, "release:").and_then(|release| {
        let mut parts = release.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    });
    matches!((llvm, release), (Some(llvm), Some(release)) if llvm <= LLVM_MAJOR && release >= MINIMUM_RUSTC)
}

fn field<'a>(verbose: &'a str, name: &str) -> Option<&'a str> {
    verbose.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Path of bpf-linker under `target/tools`; built once.
fn bpf_linker() -> Result<PathBuf> {
    let tools = workspace::target().join("tools");
    let linker = tools.join("bin/bpf-linker");
    if linker.exists() {
        return Ok(linker);
    }
    // Static LLVM pulls in polly, zlib and zstd; the C++ driver links them.
    apt::ensure(&["llvm-22-dev", "libpolly-22-dev", "zlib1g-dev", "libzstd-dev", "g++"])?;
    step::timed("cargo install bpf-linker", || {
        let prefix = format!("/usr/lib/llvm-{LLVM_MAJOR}");
        step::execute(
            clean_cargo()
                .args(["install", "bpf-linker", "--version", "^0.13", "--locked", "--no-default-features"])
                .args(["--features", &format!("llvm-{LLVM_MAJOR}"), "--root"])
                .arg(&tools)
                .env(format!("LLVM_SYS_{LLVM_MAJOR}1_PREFIX"), &prefix)
                .env("LLVM_PREFIX", &prefix),
        )
    })?;
    Ok(linker)
}

fn compile(source: &Path, toolchain: &Toolchain, linker: &Path) -> Result<()> {
    let mut cargo = match toolchain {
        Toolchain::Rustup(name) => {
            let mut command = clean(Command::new("rustup"));
            command.args(["run", name, "cargo"]);
            command
        }
        Toolchain::Distribution => {
            let mut command = clean_cargo();
            command.env("RUSTC", DISTRIBUTION_RUSTC);
            command
        }
    };
    let mut linker_flag = OsString::from("-Clinker=");
    linker_flag.push(linker);
    let flags = [
        linker_flag,
        "-Clink-arg=--btf".into(),
        // aya-ebpf reads kprobe arguments by the traced machine's calling convention.
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH).into(),
        // bpf-linker derives BTF (which `#[btf_map]` needs) from the debug information.
        "-Cdebuginfo=2".into(),
    ];
    cargo
        .args(["build", "--quiet", "--release", "-Zbuild-std=core", "--target", TARGET, "--target-dir"])
        .arg(build_folder())
        .current_dir(source)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(&OsString::from("\u{1f}")));
    step::execute(&mut cargo)
}

fn build_folder() -> PathBuf {
    workspace::target().join("ebpf-build")
}

fn publish(object: &Path, name: &str) -> Result<PathBuf> {
    let published = workspace::target().join("ebpf").join(name);
    let object = &without_dwarf(object)?;
    let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    if fs::read(&published).ok().as_deref() != Some(&bytes[..]) {
        fs::create_dir_all(published.parent().unwrap_or(&published))?;
        fs::write(&published, &bytes).with_context(|| format!("cannot write {}", published.display()))?;
        step::note(format_args!("{} ({} KiB)", published.display(), bytes.len() / 1024));
    }
    Ok(published)
}

/// The object without DWARF: BTF has been made of it, and nothing reads it at run time, but it is most of the file.
fn without_dwarf(object: &Path) -> Result<PathBuf> {
    let objcopy = PathBuf::from(format!("/usr/lib/llvm-{LLVM_MAJOR}/bin/llvm-objcopy"));
    if !objcopy.exists() {
        step::note(format_args!("{} is missing: the object keeps its debug information", objcopy.display()));
        return Ok(object.to_owned());
    }
    let stripped = object.with_extension("stripped");
    step::execute(Command::new(objcopy).arg("--strip-debug").arg(object).arg(&stripped))?;
    Ok(stripped)
}

/// The cargo that runs us, without what it told us about our own build.
fn clean_cargo() -> Command {
    clean(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}

/// `cargo xtask` exports variables about *this* crate and toolchain; a child for another target must not see them.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text.starts_with("CARGO_TARGET_")
            || text.starts_with("CARGO_PROFILE_");
        let exact = ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"];
        if foreign || exact.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}
