//! The living namespaces by `nstrace ls -J`, which asks the kernel by BPF iterators and knows nothing of the tracer.

use std::collections::BTreeMap;

use anyhow::Context;
use nstrace_tests::{
    kinds::KINDS,
    line::number,
    program::{self, patience},
};
use serde_json::Value;

use crate::lives::Name;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Not the initial ones; with the 64-bit id, if the kernel has any.
    pub living: BTreeMap<Name, Option<u64>>,
}

impl Census {
    /// # Errors
    /// When nstrace fails or prints something else.
    pub fn now() -> anyhow::Result<Self> {
        let mut command = std::process::Command::new(program::nstrace());
        let output = program::run(command.args(["ls", "-J"]), patience())?;
        anyhow::ensure!(
            matches!(output.status.code(), Some(0 | 4)),
            "nstrace ls -J: {}: {}",
            output.status,
            output.stderr
        );
        let document: Value = serde_json::from_slice(&output.stdout).context("nstrace ls -J prints JSON")?;
        let rows = document["namespaces"].as_array().context("ls -J has `namespaces`")?;
        let living = rows.iter().filter(|row| row["initial"] != true).filter_map(row).collect();
        Ok(Self { living })
    }
}

fn row(row: &Value) -> Option<(Name, Option<u64>)> {
    let ns_type = row["type"].as_str()?;
    let ns_type = KINDS.into_iter().find(|kind| kind.name == ns_type)?.name;
    let inum = u32::try_from(row["ns"].as_u64()?).ok()?;
    Some(((ns_type, inum), number(row.get("id"))))
}
