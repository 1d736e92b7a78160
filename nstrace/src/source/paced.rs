//! A recording at the pace at which it was made, or another one.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Source;
use crate::{event::Stamped, ns::NsName};

/// Hands events on when their time has come: `speed` times as fast as they happened.
#[derive(Debug)]
pub struct Paced<S> {
    source: S,
    speed: f64,
    /// When the first event was handed on, and its boot time.
    start: Option<(Instant, u64)>,
    waiting: VecDeque<Stamped>,
}

impl<S: Source> Paced<S> {
    /// `speed` is positive.
    pub fn new(source: S, speed: f64) -> Self {
        Self { source, speed, start: None, waiting: VecDeque::new() }
    }

    /// How long until an event of this boot time is due.
    fn until(&mut self, boot_ns: u64) -> Duration {
        let &mut (start, first) = self.start.get_or_insert_with(|| (Instant::now(), boot_ns));
        let since = Duration::from_nanos(boot_ns.saturating_sub(first)).as_secs_f64() / self.speed;
        let due = Duration::try_from_secs_f64(since).unwrap_or(Duration::MAX);
        due.saturating_sub(start.elapsed())
    }
}

impl<S: Source> Source for Paced<S> {
    fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        if self.waiting.is_empty() {
            match self.source.next(wait)? {
                None => return Ok(None),
                Some(events) => self.waiting.extend(events),
            }
        }
        if let Some(first) = self.waiting.front().map(|event| event.stamp.boot_ns) {
            let due = self.until(first);
            // The caller wants to look at other things meanwhile.
            std::thread::sleep(due.min(wait));
        }
        let mut events = Vec::new();
        while let Some(first) = self.waiting.front().map(|event| event.stamp.boot_ns)
            && self.until(first).is_zero()
        {
            events.extend(self.waiting.pop_front());
        }
        Ok(Some(events))
    }

    fn await_end(&mut self, suspects: &[NsName]) {
        self.source.await_end(suspects);
    }

    fn account(&mut self) {
        self.source.account();
    }
}
