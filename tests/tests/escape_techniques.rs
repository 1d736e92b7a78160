//! The attacks without nstrace: each one really works in the container it is tried in, or is refused where it should be.
//! So a red live test of findings speaks of nstrace, not of the attacks.

use nstrace_tests::{
    escape::{
        act::{Act, Outcome},
        stage::Stage,
        table::{Owes, ROWS, Row, by_needs},
    },
    live::one_at_a_time,
    program::{self, in_guest, note},
};

#[test]
fn every_technique_does_what_the_table_says() {
    let _turn = one_at_a_time();
    if !program::live_actor() {
        return;
    }
    let mut stage = Stage::new().expect("a stage");
    let mut faults = Vec::new();
    for (needs, rows) in by_needs() {
        let techniques: Vec<&str> = rows.iter().map(|row| row.technique).collect();
        match stage.attempt(needs, &techniques) {
            Ok(acts) => faults.extend(rows.into_iter().zip(acts).filter_map(|(row, act)| fault(row, &act))),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    assert!(faults.is_empty(), "{} of {} techniques:\n{}", faults.len(), ROWS.len(), faults.join("\n"));
}

/// What the table and the kernel disagree about.
fn fault(row: &Row, act: &Act) -> Option<String> {
    let as_said = match (&act.outcome, row.owes) {
        (Outcome::Denied { .. }, Owes::DeniedLine | Owes::Refusal | Owes::RefusalOf(_)) => true,
        (Outcome::Done { .. }, owes) => !matches!(owes, Owes::DeniedLine | Owes::Refusal | Owes::RefusalOf(_)),
        (Outcome::Skipped { why }, _) => {
            note(&format!("{}: not tried: {why}", row.technique));
            let has_module = row.technique.starts_with("forge-") && std::env::var_os("NSTRACE_FORGE").is_some();
            (row.may_be_missing && !has_module) || (!in_guest() && why.starts_with("no "))
        }
        (Outcome::Denied { .. }, _) => false,
    };
    (!as_said).then(|| format!("{} in {:?}: {:?}", row.technique, row.needs, act.outcome))
}
