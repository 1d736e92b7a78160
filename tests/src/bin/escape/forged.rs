//! What an exploit does in the kernel, by way of the module that guests of the tests load (`tests/module`).

use std::{fs::OpenOptions, io::Write};

use nstrace_tests::escape::act::Given;

use crate::attempt::{Attempt, Done, Refused, Technique, done, target_of, unless_missing};

pub const ALL: &[Technique] =
    &[("forge-creds", credentials), ("forge-switch", switch), ("forge-nsproxy", nsproxy), ("forge-caps", capabilities)];

/// The module's file.
const FORGE: &str = "/proc/nstrace_forge";

fn ask(how: &str) -> Result<(), Refused> {
    unless_missing(FORGE)?;
    Ok(OpenOptions::new().write(true).open(FORGE)?.write_all(how.as_bytes())?)
}

fn credentials(_: &Given) -> Attempt {
    ask("creds")?;
    done("all capabilities")
}

fn switch(_: &Given) -> Attempt {
    ask("switch")?;
    entered()
}

/// Comes out when the task ends, at the latest.
fn nsproxy(_: &Given) -> Attempt {
    ask("nsproxy")?;
    entered()
}

fn entered() -> Attempt {
    let target = target_of("/proc/thread-self/ns/net");
    Ok(Done { target, detail: "in the initial namespaces".to_owned() })
}

/// And something with them that is recorded.
fn capabilities(_: &Given) -> Attempt {
    ask("caps")?;
    OpenOptions::new().write(true).open("/proc/sys/kernel/hostname")?;
    done("all capabilities")
}
