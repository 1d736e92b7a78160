//! The attacks without nstrace: each one really works in the container it is tried in, or is refused where it should be.
//! So a red live test of findings speaks of nstrace, not of the attacks.

use nstrace_tests::{
    escape::{
        act::Outcome,
        stage::Stage,
        table::{Owes, ROWS},
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
    for row in ROWS {
        let act = match stage.attempt(row.needs, row.technique) {
            Ok(act) => act,
            Err(error) => {
                faults.push(format!("{}: {error:#}", row.technique));
                continue;
            }
        };
        let as_said = match (&act.outcome, row.owes) {
            (Outcome::Denied { .. }, Owes::Refusal) => true,
            (Outcome::Done { .. }, owes) => owes != Owes::Refusal,
            (Outcome::Skipped { why }, _) => {
                note(&format!("{}: not tried: {why}", row.technique));
                row.may_be_missing || (!in_guest() && why.starts_with("no "))
            }
            (Outcome::Denied { .. }, _) => false,
        };
        if !as_said {
            faults.push(format!("{} in {:?}: {:?}", row.technique, row.needs, act.outcome));
        }
    }
    assert!(faults.is_empty(), "{} of {} techniques:\n{}", faults.len(), ROWS.len(), faults.join("\n"));
}
