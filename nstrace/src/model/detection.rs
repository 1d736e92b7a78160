//! Detectors look at each event once the world has taken it in, and their findings are changes like all others.

use super::{Change, What, World, snapshot::Phase};
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

    /// Where a task stands that a snapshot found: of the first one at once, of a later one when it is complete, because
    /// its namespaces are only known then.
    pub(super) fn stands(&mut self, placed: &Placed) {
        match &mut self.phase {
            Phase::Resync(resync) => resync.placed(placed),
            Phase::Snapshot { .. } | Phase::Live => self.stand(std::slice::from_ref(placed)),
        }
    }

    /// The same for all tasks of a snapshot that is complete: the detectors forget those that are no more.
    pub(super) fn stand(&mut self, placed: &[Placed]) {
        let mut detectors = std::mem::take(&mut self.detectors);
        if matches!(self.phase, Phase::Live) {
            detectors.forget(|task| self.tasks.get(task.tid).is_none_or(|known| !known.task.key().same_task(task)));
        }
        for placed in placed {
            detectors.snapshot(self, placed);
        }
        self.detectors = detectors;
    }
}
