//! NST-024: what could not be seen.

use super::{Found, catalogue::BLIND};

/// As many lost records as chance does not explain: somebody keeps the tracer busy. Fewer are told as `lost` and mended.
const FLOOD: u64 = 1_000;

pub(super) fn lost(count: u64, hook: Option<&str>, found: &mut Vec<Found>) {
    if count < FLOOD {
        return;
    }
    let of = hook.map(|hook| format!(" of hook {hook}")).unwrap_or_default();
    found.push(Found {
        rule: &BLIND,
        severity: BLIND.severity,
        explain: format!("{count} records{of} were lost: what they said was not looked at"),
        task: None,
        direction: None,
        ns: None,
        from: None,
        object: 0,
    });
}
