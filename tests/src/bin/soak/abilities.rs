//! What nstrace can see on this kernel in this mode, and so what can be compared.

use std::process::Command;

use nstrace_tests::{
    doctor::Facts,
    program::{self, patience},
};

use crate::Options;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    pub pins: bool,
    pub ends: bool,
    /// A namespace is told as ended as soon as only a socket or the like holds it (6.19+, by nsfs file handles).
    pub early_ends: bool,
    /// The census lists every namespace there is (6.18+).
    pub lists: bool,
    /// setns and unshare are seen when they return.
    pub late: bool,
}

impl Abilities {
    /// # Errors
    /// When `nstrace doctor` fails.
    pub fn ask(options: &Options) -> anyhow::Result<Self> {
        let attach = options.attach.as_deref().unwrap_or("auto");
        let mut command = Command::new(program::nstrace());
        let doctor = program::run(command.args(["doctor", "-J", "--attach", attach]), patience())?;
        let facts = Facts::parse(&doctor.text())?;
        Ok(Self {
            pins: facts.sees_pins(),
            ends: facts.unseen("destroyed").is_none(),
            early_ends: facts.is_seen_by("destroyed", "nsfs handle") && release() >= (6, 19),
            lists: release() >= (6, 18),
            late: facts.unseen("setns-target").is_some(),
        })
    }
}

/// Version of the running kernel.
fn release() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
