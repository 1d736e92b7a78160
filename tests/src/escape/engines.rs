//! Privileged containers of real runtimes that share the host's pid namespace, on the root of a [`Stage`].

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use serde_json::{Value, json};

use super::{act::Act, stage::Stage};
use crate::{container::Runtime, program::run_well};

/// capabilities(7), all that Linux 5.9 and later know.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Tries the techniques in one privileged container.
///
/// # Errors
/// When there was no container, or an act is missing.
pub fn attempt(stage: &mut Stage, runtime: Runtime, techniques: &[&str]) -> anyhow::Result<Vec<Act>> {
    let name = format!("nstrace-escape-{}", runtime.name());
    let mut command = Command::new(runtime.name());
    match runtime {
        Runtime::Runc | Runtime::Crun => {
            let bundle = stage.folder().join(&name);
            let program: Vec<&str> = ["/escape", "run"].into_iter().chain(techniques.iter().copied()).collect();
            write_bundle(runtime, &bundle, stage.folder(), &program)?;
            command.args(["run", "--bundle"]).arg(&bundle).arg(&name);
            let acts = stage.attempt_by(&mut command, techniques);
            fs::remove_dir_all(&bundle)?;
            acts
        }
        Runtime::Podman | Runtime::Rootless | Runtime::Docker => {
            let image = if runtime == Runtime::Docker { "bb:1" } else { "localhost/bb:1" };
            command.args(["run", "--rm", "--privileged", "--pid=host", "--cgroupns=private", "--network=none"]);
            for (from, to) in
                [("root/escape", "/escape"), ("root/lib", "/lib"), ("root/lib64", "/lib64"), ("shared", "/shared")]
            {
                command.arg("--volume").arg(format!("{}:{to}", stage.folder().join(from).display()));
            }
            command.args(["--name", &name, image, "/escape", "run"]).args(techniques);
            stage.attempt_by(&mut command, techniques)
        }
    }
}

/// As `--privileged --pid=host` of an engine.
fn write_bundle(runtime: Runtime, bundle: &Path, stage: &Path, program: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(bundle)?;
    run_well(Command::new(runtime.name()).arg("spec").current_dir(bundle))?;
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config)?).context("config.json of the runtime")?;
    let all: Vec<String> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let process = &mut spec["process"];
    process["terminal"] = json!(false);
    process["noNewPrivileges"] = json!(false);
    process["args"] = json!(program);
    process["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    spec["root"] = json!({"path": stage.join("root"), "readonly": false});
    let linux = &mut spec["linux"];
    linux["maskedPaths"] = json!([]);
    linux["readonlyPaths"] = json!([]);
    linux["resources"] = json!({"devices": [{"allow": true, "access": "rwm"}]});
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "pid");
    }
    let mounts = spec["mounts"].as_array_mut().context("mounts of the runtime's config.json")?;
    for mount in mounts.iter_mut() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "ro");
        }
    }
    mounts.push(
        json!({"destination": "/shared", "type": "bind", "source": stage.join("shared"), "options": ["bind", "rw"]}),
    );
    fs::write(&config, serde_json::to_vec(&spec)?)?;
    Ok(())
}
