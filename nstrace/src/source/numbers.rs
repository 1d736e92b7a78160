//! The per-CPU numbers of the records: a number that never comes is a record that was lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Stamp;

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
    lost: u64,
}

/// Which numbers came.
#[derive(Debug, Default)]
pub struct Numbers {
    cpus: BTreeMap<u32, Cpu>,
}

impl Numbers {
    /// Takes note of a record's number.
    pub fn saw(&mut self, stamp: Stamp) {
        let cpu = self.cpus.entry(stamp.cpu).or_default();
        if cpu.expected == 0 || stamp.seq == cpu.expected {
            cpu.expected = stamp.seq.saturating_add(1);
        } else if stamp.seq > cpu.expected {
            let gap = stamp.seq - cpu.expected;
            if gap > LARGE_GAP {
                cpu.lost = cpu.lost.saturating_add(gap);
            } else {
                cpu.missing.extend(cpu.expected..stamp.seq);
            }
            cpu.expected = stamp.seq.saturating_add(1);
        } else {
            cpu.missing.remove(&stamp.seq);
        }
        let settled = cpu.expected.saturating_sub(REORDER);
        while cpu.missing.first().is_some_and(|&seq| seq < settled) {
            cpu.missing.pop_first();
            cpu.lost = cpu.lost.saturating_add(1);
        }
    }

    /// Numbers that will not come any more.
    pub fn lost(&self) -> u64 {
        self.cpus.values().fold(0, |sum, cpu| sum.saturating_add(cpu.lost))
    }

    /// By CPU, with the numbers that are only late when the stream goes on.
    pub fn missing(&self) -> impl Iterator<Item = (u32, u64)> {
        self.cpus.iter().map(|(&cpu, c)| (cpu, c.lost.saturating_add(c.missing.len() as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u64]) -> Numbers {
        let mut seen = Numbers::default();
        for &seq in numbers {
            seen.saw(Stamp { boot_ns: 0, cpu: 3, seq });
        }
        seen
    }

    #[test]
    fn neighbours_that_swap_are_no_loss() {
        let mut numbers: Vec<u64> = (1..200).collect();
        numbers.swap(10, 11);
        numbers.swap(50, 52);
        assert_eq!(seen(&numbers).lost(), 0);
        assert_eq!(seen(&numbers).missing().collect::<Vec<_>>(), [(3, 0)]);
    }

    #[test]
    fn a_gap_is_lost_once_later_records_have_passed_it() {
        let numbers: Vec<u64> = (5..300).filter(|n| !(20..23).contains(n)).collect();
        assert_eq!(seen(&numbers).lost(), 3);
        // Too early to tell.
        assert_eq!(seen(&[1, 2, 5, 6]).lost(), 0);
        assert_eq!(seen(&[1, 2, 5, 6]).missing().collect::<Vec<_>>(), [(3, 2)]);
    }

    #[test]
    fn a_large_gap_counts_at_once() {
        assert_eq!(seen(&[1, 10_002]).lost(), 10_000);
    }

    #[test]
    fn a_repeated_number_is_no_loss() {
        assert_eq!(seen(&[1, 2, 2, 3, 4, 4]).lost(), 0);
    }

    #[test]
    fn hostile_numbers_do_no_harm() {
        seen(&[u64::MAX, 0, u64::MAX, 5, u64::MAX - 1]);
    }
}
