//! Calls that tracepoint mode saw begin and whose return no program saw. Programs tell them as lost at the task's next call or at its
//! end; of a task that does neither only a look at what they keep tells.

use anyhow::Context;
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use nstrace_common::entered::Entered;
use zerocopy::FromBytes;

use super::counters::hook_name;

/// What the programs keep of one call.
type Kept = [u8; size_of::<Entered>()];

/// A call that began less than this ago, nanoseconds, is not looked at: most return at once.
const RECENT: u64 = 500_000_000;

/// See the module.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct Unreturned {
    calls: HashMap<MapData, u32, Kept>,
}

impl Unreturned {
    /// # Errors
    /// When the object is not ours.
    pub fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = ebpf.take_map("ENTERED").context("the object has no map ENTERED")?;
        Ok(Self { calls: HashMap::try_from(map)? })
    }

    /// The hooks of calls that the tasks are past, as `is_past` says of a thread id: each is lost, and told once. `now`:
    /// CLOCK_BOOTTIME, nanoseconds.
    pub fn take(&mut self, now: u64, mut is_past: impl FnMut(u32) -> bool) -> Vec<&'static str> {
        let kept: Vec<(u32, Kept)> = self.calls.iter().filter_map(Result::ok).collect();
        let mut lost = Vec::new();
        for (tid, kept) in kept {
            let Ok(call) = Entered::read_from_bytes(&kept) else { continue };
            if now.saturating_sub(call.boot_ns) > RECENT && is_past(tid) && self.calls.remove(&tid).is_ok() {
                lost.push(hook_name(call.by as u16));
            }
        }
        lost
    }
}
