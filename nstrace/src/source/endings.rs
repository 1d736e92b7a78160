//! Whether namespaces that nobody is in any more still exist, on kernels where no hook tells: asked again and again, by
//! nsfs file handle, with growing pauses.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    discover::liveness::{Liveness, NsHandles},
    ns::{NsName, NsType},
};

/// Pause before the second question; doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Suspect {
    ns: NsName,
    pause: Duration,
    due: Instant,
}

/// The namespaces under suspicion, by 64-bit id.
#[derive(Debug)]
pub struct Endings {
    handles: NsHandles,
    suspects: BTreeMap<u64, Suspect>,
}

impl Endings {
    pub fn new(handles: NsHandles) -> Self {
        Self { handles, suspects: BTreeMap::new() }
    }

    /// Starts asking about these at once; anew about those that are known, for something about them has just changed.
    pub fn add(&mut self, suspects: &[NsName]) {
        let due = Instant::now();
        for &ns in suspects {
            // Without an id it cannot be asked for; kernels that have handles have ids.
            if let Some(id) = ns.id {
                self.suspects.insert(id, Suspect { ns, pause: SHORTEST, due });
            }
        }
    }

    /// How long until the next question.
    pub fn patience(&self) -> Duration {
        let next = self.suspects.values().map(|s| s.due).min();
        next.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()))
    }

    /// Asks about all that are due and tells which are gone.
    pub fn look(&mut self, mut gone: impl FnMut(u32, u64, NsType)) {
        let now = Instant::now();
        let Self { handles, suspects } = self;
        suspects.retain(|&id, suspect| {
            if suspect.due > now {
                return true;
            }
            match handles.liveness(suspect.ns) {
                Some(Ok(Liveness::Gone)) => {
                    gone(suspect.ns.inum, id, suspect.ns.ns_type);
                    false
                }
                // An error (no descriptor left, say) is no answer: ask again.
                Some(Ok(Liveness::Alive) | Err(_)) => {
                    suspect.pause = (suspect.pause * 2).min(LONGEST);
                    suspect.due = now + suspect.pause;
                    true
                }
                None => false,
            }
        });
    }
}
