//! Namespaces without any process: kept on purpose, or orphaned; pure.

use super::{
    facts::Leftover,
    verdict::{Judgement, Severity},
};

pub fn judge(leftover: &Leftover) -> Judgement {
    let kinds: Vec<String> = leftover.kept_by.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { "nothing that can be seen".to_owned() } else { kinds.join(", ") };
    let first = leftover.first.as_ref().map(|first| format!(": {first}")).unwrap_or_default();
    if leftover.persisted {
        let text = format!("{} has no process and is kept by {kinds}{first}", leftover.ns.0);
        return Judgement::finding(Severity::Low, text);
    }
    if leftover.kept_by.is_empty() {
        return Judgement::unknown(format!("{} has no process, and what keeps it cannot be seen", leftover.ns.0));
    }
    Judgement::finding(Severity::Info, format!("{} has no process and is kept by {kinds}{first}", leftover.ns.0))
}
