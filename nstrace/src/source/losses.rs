//! Which records never arrived, from the kernel's own counters and from gaps in the per-CPU numbers.

use std::collections::HashMap;

use super::numbers::Numbers;
use crate::{event::Stamp, kernel::Counters};

/// What has been lost and told.
#[derive(Debug, Default)]
pub struct Losses {
    numbers: Numbers,
    /// Of the numbers that never came, those that have been told or that the kernel's drop counters have explained.
    explained: u64,
    ring_full: HashMap<&'static str, u64>,
}

impl Losses {
    /// Takes note of a record's number.
    pub fn saw(&mut self, stamp: Stamp) {
        self.numbers.saw(stamp);
    }

    /// Losses since the last call, with the hook where it is known.
    pub fn check(&mut self, counters: &mut Counters) -> anyhow::Result<Vec<(Option<&'static str>, u64)>> {
        let mut lost = Vec::new();
        for (hook, total) in counters.ring_full()? {
            let told = self.ring_full.entry(hook).or_default();
            let new = total - *told;
            if new > 0 {
                *told = total;
                self.explained += new;
                lost.push((Some(hook), new));
            }
        }
        for (hook, count) in counters.skipped_alone_since() {
            lost.push((Some(hook), count));
        }
        // The counters are ahead of the records, so what they do not explain is really unexplained.
        let gaps = self.numbers.lost();
        if gaps > self.explained {
            lost.push((None, gaps - self.explained));
            self.explained = gaps;
        }
        Ok(lost)
    }
}
