//! The same finding again and again is told once, and then at each power of ten.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Map;

/// What makes two findings the same: rule, process (tgid), object.
type Cause = (String, u32, u64);

/// Causes remembered; the oldest is forgotten for a new one.
const REMEMBERED: usize = 16_384;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Repeats {
    #[serde(with = "super::pairs")]
    counts: Map<Cause, u64>,
    order: VecDeque<Cause>,
}

impl Repeats {
    /// How often it was found by now; None: not to be told this time.
    pub fn count(&mut self, rule: &str, process: u32, object: u64) -> Option<u64> {
        let cause = (rule.to_owned(), process, object);
        if let Some(count) = self.counts.get_mut(&cause) {
            *count += 1;
            return Some(*count).filter(|&count| is_power_of_ten(count));
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.counts.insert(cause.clone(), 1);
        self.order.push_back(cause);
        Some(1)
    }
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number >= 10 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}

#[cfg(test)]
mod tests {
    use super::is_power_of_ten;

    #[test]
    fn powers_of_ten() {
        let told: Vec<u64> = (1..=1000).filter(|&n| is_power_of_ten(n)).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
    }
}
