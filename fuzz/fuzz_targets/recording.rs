//! Any bytes are a recording or an error: verify and replay survive them. The seed is a small recording.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nstrace::{
    container,
    recording::{
        Recording,
        verify::{Depth, verify},
    },
    source::{Replay, Source},
};

fuzz_target!(|data: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), data).expect("room");
    let _ = verify(file.path(), None, Depth::All);
    for since in [None, Some(i64::MAX)] {
        let start = Recording::open(file.path()).and_then(|r| Replay::start(r, since, container::from_cgroup_path));
        let Ok((mut source, mut world)) = start else { continue };
        let mut out = Vec::new();
        while let Ok(Some(events)) = source.next(Duration::ZERO) {
            for event in &events {
                world.apply(event, &mut out);
            }
            out.clear();
        }
    }
});
