//! Not being preempted between taking a place in the ring and filling it: the reader stops at a place that is not filled, and all
//! that comes behind waits for as long as the task is put aside.
//!
//! It does not keep the kernel from skipping a program for the other tasks of the CPU while one is preempted inside it: who was to be
//! preempted meanwhile is at the end, which is still inside. Hence the second copies of [`crate::life`].

use nstrace_common::layout::{PREEMPT_DISABLE, PREEMPT_ENABLE};

use crate::config::preempt_disable;

/// While it lives, the running task is not preempted.
#[must_use]
pub struct Uninterrupted {
    disabled: bool,
}

/// Keeps the running task from being preempted (`bpf_preempt_disable`, 6.10+), where that matters and can be had.
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
