//! One order for the stream: that of the ring.

use crate::event::Stamp;

/// Makes the stamps of a stream never decrease.
///
/// A program reads the time and then takes its place in the ring, and on preemptible kernels another one may run in
/// between, so a record can be older than the one before it by as long as the scheduler likes (milliseconds were seen on
/// 7.3). It is told at the time of that earlier record, which lies between its own reading and its own place: the fact
/// is never put after the return of the call that made it. The order of the ring is the order of the stream; the model
/// compares times only to tell a snapshot from records, and what was seen before a call began.
#[derive(Debug, Default)]
pub struct Order {
    latest: u64,
}

impl Order {
    /// Goes on after a record of this time.
    pub fn after(latest: u64) -> Self {
        Self { latest }
    }

    /// The time of the latest record.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    /// The stamp with a time that is not before that of any earlier record.
    pub fn record(&mut self, stamp: Stamp) -> Stamp {
        self.latest = self.latest.max(stamp.boot_ns);
        Stamp { boot_ns: self.latest, ..stamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_never_go_back() {
        let mut order = Order::default();
        let times = [10, 12, 7, 12, 30, 29].map(|boot_ns| order.record(Stamp { boot_ns, cpu: 0, seq: 1 }).boot_ns);
        assert_eq!(times, [10, 12, 12, 12, 30, 30]);
    }
}
