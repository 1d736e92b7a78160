//! BPF programs that decide on device access of cgroups (version 2): how many, not what they allow.

use std::{io, os::fd::BorrowedFd};

use super::bpf_calls;

/// Programs that a task in the cgroup behind `cgroup` has to pass, those of cgroups above included.
///
/// aya's own query makes links of them, which detach the programs of others when they are dropped.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` or `CAP_BPF`; `EINVAL` on a kernel without such programs.
pub fn count(cgroup: BorrowedFd<'_>) -> io::Result<u32> {
    bpf_calls::effective_device_programs(cgroup)
}
