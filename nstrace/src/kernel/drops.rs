//! Records that found no room, counted by the programs. Read by mmap(2): see `DROPS` in the eBPF crate.

use std::{ffi::c_void, os::fd::AsFd as _, ptr, sync::atomic::AtomicU64, sync::atomic::Ordering};

use anyhow::Context as _;
use aya::maps::{Map, MapData};
use nstrace_common::record::hook;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The mapped counters: `hook::COUNT` of each processor.
#[derive(Debug)]
pub(super) struct Drops {
    at: *mut c_void,
    entries: usize,
    /// The map lives as long as this.
    _map: MapData,
}

// SAFETY: only read, and by atomic loads.
unsafe impl Send for Drops {}

impl Drops {
    /// How large the map has to be.
    ///
    /// # Errors
    /// When nobody tells how many processors there can be.
    pub fn entries() -> anyhow::Result<u32> {
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
        Ok((cpus * hook::COUNT) as u32)
    }

    /// # Errors
    /// When it is not the map that it should be, or cannot be mapped.
    pub fn map(map: Map) -> anyhow::Result<Self> {
        let Map::Array(map) = map else { anyhow::bail!("the object's map DROPS is no array") };
        let entries = Self::entries()? as usize;
        // SAFETY: a new mapping, which nothing else knows; the kernel rounds its length up to pages, as it did the map's.
        let at = unsafe {
            mmap(ptr::null_mut(), entries * size_of::<u64>(), ProtFlags::READ, MapFlags::SHARED, map.fd().as_fd(), 0)
        };
        Ok(Self { at: at.context("cannot map the map DROPS")?, entries, _map: map })
    }

    /// Records lost so far, by `hook`.
    pub fn by_hook(&self) -> [u64; hook::COUNT] {
        let mut sums = [0_u64; hook::COUNT];
        for entry in 0..self.entries {
            // SAFETY: inside the mapping, aligned; the kernel's programs write while this reads.
            let count = unsafe { &*self.at.cast::<AtomicU64>().add(entry) }.load(Ordering::Relaxed);
            sums[entry % hook::COUNT] += count;
        }
        sums
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`; no reference into it is left.
        let _unmapped = unsafe { munmap(self.at, self.entries * size_of::<u64>()) };
    }
}
