//! Programs at the place of one: what only some of them missed is told by the others, what all of them missed is lost. The kernel
//! counts how often it skipped each, not which occasions, so this is what can have been lost at most, and mostly nothing was: it
//! is for the summary, not for a census.

use std::time::{Duration, Instant};

/// An occasion that all of them missed is counted for all within this time.
const WINDOW: Duration = Duration::from_millis(250);

/// Some programs, by their place in a list.
#[derive(Debug)]
pub(super) struct Together {
    pub members: Vec<usize>,
    /// Skipped runs of each in the last full window and in this one.
    skipped: Vec<[u64; 2]>,
    since: Instant,
}

impl Together {
    pub fn new(members: Vec<usize>, now: Instant) -> Self {
        Self { skipped: vec![[0; 2]; members.len()], members, since: now }
    }

    /// How many occasions all of them can have missed, given how many more times each was skipped since the last call.
    pub fn missed(&mut self, new: impl Fn(usize) -> u64, now: Instant) -> u64 {
        for (skipped, member) in self.skipped.iter_mut().zip(&self.members) {
            skipped[1] += new(*member);
        }
        let missed = self.skipped.iter().map(|[before, now]| before + now).min().unwrap_or(0);
        for [before, now] in &mut self.skipped {
            let of_before = missed.min(*before);
            *before -= of_before;
            *now -= missed - of_before;
        }
        if now.duration_since(self.since) >= WINDOW {
            self.since = now;
            for [before, now] in &mut self.skipped {
                *before = std::mem::take(now);
            }
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_can_have_missed_is_lost() {
        let start = Instant::now();
        let mut together = Together::new(vec![0, 1], start);
        let mut missed = |new: [u64; 2], millis| together.missed(|i| new[i], start + Duration::from_millis(millis));
        assert_eq!(missed([3, 0], 10), 0, "the other one saw them");
        assert_eq!(missed([0, 1], 20), 1, "counted a little later");
        assert_eq!(missed([0, 0], 30), 0, "and once");
        assert_eq!(missed([0, 0], 300), 0);
        assert_eq!(missed([0, 1], 310), 1, "on both sides of a window's end");
        assert_eq!(missed([0, 0], 600), 0);
        assert_eq!(missed([0, 0], 900), 0);
        assert_eq!(missed([0, 5], 910), 0, "what the first missed long ago was something else");
    }
}
