//! Detectors look at each event once the world has taken it in, and their findings are changes like all others.

use super::{Change, What, World};
use crate::{
    deed::Placed,
    event::{Event, Stamp},
};

impl World {
    /// `out[told..]` is what the event changed.
    pub(super) fn detect(&mut self, stamp: Stamp, event: &Event, told: usize, out: &mut Vec<Change>) {
        let mut found = Vec::new();
        let mut detectors = std::mem::take(&mut self.detectors);
        detectors.see(self, event, &out[told..], &mut found);
        self.detectors = detectors;
        // A deed has a line when, and only when, a finding rests on it.
        let mut line = None;
        for mut one in found {
            if let Event::Deed(deed) = event {
                let seq = *line.get_or_insert_with(|| {
                    let cause = (&deed.call).into();
                    self.log.write(out, stamp, What::Deed(deed.clone()), Some(&deed.task), Some(cause));
                    self.log.last_seq
                });
                one.finding.evidence.push(seq);
            }
            let what = What::Finding(Box::new(one.finding));
            self.log.write(out, stamp, what, one.task.as_ref(), one.cause);
        }
    }

    /// Where a task stands that the start-up snapshot, or the one after a loss, found.
    pub(super) fn stands(&mut self, placed: &Placed) {
        let mut detectors = std::mem::take(&mut self.detectors);
        detectors.snapshot(self, placed);
        self.detectors = detectors;
    }
}
