//! Which records never arrived, from the kernel's own counters and from gaps in the per-CPU numbers.

use std::collections::HashMap;

use super::numbers::Numbers;
use crate::{event::Stamp, kernel::Counters};

/// Records that never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub count: u64,
    /// None: only the gap in the numbers is known.
    pub hook: Option<&'static str>,
    /// The cgroup whose tasks' records found no room.
    pub cgroup: Option<u64>,
}

/// What has been lost and told.
#[derive(Debug, Default)]
pub struct Losses {
    numbers: Numbers,
    /// Of the numbers that never came, those that have been told or that the kernel's drop counters have explained.
    explained: u64,
    dropped: HashMap<&'static str, u64>,
    /// Of them, by cgroup.
    by_cgroup: HashMap<(&'static str, u64), u64>,
}

impl Losses {
    /// Takes note of a record's number.
    pub fn saw(&mut self, stamp: Stamp) {
        self.numbers.saw(stamp);
    }

    /// Records have been dropped that [`Self::check`] has not told yet. Costs next to nothing.
    pub fn are_untold(&self, counters: &Counters) -> bool {
        counters.dropped_in_all() > self.dropped.values().sum()
    }

    /// Losses since the last call.
    pub fn check(&mut self, counters: &mut Counters) -> Vec<Loss> {
        let mut lost = Vec::new();
        for (hook, total) in counters.dropped() {
            let new = grown(self.dropped.entry(hook).or_default(), total);
            if new > 0 {
                self.explained += new;
                self.share_out(hook, new, counters.dropped_by_cgroup(hook), &mut lost);
            }
        }
        for (hook, count) in counters.skipped_alone_since() {
            lost.push(Loss { count, hook: Some(hook), cgroup: None });
        }
        // The counters are ahead of the records, so what they do not explain is really unexplained.
        let gaps = self.numbers.lost();
        if gaps > self.explained {
            lost.push(Loss { count: gaps - self.explained, hook: None, cgroup: None });
            self.explained = gaps;
        }
        lost
    }

    /// Tells `count` lost records of a hook, cgroup by cgroup as far as `cgroups` (counted from the beginning) knows.
    fn share_out(&mut self, hook: &'static str, count: u64, cgroups: Vec<(u64, u64)>, lost: &mut Vec<Loss>) {
        let mut left = count;
        for (cgroup, total) in cgroups {
            // The counts go on while they are read: never tell more than were lost in all.
            let told = self.by_cgroup.entry((hook, cgroup)).or_default();
            // Forgotten by the kernel meanwhile, and counted anew.
            *told = if total < *told { 0 } else { *told };
            let new = total.saturating_sub(*told).min(left);
            *told += new;
            if new > 0 {
                left -= new;
                lost.push(Loss { count: new, hook: Some(hook), cgroup: Some(cgroup) });
            }
        }
        if left > 0 {
            lost.push(Loss { count: left, hook: Some(hook), cgroup: None });
        }
    }
}

/// By how much a counter has grown since the last call.
fn grown(told: &mut u64, total: u64) -> u64 {
    let new = total.saturating_sub(*told);
    *told = total;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_shared_out_among_cgroups_and_never_exceed_the_total() {
        let mut losses = Losses::default();
        let mut share = |count, cgroups: &[(u64, u64)]| {
            let mut lost = Vec::new();
            losses.share_out("setns", count, cgroups.to_vec(), &mut lost);
            lost.iter().map(|l| (l.count, l.cgroup)).collect::<Vec<_>>()
        };
        assert_eq!(share(10, &[(7, 6), (8, 3)]), [(6, Some(7)), (3, Some(8)), (1, None)]);
        // Counted on since the total was read.
        assert_eq!(share(2, &[(7, 10), (8, 3)]), [(2, Some(7))]);
        assert_eq!(share(2, &[(7, 10), (8, 3)]), [(2, Some(7))]);
        // The kernel's map has forgotten it and begun anew.
        assert_eq!(share(1, &[(7, 1)]), [(1, Some(7))]);
    }
}
