//! Building workspace crates with cargo and finding what it made.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::workspace;

/// One executable that cargo built.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Target name: of the binary or of the integration test file.
    pub name: String,
    /// Cargo's target kind: `bin`, `lib` (its unit tests), `test`, `bench`.
    pub kind: String,
    /// Name of the package it belongs to.
    pub package: String,
    /// A test harness: of integration tests or of the unit tests of `kind`.
    pub is_test: bool,
    /// Where it lies.
    pub path: PathBuf,
}

/// Runs `cargo <arguments> --message-format=json-render-diagnostics` and returns the executables it reports, built
/// or fresh.
///
/// # Errors
/// Cargo cannot be started or fails; its diagnostics have then gone to stderr.
pub fn build(arguments: &[&str]) -> Result<Vec<Executable>> {
    build_with(arguments, &[])
}

/// As [`build`], with `flags` at the very end: `--` and what `cargo rustc` passes on.
pub fn build_with(arguments: &[&str], flags: &[&str]) -> Result<Vec<Executable>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .args(flags)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

/// As [`build_with`], of the binary `name`.
///
/// # Errors
/// As [`build`], or when cargo reports no such binary.
pub fn binary(name: &str, arguments: &[&str], flags: &[&str]) -> Result<PathBuf> {
    let built = build_with(arguments, flags)?;
    let found = built.into_iter().find(|built| built.kind == "bin" && built.name == name);
    found.map(|built| built.path).with_context(|| format!("cargo reported no {name} binary"))
}

fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    Some(Executable {
        name: message["target"]["name"].as_str()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        package: package(message["package_id"].as_str()?).to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        path: message["executable"].as_str()?.into(),
    })
}

/// Package ids are `path+file:///folder#name@version`, or `…/name#version` where the folder's name says it.
fn package(id: &str) -> &str {
    let (place, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => place.rsplit('/').next().unwrap_or(place),
    }
}

#[cfg(test)]
mod tests {
    use super::package;

    #[test]
    fn both_forms_of_package_ids() {
        assert_eq!(package("path+file:///w/tests#nstrace-tests@0.1.0"), "nstrace-tests");
        assert_eq!(package("path+file:///w/nstrace#0.1.0"), "nstrace");
    }
}
