//! Whether namespaces that nobody is in any more still exist, on kernels where no hook tells: asked again and again, by
//! nsfs file handle, with growing pauses.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    discover::{
        clock,
        liveness::{Liveness, NsHandles},
    },
    ns::NsName,
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
    /// With the boot time at which it was found.
    gone: Vec<(NsName, u64)>,
}

impl Endings {
    pub fn new(handles: NsHandles) -> Self {
        Self { handles, suspects: BTreeMap::new(), gone: Vec::new() }
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

    /// Asks about all that are due. True when some are found gone, for [`Endings::gone`].
    pub fn look(&mut self) -> bool {
        let now = Instant::now();
        let Self { handles, suspects, gone } = self;
        let before = gone.len();
        suspects.retain(|_, suspect| {
            if suspect.due > now {
                return true;
            }
            match handles.liveness(suspect.ns) {
                Some(Ok(Liveness::Gone)) => {
                    gone.push((suspect.ns, clock::boot_ns()));
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
        gone.len() > before
    }

    /// Those found gone since the last call, and when (CLOCK_BOOTTIME). To be told when every record from before they were found has been: what
    /// released them comes first.
    pub fn gone(&mut self) -> Vec<(NsName, u64)> {
        std::mem::take(&mut self.gone)
    }
}
