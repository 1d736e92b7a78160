//! Any bytes are BTF or an error, and looking members up in them never panics.
//! `cargo +nightly fuzz run btf ../nstrace/tests/btf`: those seeds also run as ordinary tests (nstrace/tests/kernel_layout.rs).
#![no_main]

use libfuzzer_sys::fuzz_target;
use nstrace::kernel::{btf::Btf, layout::resolve};

fuzz_target!(|data: &[u8]| {
    if let Ok(btf) = Btf::parse(data.to_vec()) {
        let _ = resolve(&btf);
        let _ = btf.parameters("switch_task_namespaces");
    }
});
