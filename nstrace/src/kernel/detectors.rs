//! Which detectors can see on this kernel: from the facts that they judge by.

use std::collections::BTreeMap;

use super::{
    facts::FACTS,
    report::{Coverage, DetectorReport, FactReport},
};

/// Every detector of the table, in the order of their ids.
pub fn detectors(facts: &[FactReport]) -> Vec<DetectorReport> {
    let mut judged: BTreeMap<&'static str, Vec<&FactReport>> = BTreeMap::new();
    for (fact, report) in FACTS.iter().filter_map(|fact| Some((fact, facts.iter().find(|r| r.fact == fact.name)?))) {
        for detector in fact.detectors {
            judged.entry(detector).or_default().push(report);
        }
    }
    let reports = judged.into_iter().map(|(detector, facts)| {
        let coverage = if facts.iter().all(|f| f.coverage == Coverage::Full) {
            Coverage::Full
        } else if facts.iter().all(|f| f.coverage == Coverage::None) {
            Coverage::None
        } else {
            Coverage::Partial
        };
        let unseen = facts.iter().filter(|f| f.coverage != Coverage::Full).map(|f| f.fact).collect();
        DetectorReport { detector, coverage, unseen }
    });
    reports.collect()
}

#[cfg(test)]
mod tests {
    use super::{FACTS, detectors};
    use crate::{
        detect::catalogue::RULES,
        kernel::report::{Coverage, FactReport},
    };

    fn facts(coverage: impl Fn(&str) -> Coverage) -> Vec<FactReport> {
        let report = |name, meaning| FactReport {
            fact: name,
            meaning,
            coverage: coverage(name),
            hooks: Vec::new(),
            invisible: None,
            for_detectors: false,
        };
        FACTS.iter().map(|fact| report(fact.name, fact.meaning)).collect()
    }

    #[test]
    fn a_detector_sees_as_much_as_the_facts_it_judges_by() {
        let all = detectors(&facts(|_| Coverage::Full));
        assert!(all.iter().all(|d| d.coverage == Coverage::Full && d.unseen.is_empty()), "{all:?}");
        let without_opens = detectors(&facts(|name| if name == "opens" { Coverage::None } else { Coverage::Full }));
        let of = |id| without_opens.iter().find(|d| d.detector == id).expect("in the table");
        assert_eq!((of("NST-005").coverage, &of("NST-005").unseen[..]), (Coverage::None, &["opens"][..]));
        assert_eq!((of("NST-007").coverage, &of("NST-007").unseen[..]), (Coverage::Partial, &["opens"][..]));
        assert_eq!(of("NST-018").coverage, Coverage::Full);
    }

    /// One judges by no fact of the kernel's: the tracer's own losses.
    #[test]
    fn every_rule_is_a_detector_with_facts() {
        let known: Vec<&str> = detectors(&facts(|_| Coverage::Full)).iter().map(|d| d.detector).collect();
        let rules: Vec<&str> = RULES.iter().map(|rule| rule.id).filter(|id| *id != "NST-024").collect();
        assert_eq!(known, rules);
    }

    #[test]
    fn facts_are_named_once() {
        for (at, fact) in FACTS.iter().enumerate() {
            assert!(FACTS[..at].iter().all(|other| other.name != fact.name), "{}", fact.name);
        }
    }
}
