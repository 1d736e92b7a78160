//! Tasks that live in the initial namespaces only: told apart at once, because they are most tasks, and nothing is reported
//! about them.

use nstrace_common::{slots::USER, task::PF_KTHREAD};

use crate::{
    config::{initial, offset},
    kernel_memory::{Kptr, load_ptr, load_u32, typed_ptr},
    slots::{for_each_nsproxy_slot, inum},
};

/// What kthreadd(2) refers to: the `nsproxy` and the user namespace of every task that never left the initial ones. Both are
/// immortal, because kthreadd is, so no other object can ever have their addresses. 0 until [`remember_kthreadd`].
#[unsafe(no_mangle)]
static mut INITIAL_NSPROXY: u64 = 0;
#[unsafe(no_mangle)]
static mut INITIAL_USER: u64 = 0;

/// Volatile, because programs on other CPUs read what an iterator writes.
macro_rules! global {
    ($name:ident) => {
        // SAFETY: an aligned word of the object's own data, read at once.
        unsafe { (&raw const $name).read_volatile() }
    };
    ($name:ident = $value:expr) => {{
        let value = $value;
        // SAFETY: as above; writers write the same.
        unsafe { (&raw mut $name).write_volatile(value) }
    }};
}

/// PID of kthreadd.
const KTHREADD: u32 = 2;

/// Remembers what kthreadd refers to; for the iterator, which meets every task.
#[inline(always)]
pub fn remember_kthreadd(task: Kptr) {
    if load_u32(task, offset!(task_pid)) == KTHREADD
        && load_u32(task, offset!(task_flags)) & PF_KTHREAD != 0
        && global!(INITIAL_NSPROXY) == 0
        && holds_initial_only(task)
    {
        let cred = load_ptr(task, offset!(task_real_cred));
        global!(INITIAL_USER = load_ptr(cred, offset!(cred_user_ns)) as u64);
        global!(INITIAL_NSPROXY = load_ptr(task, offset!(task_nsproxy)) as u64);
    }
}

/// Every slot of `task`, a BTF-typed pointer, holds an initial namespace: nothing to report about it.
///
/// This is all that a plain task of the host costs at its birth, exec and death, hence the plain loads, which a typed
/// pointer allows on every kernel, and the comparison with two addresses before eight namespaces are looked at. A task
/// that has kthreadd's `nsproxy` lives in the initial pid namespace: whoever enters or makes another one gets an `nsproxy`
/// of its own.
#[inline(always)]
pub fn all_initial(task: Kptr) -> bool {
    let nsproxy = typed_ptr(task, offset!(task_nsproxy));
    if nsproxy as u64 != 0 && nsproxy as u64 == global!(INITIAL_NSPROXY) {
        let cred = typed_ptr(task, offset!(task_real_cred));
        return typed_ptr(cred, offset!(cred_user_ns)) as u64 == global!(INITIAL_USER);
    }
    holds_initial_only(task)
}

/// Looks at every slot.
#[inline(always)]
fn holds_initial_only(task: Kptr) -> bool {
    let nsproxy = load_ptr(task, offset!(task_nsproxy));
    for_each_nsproxy_slot!(|SLOT, T, member| {
        let number = inum::<T>(load_ptr(nsproxy, member));
        if number != 0 && number != initial(T) {
            return false;
        }
    });
    let cred = load_ptr(task, offset!(task_real_cred));
    if inum::<USER>(load_ptr(cred, offset!(cred_user_ns))) != initial(USER) {
        return false;
    }
    // Deeper than level 0 means another pid namespace than the initial one.
    load_u32(load_ptr(task, offset!(task_thread_pid)), offset!(pid_level)) == 0
}
