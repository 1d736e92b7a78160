//! One line of `nstrace watch -J`, read as a foreign user would: by the keys of interface.md alone.

use serde::Deserialize;
use serde_json::Value;

/// The fixed keys of an event line.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub event: String,
    pub time: Option<String>,
    pub boot_ns: Option<Value>,
    pub seq: Option<Value>,
    pub ns: Option<LineNs>,
    pub task: Option<LineTask>,
    pub cause: Option<LineCause>,
    /// Of a finding.
    pub rule: Option<String>,
    #[serde(default)]
    pub container: Value,
    pub lifetime_ns: Option<Value>,
    /// The line as it was printed.
    #[serde(skip)]
    pub raw: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct LineNs {
    #[serde(rename = "type")]
    pub ns_type: Option<String>,
    pub inum: Option<u32>,
    pub id: Option<Value>,
    pub initial: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct LineTask {
    pub pid: u32,
    pub tid: u32,
    pub comm: Option<String>,
    pub uid: Option<u32>,
    pub pids: Option<Vec<u32>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct LineCause {
    pub via: Option<String>,
    pub flags: Option<Vec<String>>,
    pub errno: Option<String>,
}

/// A 64-bit number, as a JSON number or, safe for JavaScript, as a string.
pub fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}

impl Line {
    /// Parses one line.
    ///
    /// # Errors
    /// When it is no JSON object with the keys above.
    pub fn parse(raw: &str) -> anyhow::Result<Self> {
        let mut line: Self =
            serde_json::from_str(raw).map_err(|e| anyhow::anyhow!("not an event line of interface.md ({e}): {raw}"))?;
        raw.clone_into(&mut line.raw);
        Ok(line)
    }

    /// A finding that says that somebody wrote to kernel memory.
    pub fn alleges_forgery(&self) -> bool {
        self.event == "finding" && matches!(self.rule.as_deref(), Some("NST-012" | "NST-013"))
    }

    pub fn ns_type(&self) -> Option<&str> {
        self.ns.as_ref()?.ns_type.as_deref()
    }

    pub fn inum(&self) -> Option<u32> {
        self.ns.as_ref()?.inum
    }

    pub fn ns_id(&self) -> Option<u64> {
        number(self.ns.as_ref()?.id.as_ref())
    }

    pub fn pid(&self) -> Option<u32> {
        self.task.as_ref().map(|t| t.pid)
    }

    pub fn via(&self) -> Option<&str> {
        self.cause.as_ref()?.via.as_deref()
    }

    pub fn boot_ns(&self) -> Option<u64> {
        number(self.boot_ns.as_ref())
    }

    pub fn seq(&self) -> Option<u64> {
        number(self.seq.as_ref())
    }

    pub fn lifetime_ns(&self) -> Option<u64> {
        number(self.lifetime_ns.as_ref())
    }
}
