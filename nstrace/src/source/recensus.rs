//! When a census after a loss is taken, and when all has been read that it has to be compared with.

use std::time::{Duration, Instant};

/// How long a census after a loss waits for a quiet moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// Censuses after losses. Numbers are those of syncs of the ring, which come back when all that it held at the time was read.
#[derive(Debug, Default)]
pub struct Recensus {
    due: Option<Due>,
    /// The last census was handed out, and ends with this sync: what the ring held by then is older than its end.
    ends: Option<u64>,
}

#[derive(Debug)]
struct Due {
    since: Instant,
    /// What the ring held when the loss was found comes before the census, which it would make stale.
    after: u64,
    drained: bool,
}

impl Recensus {
    /// Records were lost. `sync`: asks for one.
    pub fn lost(&mut self, now: Instant, sync: impl FnOnce() -> u64) {
        self.due.get_or_insert_with(|| Due { since: now, after: sync(), drained: false });
    }

    /// All of the ring that a sync is about was read. Whether the census that was taken is over by that.
    pub fn drained(&mut self, number: u64) -> bool {
        if let Some(due) = &mut self.due {
            due.drained |= due.after <= number;
        }
        self.ends.take_if(|ends| *ends <= number).is_some()
    }

    /// Ends the census that was taken, if there is one.
    pub fn end(&mut self) -> bool {
        self.ends.take().is_some()
    }

    /// Nothing more is waited for. Whether a census was.
    pub fn forgo(&mut self) -> bool {
        self.due.take().is_some()
    }

    /// Now is the time for a census. While the ring is full of older records it would be stale before it is applied, so it waits,
    /// but not for ever; only for the end of the one before.
    pub fn is_due(&self, now: Instant, quiet: bool) -> bool {
        let ripe = |due: &Due| quiet && due.drained || now.duration_since(due.since) > PATIENCE;
        self.ends.is_none() && self.due.as_ref().is_some_and(ripe)
    }

    /// It was taken; `sync` was asked for after that.
    pub fn taken(&mut self, sync: u64) {
        (self.due, self.ends) = (None, Some(sync));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_waits_for_a_quiet_moment_after_what_the_ring_held() {
        let start = Instant::now();
        let mut recensus = Recensus::default();
        assert!(!recensus.is_due(start, true), "nothing was lost");
        recensus.lost(start, || 3);
        assert!(!recensus.is_due(start, true), "the ring is not drained");
        assert!(!recensus.drained(2));
        assert!(!recensus.is_due(start, true));
        assert!(!recensus.drained(3));
        assert!(!recensus.is_due(start, false), "not quiet");
        assert!(recensus.is_due(start, true));
        assert!(recensus.is_due(start + 2 * PATIENCE, false), "not for ever");
    }

    #[test]
    fn a_census_ends_when_all_is_read_that_was_there_before_its_end() {
        let start = Instant::now();
        let mut recensus = Recensus::default();
        recensus.lost(start, || 1);
        recensus.taken(2);
        assert!(!recensus.drained(1));
        recensus.lost(start, || 3);
        assert!(!recensus.is_due(start + 2 * PATIENCE, true), "another one is not over");
        assert!(recensus.drained(2));
        assert!(!recensus.drained(3), "once");
        assert!(recensus.is_due(start, true));
        assert!(!recensus.end(), "it is over");
        assert!(recensus.forgo());
        assert!(!recensus.forgo() && !recensus.is_due(start, true));
    }
}
