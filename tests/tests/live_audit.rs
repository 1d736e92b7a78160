//! The audit of containers that real runtimes made: default ones are not alarming, and what was switched off is found.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use nstrace_tests::{
    container::{Running, Runtime},
    live::one_at_a_time,
    program::{self, note, run},
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(240);

/// Findings of one container: (check, severity), and the reasons for messages.
fn audit(container: &Running) -> anyhow::Result<(Vec<(String, String)>, String)> {
    let output = run(Command::new(program::nstrace()).args(["audit", "-J", "--container", &container.id]), SOON)?;
    ensure!(matches!(output.status.code(), Some(0 | 4)), "{:?}: {}", output.status, output.stderr);
    let document: Value = serde_json::from_slice(&output.stdout).context("a document")?;
    let containers = document["containers"].as_array().context("a list")?;
    ensure!(containers.len() == 1, "{} is one container, not {}", container.id, containers.len());
    ensure!(containers[0]["init"]["pid"] == container.pid, "its init is {}: {}", container.pid, containers[0]["init"]);
    let found = document["findings"].as_array().context("a list")?;
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let told = found.iter().map(|f| format!("{} {}: {}", word(f, "severity"), word(f, "check"), word(f, "explain")));
    let told = told.collect::<Vec<_>>().join("\n");
    Ok((found.iter().map(|f| (word(f, "check"), word(f, "severity"))).collect(), told))
}

fn check(runtime: Runtime) -> anyhow::Result<()> {
    let name = |what: &str| format!("nstrace-audit-{what}-{}", std::process::id());
    let plain = Running::start(runtime, &name("plain"))?;
    let (found, told) = audit(&plain)?;
    note(&format!("{runtime:?}, default:\n{told}"));
    for (check, severity) in &found {
        // A bundle as the runtime writes it has no filter; a cgroup of version 1 no namespace that cuts it.
        let known = matches!(runtime, Runtime::Runc | Runtime::Crun) && check == "NST-021.seccomp";
        ensure!(known || !["medium", "high", "critical"].contains(&severity.as_str()), "{check} {severity}\n{told}");
    }
    plain.remove()?;
    if matches!(runtime, Runtime::Runc | Runtime::Crun) {
        return Ok(());
    }
    let host = ["--privileged", "--pid=host", "--network=host", "--volume=/etc:/host-etc"];
    let open = Running::start_with(runtime, &name("open"), &host)?;
    let (found, told) = audit(&open)?;
    note(&format!("{runtime:?}, privileged:\n{told}"));
    let rootless = runtime == Runtime::Rootless;
    for (check, severity) in [
        ("host-pid", "high"),
        ("host-net", "medium"),
        ("privileged", "critical"),
        ("seccomp", "medium"),
        ("host-directory", "high"),
        ("sys-writable", "high"),
        ("proc-writable", "high"),
        ("devices", "high"),
    ] {
        let id = format!("NST-021.{check}");
        let is_found = found.contains(&(id, severity.to_owned()));
        // What it has in its own user namespace is nothing on the host, where its root is a user without privileges.
        let privileged = ["privileged", "sys-writable", "proc-writable", "devices", "host-directory"];
        let harmless = rootless && privileged.contains(&check);
        ensure!(is_found != harmless, "{check} {severity}\n{told}");
    }
    open.remove()
}

fn live(runtime: Runtime) {
    let _turn = one_at_a_time();
    if program::live()
        && runtime.is_here()
        && let Err(error) = check(runtime)
    {
        panic!("{runtime:?}: {error:#}");
    }
}

#[test]
fn runc() {
    live(Runtime::Runc);
}

#[test]
fn crun() {
    live(Runtime::Crun);
}

#[test]
fn podman() {
    live(Runtime::Podman);
}

#[test]
fn podman_rootless() {
    live(Runtime::Rootless);
}

#[test]
fn docker() {
    live(Runtime::Docker);
}
