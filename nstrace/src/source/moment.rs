//! What the model knew at one moment of a recording.

use std::time::Duration;

use super::{Replay, Source as _};
use crate::{
    event::Event,
    model::{Container, World},
    recording::Recording,
};

/// The world after everything that happened up to this UTC time (nanoseconds); not earlier than the recording's start. None:
/// its end.
///
/// # Errors
/// When the recording is damaged.
pub fn world_at(
    recording: Recording,
    utc_ns: Option<i64>,
    container_of: fn(&str) -> Option<Container>,
) -> anyhow::Result<World> {
    let (source, mut world) = Replay::start(recording, Some(utc_ns.unwrap_or(i64::MAX)), container_of)?;
    let mut source = source.until(utc_ns);
    // A keyframe is of a world that lives already.
    let mut lives = !world.namespaces().is_empty();
    let mut changes = Vec::new();
    while let Some(events) = source.next(Duration::ZERO)? {
        for event in &events {
            let is_due = utc_ns.is_none_or(|utc_ns| world.utc_ns(event.stamp.boot_ns) <= utc_ns);
            if is_due || !lives {
                lives |= matches!(event.event, Event::SnapshotEnd);
                world.apply(event, &mut changes);
                changes.clear();
            }
        }
        world.take_suspects();
    }
    Ok(world)
}
