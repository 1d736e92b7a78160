//! Whether the findings are those that the table asks for.

use super::{
    act::{Act, Outcome},
    finding::Finding,
    table::{Owes, Row},
};
use crate::{doctor::Facts, line::Line};

/// An attempt, and when it was.
#[derive(Clone, Debug)]
pub struct Tried {
    pub row: &'static Row,
    pub act: Act,
    /// CLOCK_BOOTTIME in nanoseconds around the container's life.
    pub began: u64,
    pub ended: u64,
    /// Which runtime's container it was.
    pub runtime: &'static str,
}

/// A helper runs when the kernel gets round to it; the next attempt's own findings name another task.
const LATE_NS: u64 = 5_000_000_000;

impl Tried {
    /// Why nothing can be found, in this attach mode on this kernel: the fact is not seen, or not what makes a container.
    pub fn excuse(&self, facts: &Facts) -> Option<String> {
        if let Owes::Unseen(why) = self.row.owes {
            return Some(why.to_owned());
        }
        let fact = self.row.owes.fact()?;
        if !facts.tells_detectors() {
            return Some("this nstrace has no detectors".to_owned());
        }
        [fact, "placed"].into_iter().find_map(|fact| Some(format!("{fact}: {}", facts.unseen(fact)?)))
    }

    /// What the table and the findings disagree about; None: they agree.
    pub fn fault(&self, findings: &[Finding]) -> Option<String> {
        if matches!(self.act.outcome, Outcome::Skipped { .. }) {
            return None;
        }
        let during = |late: u64| {
            let window = self.began..=self.ended.saturating_add(late);
            findings.iter().filter(move |finding| window.contains(&finding.boot_ns))
        };
        let own = || during(0).filter(|finding| finding.is_of(self.act.pid));
        let say = |what: String, others: Vec<&Finding>| {
            let others: Vec<String> = others.into_iter().map(Finding::brief).collect();
            let seen = if others.is_empty() { "nothing was found".to_owned() } else { others.join("; ") };
            Some(format!("{} ({}, {}): {what}; {seen}", self.row.technique, self.runtime, self.outcome()))
        };
        match self.row.owes {
            Owes::Finding(rule, _) => {
                let right = own().any(|finding| finding.rule == rule && self.names_the_target(finding));
                if right { None } else { say(format!("no {rule} of pid {}", self.act.pid), during(0).collect()) }
            }
            Owes::FindingOfAnother(rule, _) => {
                let right = during(LATE_NS).any(|finding| finding.rule == rule);
                if right { None } else { say(format!("no {rule}"), during(LATE_NS).collect()) }
            }
            Owes::RefusalOf(rule) => {
                let alleged: Vec<&Finding> = own().filter(|finding| finding.rule == rule).collect();
                if alleged.is_empty() { None } else { say("was refused".to_owned(), alleged) }
            }
            Owes::Unseen(_) => None,
            Owes::DeniedLine | Owes::Refusal | Owes::Nothing => {
                // The posture of the container is another matter.
                let alleged: Vec<&Finding> = own().filter(|f| f.alerts() && f.rule != "NST-021").collect();
                if alleged.is_empty() { None } else { say("is no finding".to_owned(), alleged) }
            }
        }
    }

    /// It wrote to kernel memory, and this finding is about its task.
    pub fn forged(&self, finding: &Finding) -> bool {
        let forges = matches!(self.row.owes, Owes::Finding("NST-012" | "NST-013", _));
        forges && (self.began..=self.ended).contains(&finding.boot_ns) && finding.is_of(self.act.pid)
    }

    /// The `denied` line that is owed and is not among these, which may all be of other attempts.
    pub fn denial_missing(&self, lines: &[Line]) -> Option<String> {
        let (Owes::DeniedLine, Outcome::Denied { errno }) = (self.row.owes, &self.act.outcome) else { return None };
        let told = lines.iter().any(|line| {
            let task = line.task.as_ref();
            let pid = task.map(|task| task.pids.as_ref().and_then(|pids| pids.last().copied()).unwrap_or(task.pid));
            let told = line.cause.as_ref().and_then(|cause| cause.errno.as_ref());
            line.event == "denied" && pid == Some(self.act.pid) && told == Some(errno)
        });
        (!told).then(|| format!("{}: {errno} without a denied line", self.row.technique))
    }

    /// Where the technique was about namespaces, so must be the finding: one that was reached for, or entered.
    fn names_the_target(&self, finding: &Finding) -> bool {
        let Some(target) = &self.act.target else { return true };
        let entered = self.act.after.iter().filter(|(name, inum)| self.act.before.get(*name) != Some(inum));
        let mut reached = entered.map(|(name, inum)| (name.as_str(), *inum));
        finding.ns.as_ref().is_some_and(|(kind, inum)| {
            (*kind == target.ns_type && *inum == target.inum) || reached.any(|other| other == (kind.as_str(), *inum))
        })
    }

    fn outcome(&self) -> String {
        match &self.act.outcome {
            Outcome::Done { detail } => format!("done: {detail}"),
            Outcome::Denied { errno } => errno.clone(),
            Outcome::Skipped { why } => why.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        escape::{act::Target, table::ROWS},
        line::LineTask,
    };

    fn tried(technique: &str, outcome: Outcome) -> Tried {
        let row = ROWS.iter().find(|row| row.technique == technique).expect("in the table");
        let target = Some(Target { ns_type: "mnt".to_owned(), inum: 7 });
        let (before, after) = (BTreeMap::new(), BTreeMap::new());
        let act = Act { technique: technique.to_owned(), pid: 3, uid: 0, before, after, target, outcome };
        Tried { row, act, began: 10, ended: 20, runtime: "test" }
    }

    fn finding(rule: &str, pid: u32, inum: u32, boot_ns: u64) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity: "critical".to_owned(),
            explain: String::new(),
            task: Some(LineTask { pid, tid: pid, comm: None, uid: None, pids: None }),
            ns: Some(("mnt".to_owned(), inum)),
            evidence: Vec::new(),
            boot_ns,
            suppressed: false,
        }
    }

    #[test]
    fn rule_task_namespace_and_time_have_to_be_right() {
        let tried = tried("setns-mnt", Outcome::Done { detail: String::new() });
        assert_eq!(tried.fault(&[finding("NST-001", 3, 7, 15)]), None);
        for wrong in [
            finding("NST-002", 3, 7, 15),
            finding("NST-001", 4, 7, 15),
            finding("NST-001", 3, 8, 15),
            finding("NST-001", 3, 7, 25),
        ] {
            assert!(tried.fault(&[wrong]).is_some());
        }
    }

    #[test]
    fn only_who_forges_may_be_told_so() {
        let done = || Outcome::Done { detail: String::new() };
        let found = |pid| finding("NST-013", pid, 7, 15);
        assert!(tried("forge-nsproxy", done()).forged(&found(3)));
        assert!(!tried("forge-nsproxy", done()).forged(&found(4)));
        assert!(!tried("setns-mnt", done()).forged(&found(3)));
    }

    #[test]
    fn a_refusal_alleges_nothing() {
        let tried = tried("setns-pidfd-denied", Outcome::Denied { errno: "EPERM".to_owned() });
        assert_eq!(tried.fault(&[finding("NST-001", 4, 7, 15), finding("NST-021", 3, 7, 15)]), None);
        assert!(tried.fault(&[finding("NST-001", 3, 7, 15)]).is_some());
    }
}
