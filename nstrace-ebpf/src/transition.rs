//! A task changed namespaces: the record of it, whatever hook saw it.

use nstrace_common::{
    record::{Transition, kind},
    slots::Slots,
};

use crate::{emit::reserve, kernel_memory::Kptr, syscall::write_call, task::write_task};

/// What changed, between two sets of a task's slots.
pub struct Change<'a> {
    pub before: &'a Slots,
    pub after: &'a Slots,
    /// When the call that made it was entered; 0 where the hook runs in the middle of the call, so that its own time will do.
    pub entered_boot_ns: u64,
}

/// Tells that `task`, the running one, changed namespaces in a call that returns `ret` (0 before it returns).
#[inline(always)]
pub fn tell_transition(task: Kptr, change: &Change<'_>, ret: i32, hook: u16) {
    let Some(mut entry) = reserve::<Transition>(kind::TRANSITION, hook) else { return };
    let to = entry.as_mut_ptr();
    // SAFETY: the entry is as large as `Transition`.
    unsafe {
        write_call(&raw mut (*to).call, task, ret);
        write_task(&raw mut (*to).task, task);
        (*to).before = *change.before;
        (*to).after = *change.after;
        (*to).entered_boot_ns = change.entered_boot_ns;
    }
    entry.submit(0);
}
