//! `tests/module`: a kernel module that does what exploits do, built for a guest's kernel with Debian's headers of it.
//!
//! Headers, their build programs and, where those want a newer C library than the host has, that library are unpacked below
//! `target/vm` and removed again; nothing is installed. Without them the tests that need the module say why they are skipped.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

use super::boot_files::{folder, remove_tree};
use super::debian::View;
use super::kernel::Kernel;
use super::stamp::Stamp;
use crate::step;

/// Name of the module, and of its file in `/proc`.
const NAME: &str = "nstrace_forge";
const SOURCES: [(&str, &str); 2] = [
    ("Kbuild", include_str!("../../../tests/module/Kbuild")),
    ("nstrace_forge.c", include_str!("../../../tests/module/nstrace_forge.c")),
];

/// Below the headers' tree of build programs: what runs of them here, and the program behind it for x86, if it is apart.
const PROGRAMS: [(&str, &str); 2] =
    [("scripts/mod/modpost", "modpost.real-lsb-64"), ("tools/objtool/objtool", "objtool.real-x86")];

/// The C library and what else [`PROGRAMS`] are linked with.
const LIBRARIES: [&str; 4] = ["libc6", "libelf1t64", "zlib1g", "libzstd1"];

/// Settings of the kernel that its own compiler, and pahole, are needed for. None changes what is in a structure.
const LEFT_OUT: [&str; 2] = ["CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=", "CONFIG_DEBUG_INFO_BTF_MODULES="];

/// The module for this kernel, or why there is none.
pub fn module(kernel: Kernel) -> Result<PathBuf, String> {
    let path = folder(kernel).join(format!("{NAME}.ko"));
    if path.exists() {
        return Ok(path);
    }
    let why = fs::read_to_string(folder(kernel).join(format!("{NAME}.missing")));
    Err(why.unwrap_or_else(|_| "the module has not been built".to_owned()))
}

/// How long it is not tried again when it could not be built: each time costs a minute and the mirror's package lists.
const TRIED_AGAIN: Duration = Duration::from_hours(6);

/// Builds the module if its source or the kernel changed. That it cannot be built is noted, and no error.
pub fn ensure(debian: &View, kernel: Kernel) -> Result<()> {
    let folder = folder(kernel);
    let release = fs::read_to_string(folder.join("release"))?;
    let stamp = Stamp::new(&folder, NAME, &[&release, SOURCES[0].1, SOURCES[1].1]);
    let (built, missing) = (folder.join(format!("{NAME}.ko")), folder.join(format!("{NAME}.missing")));
    let is_old = || missing.metadata().is_ok_and(|file| file.modified().is_ok_and(|made| age(made) > TRIED_AGAIN));
    if stamp.is_current() && !is_old() {
        return Ok(());
    }
    stamp.clear()?;
    for old in [&built, &missing] {
        if old.exists() {
            fs::remove_file(old)?;
        }
    }
    let tree = folder.join("headers");
    let made = step::timed(format_args!("build the test module for kernel {kernel}"), || {
        remove_tree(&tree)?;
        build(debian, &release, &tree, &built)
    });
    if let Err(error) = made {
        step::note(format_args!("NOTE: no test module for kernel {kernel}: {error:#}"));
        fs::write(missing, format!("{error:#}"))?;
    }
    stamp.set()?;
    remove_tree(&tree)
}

fn age(made: SystemTime) -> Duration {
    made.elapsed().unwrap_or_default()
}

fn build(debian: &View, release: &str, tree: &Path, into: &Path) -> Result<()> {
    debian.unpack(&[format!("linux-headers-{release}")], &["linux-headers-", "linux-kbuild-"], tree)?;
    let headers = tree.join("usr/src").join(format!("linux-headers-{release}"));
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile).with_context(|| format!("{}", makefile.display()))?;
    fs::write(&makefile, text.replace("/usr/src/", &format!("{}/usr/src/", tree.display())))?;
    let kbuild = only_folder(&tree.join("usr/lib"), "linux-kbuild-")?;
    let behind = |(name, behind)| {
        let program = kbuild.join(name);
        Some(program.with_file_name(behind)).filter(|behind| behind.exists()).unwrap_or(program)
    };
    if !PROGRAMS.map(behind).iter().all(|program| runs(program)) {
        let library = tree.join("library");
        debian.unpack(&LIBRARIES.map(str::to_owned), &[], &library)?;
        lend(&kbuild, &library.join("usr/lib/x86_64-linux-gnu"))?;
    }
    let sources = tree.join("module");
    fs::create_dir_all(&sources)?;
    for (name, text) in SOURCES {
        fs::write(sources.join(name), text)?;
    }
    let mut make = Command::new("make");
    make.arg("-C").arg(&headers).arg(format!("M={}", sources.display())).arg("CC=gcc").args(LEFT_OUT).arg("modules");
    step::logged("test-module", &mut make)?;
    fs::rename(sources.join(format!("{NAME}.ko")), into)?;
    Ok(())
}

/// The loader of this machine takes the program. Without arguments both end at once.
fn runs(program: &Path) -> bool {
    let output = Command::new(program).output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("GLIBC_"))
}

/// Puts scripts in the place of [`PROGRAMS`] that run them with the libraries in `library`.
fn lend(kbuild: &Path, library: &Path) -> Result<()> {
    let loader = library.join("ld-linux-x86-64.so.2");
    for (name, behind) in PROGRAMS {
        let program = kbuild.join(name);
        let behind = program.with_file_name(behind);
        if !behind.exists() {
            fs::copy(&program, &behind)?;
        }
        let (loader, library, behind) = (loader.display(), library.display(), behind.display());
        let script = format!("#!/bin/sh\nexec '{loader}' --library-path '{library}' '{behind}' \"$@\"\n");
        fs::remove_file(&program)?;
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn only_folder(above: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(above)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    match &found[..] {
        [one] => Ok(one.clone()),
        several => bail!("{} folders {prefix}* in {} instead of one", several.len(), above.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::{NAME, SOURCES};

    #[test]
    fn the_module_is_called_as_its_file_in_proc() {
        let (_, kbuild) = SOURCES[0];
        let (_, source) = SOURCES[1];
        assert!(kbuild.contains(&format!("{NAME}.o")));
        assert!(source.contains(&format!("proc_create(\"{NAME}\"")));
    }
}
