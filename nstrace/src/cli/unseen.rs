//! What the snapshot of a live source could not read, said once on stderr by every verb that traces.

use super::{one_line, say};
use crate::source::Live;

#[derive(Debug, Default)]
pub(super) struct Unseen {
    told: bool,
}

impl Unseen {
    /// To be called after each batch of events: the first one brings the snapshot.
    pub fn tell(&mut self, live: &Live) {
        if !std::mem::replace(&mut self.told, true)
            && let Some(missed) = live.missed().line()
        {
            say(&one_line(&format!("not seen: {missed}")));
        }
    }
}
