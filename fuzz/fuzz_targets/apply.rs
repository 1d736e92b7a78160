//! Any sequence of records, each behind its length in two bytes, is a history that the model survives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nstrace::{
    decode::decode,
    event::{Event, Stamp, Stamped},
    model::World,
};

fuzz_target!(|data: &[u8]| {
    let mut world = World::new(|_| None);
    let mut out = Vec::new();
    let stamp = Stamp { boot_ns: 0, cpu: 0, seq: 0 };
    world.apply(&Stamped { stamp, event: Event::SnapshotEnd }, &mut out);
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (record, tail) = tail.split_at(usize::from(u16::from_le_bytes(*length)).min(tail.len()));
        if let Ok(event) = decode(record) {
            world.apply(&event, &mut out);
        }
        rest = tail;
    }
    world.take_suspects();
    assert!(out.iter().zip(1..).all(|(change, seq)| change.seq == seq));
});
