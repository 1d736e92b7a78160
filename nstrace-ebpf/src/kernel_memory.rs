//! Loads from kernel structures, in the way this kernel allows.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use nstrace_common::layout::ABSENT;

use crate::config::typed;

/// A pointer to a kernel structure: to the verifier either BTF-typed or a plain number.
pub type Kptr = *const u8;

macro_rules! load {
    ($name:ident, $ty:ty) => {
        /// The member at `offset` of the structure at `base`; 0 when either is absent or unreadable.
        #[inline(always)]
        pub fn $name(base: Kptr, offset: u32) -> $ty {
            // A constant to the verifier.
            if offset == ABSENT {
                return 0;
            }
            let at = base.wrapping_add(offset as usize);
            if typed() {
                // To the verifier a null that it can see is a number, from which nothing may be loaded.
                if base.is_null() {
                    return 0;
                }
                // SAFETY: the verifier accepts this load only from a BTF-typed pointer at an offset inside its type; the
                // kernel turns a fault into 0.
                unsafe { at.cast::<$ty>().read_volatile() }
            } else {
                let mut value: $ty = 0;
                // SAFETY: the helper checks the address (it refuses null without a fault) and writes `size` bytes to
                // `value`, zeroes when it refuses. A test for null here would double the paths that the verifier walks.
                unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<$ty>() as u32, at.cast()) };
                value
            }
        }
    };
}

load!(load_u16, u16);
load!(load_u32, u32);
load!(load_u64, u64);

/// The pointer member at `offset`.
#[inline(always)]
pub fn load_ptr(base: Kptr, offset: u32) -> Kptr {
    load_u64(base, offset) as Kptr
}

/// Copies `bytes` from `offset` of the structure at `base`, zeroes when they cannot be read; not for typed loads.
#[inline(always)]
pub fn read_bytes(to: *mut u8, bytes: u32, base: Kptr, offset: u32) {
    // SAFETY: the verifier checks that `to` has room for `bytes`; the rest is as in the loads above.
    unsafe { bpf_probe_read_kernel(to.cast(), bytes, base.wrapping_add(offset as usize).cast()) };
}

/// The number at `offset` of the structure that a BTF-typed pointer leads to, as [`typed_ptr`].
#[inline(always)]
pub fn typed_u32(base: Kptr, offset: u32) -> u32 {
    if offset == ABSENT {
        return 0;
    }
    // SAFETY: as in the loads above.
    unsafe { base.wrapping_add(offset as usize).cast::<u32>().read_volatile() }
}

/// The pointer member at `offset` of the structure that a BTF-typed pointer (an argument of a BTF tracepoint, say, or what
/// this function returns) leads to: a plain load, on every kernel.
#[inline(always)]
pub fn typed_ptr(base: Kptr, offset: u32) -> Kptr {
    if offset == ABSENT {
        return core::ptr::null();
    }
    // SAFETY: as in the loads above.
    unsafe { base.wrapping_add(offset as usize).cast::<Kptr>().read_volatile() }
}
