//! Not being preempted, on kernels where tasks can be preempted inside programs: while one is, the kernel skips that program for
//! every other task of the CPU.

use nstrace_common::layout::{PREEMPT_DISABLE, PREEMPT_ENABLE};

use crate::config::preempt_disable;

/// While it lives, the running task is not preempted.
#[must_use]
pub struct Uninterrupted {
    disabled: bool,
}

/// Keeps the running task from being preempted (`bpf_preempt_disable`, 6.10+), where that matters and can be had. Nothing can from
/// a program's first instruction on, hence the second copies of [`crate::life`].
#[inline(always)]
pub fn uninterrupted() -> Uninterrupted {
    // A constant to the verifier.
    let disabled = preempt_disable();
    if disabled {
        call::<PREEMPT_DISABLE>();
    }
    Uninterrupted { disabled }
}

impl Drop for Uninterrupted {
    #[inline(always)]
    fn drop(&mut self) {
        if self.disabled {
            call::<PREEMPT_ENABLE>();
        }
    }
}

#[inline(always)]
fn call<const MARK: usize>() {
    // SAFETY: the collector puts the number of a kernel function without parameters in the place of this one.
    let function: extern "C" fn() = unsafe { core::mem::transmute(MARK) };
    function();
}
