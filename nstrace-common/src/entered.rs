//! A call that a task is in, as tracepoint mode keeps it between the call's entry and its return.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::slots::Slots;

/// A task in setns or unshare.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Entered {
    pub before: Slots,
    /// Written at the return.
    pub after: Slots,
    /// CLOCK_BOOTTIME of the entry, nanoseconds.
    pub boot_ns: u64,
    /// [`crate::record::hook::SETNS`] or [`crate::record::hook::UNSHARE`].
    pub by: u32,
    /// Not 0: the last one of the programs at the entry has seen it.
    pub seen_by_last: u32,
}
const _: () = assert!(size_of::<Entered>() == 256);
