//! Debian packages of the host: what is missing is installed, what is there is left alone.

use std::process::Command;

use anyhow::{Result, bail};

use crate::step;

/// Installs those of `packages` that are missing.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    require_apt(&missing)?;
    step::timed(format_args!("apt-get install {}", missing.join(" ")), || {
        // The lists of a fresh machine are empty or old: refresh them only when the first try says so.
        if candidates_known(&missing) && install(&missing).is_ok() {
            return Ok(());
        }
        install_by_fresh_lists(&missing)
    })
}

/// Brings `packages` to the newest versions the configured mirrors have: for what is installed and too old, as it also
/// is after [`ensure`] where the machine's lists are old and their packages still there.
pub fn newest(packages: &[&str]) -> Result<()> {
    require_apt(packages)?;
    step::timed(format_args!("apt-get update and install {}", packages.join(" ")), || install_by_fresh_lists(packages))
}

/// Without root or apt-get the remedy is named instead.
fn require_apt(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("missing or old Debian packages; run as root: apt-get install --no-install-recommends {list}");
    }
    if !step::on_path("apt-get") {
        bail!("missing or old Debian packages and no apt-get here: {list}");
    }
    Ok(())
}

fn install_by_fresh_lists(packages: &[&str]) -> Result<()> {
    step::execute(apt_get().arg("update"))?;
    install(packages)
}

fn install(packages: &[&str]) -> Result<()> {
    step::execute(apt_get().args(["install", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-y", "-q", "-o", "Dpkg::Use-Pty=0"]);
    // Another apt run (unattended upgrades of a fresh machine) holds the lock for a while.
    command.args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Status}", package]);
    step::probe(&mut query).is_some_and(|status| status.trim() == "installed")
}

fn candidates_known(packages: &[&str]) -> bool {
    packages.iter().all(|package| {
        let shown = step::probe(Command::new("apt-cache").args(["policy", package])).unwrap_or_default();
        shown.lines().any(|line| line.trim_start().starts_with("Candidate:") && !line.contains("(none)"))
    })
}
