//! The result of a comparison.

use std::{collections::BTreeMap, fmt};

/// What did not agree, and what could not be compared.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub matched: usize,
    /// Expectations without a line.
    pub missing: Vec<String>,
    /// Lines with wrong fields or in the wrong place.
    pub wrong: Vec<String>,
    /// Lines about the actor's processes that nothing explains: duplicates, namespaces that never lived.
    pub unexpected: Vec<String>,
    /// Reason → how many lines stayed away because of it.
    pub skipped: BTreeMap<String, usize>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.missing.is_empty() && self.wrong.is_empty() && self.unexpected.is_empty()
    }

    pub(super) fn skip(&mut self, event: &str, why: &str) {
        *self.skipped.entry(format!("{event}: {why}")).or_default() += 1;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough to see the pattern.
        const MOST: usize = 12;
        let mut part = |title: &str, entries: &[String]| -> fmt::Result {
            if entries.is_empty() {
                return Ok(());
            }
            writeln!(f, "{} {title}:", entries.len())?;
            for entry in entries.iter().take(MOST) {
                writeln!(f, "  - {entry}")?;
            }
            if entries.len() > MOST {
                writeln!(f, "  … and {} more", entries.len() - MOST)?;
            }
            Ok(())
        };
        part("expected lines did not come", &self.missing)?;
        part("faults", &self.wrong)?;
        part("lines came without a reason", &self.unexpected)?;
        for (why, count) in &self.skipped {
            writeln!(f, "not compared, {count} times {why}")?;
        }
        write!(f, "{} lines as expected", self.matched)
    }
}
