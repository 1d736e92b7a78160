//! The iterators of the census, an object of their own: they need no ring buffer and load in a few milliseconds.
//!
//! They read kernel memory and write records; no reference is taken on anything.

#![no_std]
#![no_main]

#[allow(dead_code, reason = "shared with the tracer, which uses all of it")]
mod config;
mod holding;
mod iter_files;
mod iter_lists;
mod iter_memory;
mod iter_mounts;
mod iter_queues;
mod iter_tasks;
#[path = "census_memory.rs"]
mod kernel_memory;
mod mounted;
mod scratch;
mod seen;
#[allow(dead_code, reason = "shared with the tracer, which uses all of it")]
mod slots;
#[allow(dead_code, reason = "shared with the tracer, which uses all of it")]
mod task;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects any program in which this could be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
