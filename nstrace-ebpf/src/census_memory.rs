//! Loads from kernel structures for the census: like `kernel_memory`, with fewer branches, because each one multiplies the
//! paths that the verifier walks, and loading has to be quick.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use nstrace_common::layout::ABSENT;

use crate::config::direct;

/// A pointer to a kernel structure.
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
            let mut value: $ty = 0;
            // SAFETY: the helper checks the address (null is refused without a fault) and writes `size` bytes to `value`,
            // zeroes when it refuses.
            unsafe {
                let at = base.wrapping_add(offset as usize);
                bpf_probe_read_kernel((&raw mut value).cast(), size_of::<$ty>() as u32, at.cast())
            };
            value
        }
    };
}

load!(load_u32, u32);
load!(load_u64, u64);

/// The pointer member at `offset`.
#[inline(always)]
pub fn load_ptr(base: Kptr, offset: u32) -> Kptr {
    load_u64(base, offset) as Kptr
}

macro_rules! peek {
    ($name:ident, $load:ident, $ty:ty) => {
        /// The member at `offset` of a structure whose type the verifier knows: `base` is from a program's context, or was
        /// peeked from such a structure. 0 when unreadable. A pointer is no number to the verifier; see [`number`].
        #[inline(always)]
        pub fn $name(base: Kptr, offset: u32) -> $ty {
            // Constants to the verifier.
            if offset == ABSENT {
                return 0;
            }
            if direct() {
                // SAFETY: the verifier accepts this load only inside the type; the kernel turns a fault into 0.
                unsafe { base.wrapping_add(offset as usize).cast::<$ty>().read_volatile() }
            } else {
                $load(base, offset)
            }
        }
    };
}

peek!(peek_u32, load_u32, u32);
peek!(peek_u64, load_u64, u64);

/// The address as a number, by way of `place` in a map, where the verifier forgets types: to calculate with, and to pass to
/// a global function.
#[inline(always)]
pub fn number(place: &mut u64, pointer: Kptr) -> u64 {
    // SAFETY: a reference is valid for writes and reads; volatile, so that the compiler keeps both.
    unsafe {
        (&raw mut *place).write_volatile(pointer as u64);
        (&raw const *place).read_volatile()
    }
}

/// Copies `bytes` from `offset` of the structure at `base`, zeroes when they cannot be read.
#[inline(always)]
pub fn read_bytes(to: *mut u8, bytes: u32, base: Kptr, offset: u32) {
    // SAFETY: the verifier checks that `to` has room for `bytes`; the rest is as in the loads above.
    unsafe { bpf_probe_read_kernel(to.cast(), bytes, base.wrapping_add(offset as usize).cast()) };
}
