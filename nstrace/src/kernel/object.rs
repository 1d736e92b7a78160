//! The compiled eBPF programs inside this binary.

/// The object that `cargo xtask ebpf` built, or None when this binary was built without it.
pub fn embedded() -> Option<&'static [u8]> {
    #[cfg(ebpf_object)]
    {
        Some(aya::include_bytes_aligned!(env!("NSTRACE_EBPF_OBJECT_PATH")))
    }
    #[cfg(not(ebpf_object))]
    {
        None
    }
}

/// The iterators of the census, or None when this binary was built without them.
pub fn census() -> Option<&'static [u8]> {
    #[cfg(census_object)]
    {
        Some(aya::include_bytes_aligned!(env!("NSTRACE_CENSUS_OBJECT_PATH")))
    }
    #[cfg(not(census_object))]
    {
        None
    }
}
