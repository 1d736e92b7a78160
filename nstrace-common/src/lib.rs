//! The bytes that cross the border between kernel and collector.
//!
//! Every struct here is `repr(C)`, has no implicit padding (zerocopy's derive refuses it), a size assertion beside it,
//! and is fully written by the eBPF side. Nothing here interprets: a field holds what the kernel held.

#![no_std]

pub mod census;
pub mod deed;
pub mod deed_layout;
pub mod entered;
pub mod file;
pub mod layout;
pub mod record;
pub mod slots;
pub mod task;
