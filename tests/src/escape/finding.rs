//! A `finding` line, read as a foreign user would: by the keys of interface.md alone.

use serde_json::Value;

use crate::line::{Line, LineTask};

/// From bad to worse.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// One line.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: String,
    pub severity: String,
    pub explain: String,
    pub task: Option<LineTask>,
    /// Type and inode number of the namespace it is about.
    pub ns: Option<(String, u32)>,
    pub evidence: Vec<u64>,
    pub boot_ns: u64,
    pub suppressed: bool,
}

impl Finding {
    /// None of other lines.
    ///
    /// # Errors
    /// When the line is a finding without one of the keys that every finding has.
    pub fn of(line: &Line) -> anyhow::Result<Option<Self>> {
        if line.event != "finding" {
            return Ok(None);
        }
        let all: Value = serde_json::from_str(&line.raw)?;
        let missing = |key: &str| anyhow::anyhow!("a finding without `{key}`: {}", line.raw);
        let text = |key: &str| all[key].as_str().map(str::to_owned).ok_or_else(|| missing(key));
        let severity = text("severity")?;
        anyhow::ensure!(SEVERITIES.contains(&severity.as_str()), "unknown severity: {}", line.raw);
        anyhow::ensure!(!text("title")?.is_empty(), missing("title"));
        anyhow::ensure!(all["mitre"].as_array().is_some_and(|list| !list.is_empty()), missing("mitre"));
        let evidence = all["evidence"].as_array().ok_or_else(|| missing("evidence"))?;
        Ok(Some(Self {
            rule: text("rule")?,
            severity,
            explain: text("explain")?,
            task: line.task.clone(),
            ns: line.ns_type().zip(line.inum()).map(|(kind, inum)| (kind.to_owned(), inum)),
            evidence: evidence.iter().filter_map(|seq| crate::line::number(Some(seq))).collect(),
            boot_ns: line.boot_ns().ok_or_else(|| missing("boot_ns"))?,
            suppressed: !all["suppressed"].is_null(),
        }))
    }

    /// All findings of a stream.
    ///
    /// # Errors
    /// As [`Finding::of`].
    pub fn all(lines: &[Line]) -> anyhow::Result<Vec<Self>> {
        lines.iter().filter_map(|line| Self::of(line).transpose()).collect()
    }

    /// Medium or worse: somebody is woken up.
    pub fn alerts(&self) -> bool {
        !self.suppressed && !matches!(self.severity.as_str(), "info" | "low")
    }

    /// The task is the one that calls itself `pid` in its own pid namespace.
    pub fn is_of(&self, pid: u32) -> bool {
        let Some(task) = &self.task else { return false };
        task.pids.as_ref().and_then(|pids| pids.last().copied()).unwrap_or(task.pid) == pid
    }

    /// For messages.
    pub fn brief(&self) -> String {
        let task = self.task.as_ref().map_or(0, |task| task.pid);
        format!("{} {} of {task}: {}", self.rule, self.severity, self.explain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(severity: &str) -> Line {
        let raw = format!(
            r#"{{"event":"finding","time":"2026-11-21T20:35:12Z","boot_ns":5,"seq":9,"rule":"NST-001","severity":"{severity}",
            "title":"t","mitre":["T1611"],"explain":"e","evidence":[8],"ns":{{"type":"mnt","inum":7,"id":null}},
            "task":{{"pid":40,"tid":40,"pids":[40,2]}},"container":null}}"#
        );
        Line::parse(&raw).expect("a line")
    }

    #[test]
    fn a_finding_is_read() {
        let finding = Finding::of(&line("critical")).expect("well-formed").expect("a finding");
        assert!(finding.alerts() && finding.is_of(2) && !finding.is_of(40));
        assert_eq!((finding.ns, finding.evidence), (Some(("mnt".to_owned(), 7)), vec![8]));
        assert!(!Finding::of(&line("low")).expect("well-formed").expect("a finding").alerts());
    }

    #[test]
    fn a_bad_finding_is_an_error() {
        assert!(Finding::of(&line("fatal")).is_err());
    }
}
