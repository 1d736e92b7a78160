//! Which records never arrived, from the kernel's own counters and from gaps in the per-CPU numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{event::Stamp, kernel::Counters};

/// A number that is still missing when this many later ones of its CPU have arrived is lost: only a few programs can
/// interrupt each other between numbering and submission.
const REORDER: u64 = 64;
/// A larger gap is counted as a whole, not remembered number by number.
const LARGE_GAP: u64 = 4096;

#[derive(Debug, Default)]
struct Cpu {
    /// The next number expected; 0 = none seen yet.
    expected: u64,
    missing: BTreeSet<u64>,
}

/// What has been lost and told.
#[derive(Debug, Default)]
pub struct Losses {
    cpus: BTreeMap<u32, Cpu>,
    /// Numbers that never came.
    gaps: u64,
    /// Of them, those the kernel's drop counters have explained.
    explained: u64,
    ring_full: HashMap<&'static str, u64>,
}

impl Losses {
    /// Takes note of a record's number.
    pub fn saw(&mut self, stamp: Stamp) {
        let cpu = self.cpus.entry(stamp.cpu).or_default();
        if cpu.expected == 0 || stamp.seq == cpu.expected {
            cpu.expected = stamp.seq + 1;
        } else if stamp.seq > cpu.expected {
            let gap = stamp.seq - cpu.expected;
            if gap > LARGE_GAP {
                self.gaps += gap;
            } else {
                cpu.missing.extend(cpu.expected..stamp.seq);
            }
            cpu.expected = stamp.seq + 1;
        } else {
            cpu.missing.remove(&stamp.seq);
        }
        let settled = cpu.expected.saturating_sub(REORDER);
        while cpu.missing.first().is_some_and(|&seq| seq < settled) {
            cpu.missing.pop_first();
            self.gaps += 1;
        }
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
        if self.gaps > self.explained {
            lost.push((None, self.gaps - self.explained));
            self.explained = self.gaps;
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u64]) -> u64 {
        let mut losses = Losses::default();
        for &seq in numbers {
            losses.saw(Stamp { boot_ns: 0, cpu: 3, seq });
        }
        losses.gaps
    }

    #[test]
    fn neighbours_that_swap_are_no_loss() {
        let mut numbers: Vec<u64> = (1..200).collect();
        numbers.swap(10, 11);
        numbers.swap(50, 52);
        assert_eq!(seen(&numbers), 0);
    }

    #[test]
    fn a_gap_is_lost_once_later_records_have_passed_it() {
        let numbers: Vec<u64> = (5..300).filter(|n| !(20..23).contains(n)).collect();
        assert_eq!(seen(&numbers), 3);
        // Too early to tell.
        assert_eq!(seen(&[1, 2, 5, 6]), 0);
    }

    #[test]
    fn a_large_gap_counts_at_once() {
        assert_eq!(seen(&[1, 10_002]), 10_000);
    }

    #[test]
    fn a_repeated_number_is_no_loss() {
        assert_eq!(seen(&[1, 2, 2, 3, 4, 4]), 0);
    }
}
