//! The eBPF programs of nstrace: they report facts from kernel objects and never judge.
//!
//! One file per family of hooks. Reads go through [`kernel_memory`], which knows two ways: plain loads from BTF-typed pointers
//! (allowed even in lockdown) and `bpf_probe_read_kernel`. All offsets come from the collector in one read-only global.

#![no_std]
#![no_main]

mod born;
mod calls;
mod config;
mod creds;
mod deed;
mod deed_cgroups;
mod deed_files;
mod deed_kernel;
mod deed_mounts;
mod deed_sockets;
mod deed_tasks;
mod emit;
mod entered;
mod freed;
mod initial;
mod install;
mod iter;
mod kernel_memory;
mod life;
mod namespace;
mod nsfs;
mod place;
mod placed;
mod preempt;
mod slots;
mod switch;
mod syscall;
mod task;
mod told;
mod transition;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects any program in which this could be reached.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
