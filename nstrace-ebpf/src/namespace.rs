//! What a namespace is: owner, parent, level. Sent right before the record that first shows it.

use nstrace_common::{
    layout::ABSENT,
    record::{Namespace, NsRef, kind},
    slots::{CLONE_FLAG, PID, Slots, TIME, TIME_FOR_CHILDREN, USER},
};

use crate::{
    config::offset,
    emit::reserve,
    kernel_memory::{Kptr, load_ptr, load_u32},
    slots::{for_each_nsproxy_slot, inum, ns_id},
    task::active_pid_ns,
};

/// Writes the reference to `ns`, a namespace of type `T`; zeroes when null.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_ref<const T: usize>(to: *mut NsRef, ns: Kptr) {
    // SAFETY: as the caller promises.
    unsafe {
        (*to).id = ns_id::<T>(ns);
        (*to).inum = inum::<T>(ns);
        (*to).clone_flag = CLONE_FLAG[T] as u32;
    }
}

/// Writes everything of `to` but the header.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_namespace<const T: usize>(to: *mut Namespace, ns: Kptr) {
    // SAFETY: as the caller promises.
    unsafe {
        write_ref::<T>(&raw mut (*to).ns, ns);
        let owner = load_ptr(ns, offset!(ns_owner[T]));
        write_ref::<USER>(&raw mut (*to).owner, owner);
        (*to).parent = NsRef { id: 0, inum: 0, clone_flag: 0 };
        (*to).level = 0;
        (*to).owner_uid = u32::MAX;
        if T == PID {
            write_ref::<PID>(&raw mut (*to).parent, load_ptr(ns, offset!(pid_namespace_parent)));
            (*to).level = load_u32(ns, offset!(pid_namespace_level));
        } else if T == USER {
            write_ref::<USER>(&raw mut (*to).parent, owner);
            (*to).level = load_u32(ns, offset!(user_namespace_level));
            (*to).owner_uid = load_u32(ns, offset!(user_namespace_owner));
        }
    }
}

/// Sends one description.
#[inline(always)]
pub fn describe<const T: usize>(ns: Kptr, by: u16) {
    let Some(mut entry) = reserve::<Namespace>(kind::NAMESPACE, by) else { return };
    // SAFETY: the entry is as large as `Namespace`.
    unsafe { write_namespace::<T>(entry.as_mut_ptr(), ns) };
    entry.submit(0);
}

/// Describes each namespace of `nsproxy`, whose slots `after` holds, that `before` does not hold in the same slot.
#[inline(always)]
pub fn describe_changed(nsproxy: Kptr, before: &Slots, after: &Slots, by: u16) {
    for_each_nsproxy_slot!(|SLOT, T, member| {
        let number = after.inum[SLOT];
        // unshare(NEWTIME) changes only time_for_children, clone(NEWTIME) and exec both: describe it once.
        let twice = SLOT == TIME && number == after.inum[TIME_FOR_CHILDREN];
        if number != 0 && number != before.inum[SLOT] && !twice {
            describe::<T>(load_ptr(nsproxy, member), by);
        }
    });
}

/// Describes the user namespace of `cred` when it is another than in `before`.
#[inline(always)]
pub fn describe_user(cred: Kptr, before: &Slots, after: &Slots, by: u16) {
    if after.inum[USER] != before.inum[USER] {
        describe::<USER>(load_ptr(cred, offset!(cred_user_ns)), by);
    }
}

/// The type of an `ns_common` whose enclosing structure is not known: `ns_type` (6.18+), else `ops->type`.
#[inline(always)]
pub fn clone_flag_of(ns_common: Kptr) -> u32 {
    let ns_type = offset!(ns_common_ns_type);
    if ns_type == ABSENT {
        load_u32(load_ptr(ns_common, offset!(ns_common_ops)), offset!(proc_ns_operations_type))
    } else {
        load_u32(ns_common, ns_type)
    }
}

/// Writes the reference to the namespace of an `ns_common`.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
pub unsafe fn write_common_ref(to: *mut NsRef, ns_common: Kptr) {
    // SAFETY: as the caller promises.
    unsafe {
        (*to).id = crate::kernel_memory::load_u64(ns_common, offset!(ns_common_ns_id));
        (*to).inum = load_u32(ns_common, offset!(ns_common_inum));
        (*to).clone_flag = clone_flag_of(ns_common);
    }
}

/// `task` lives in a pid namespace that `before` does not show: describe it (fork into a new one).
#[inline(always)]
pub fn describe_active_pid(task: Kptr, before: &Slots, after: &Slots, by: u16) {
    if after.inum[PID] != 0 && after.inum[PID] != before.inum[PID] {
        describe::<PID>(active_pid_ns(task), by);
    }
}

const _: () = assert!(TIME_FOR_CHILDREN == 9);
