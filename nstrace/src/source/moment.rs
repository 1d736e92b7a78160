//! What the model knew at one moment of a recording.

use std::time::Duration;

use super::{Replay, Source as _};
use crate::{
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
    let (mut source, mut world) = Replay::start(recording, Some(utc_ns.unwrap_or(i64::MAX)), container_of)?;
    let mut changes = Vec::new();
    while let Some(events) = source.next(Duration::ZERO)? {
        for event in &events {
            // A census that is coming in is a part of the moment before it.
            let is_later = |utc_ns| world.utc_ns(event.stamp.boot_ns) > utc_ns;
            if world.is_live() && utc_ns.is_some_and(is_later) {
                return Ok(world);
            }
            world.apply(event, &mut changes);
            changes.clear();
        }
        world.take_suspects();
    }
    Ok(world)
}
