//! Loads from kernel structures for the census: like `kernel_memory`, with fewer branches, because each one multiplies the
//! paths that the verifier walks, and loading has to be quick.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use nstrace_common::layout::{ABSENT, RDONLY_CAST};

use crate::config::casts;

/// A pointer to a kernel structure.
pub type Kptr = *const u8;

/// `bpf_rdonly_cast(base, 0)`: the same address, which the verifier lets be read at any offset.
#[inline(always)]
fn cast(base: u64) -> Kptr {
    // SAFETY: the loader puts the function's number in the place of this one; it takes any number, and a type number 0.
    let cast: extern "C" fn(u64, u32) -> Kptr = unsafe { core::mem::transmute(RDONLY_CAST) };
    cast(base, 0)
}

macro_rules! load {
    ($name:ident, $function:ident, $ty:ty) => {
        /// The member at `offset` of the structure at `base`; 0 when either is absent or unreadable.
        #[inline(always)]
        pub fn $name(base: Kptr, offset: u32) -> $ty {
            $function(base as u64, offset) as $ty
        }

        /// The same as a global function, which the verifier walks once, and not at each of some two hundred places.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $function(base: u64, offset: u32) -> u64 {
            if offset == ABSENT {
                return 0;
            }
            // A constant to the verifier.
            if casts() {
                // SAFETY: the kernel turns a fault, or an address that is none of its own, into 0.
                return unsafe { cast(base).wrapping_add(offset as usize).cast::<$ty>().read_volatile() }.into();
            }
            let mut value: $ty = 0;
            // SAFETY: the helper checks the address (null is refused without a fault) and writes `size` bytes to `value`,
            // zeroes when it refuses.
            unsafe {
                let at = (base as Kptr).wrapping_add(offset as usize);
                bpf_probe_read_kernel((&raw mut value).cast(), size_of::<$ty>() as u32, at.cast())
            };
            value.into()
        }
    };
}

load!(load_u32, census_load32, u32);
load!(load_u64, census_load64, u64);

/// As [`load_u64`] of a member that there is, where [`casts`] says so, and without the call of a function.
#[inline(always)]
pub fn fetched(base: u64, offset: u32) -> u64 {
    // SAFETY: as in `load_u64`.
    unsafe { cast(base).wrapping_add(offset as usize).cast::<u64>().read_volatile() }
}

/// The pointer member at `offset`.
#[inline(always)]
pub fn load_ptr(base: Kptr, offset: u32) -> Kptr {
    load_u64(base, offset) as Kptr
}

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
