//! Any rows are a recording or an error: every reader survives them. The corpus is written by nstrace/tests/recording_corpus.rs.
#![no_main]

#[path = "../../nstrace/tests/recording_readers/mod.rs"]
mod recording_readers;
#[path = "../../nstrace/tests/recording_rows/mod.rs"]
mod recording_rows;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("fuzzed.nst");
    recording_rows::write(&path, data);
    recording_readers::read(&path, recording_rows::time(2));
});
