//! Any bytes are a record or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = nstrace::decode::decode(data) {
        assert!(!error.to_string().is_empty());
    }
});
