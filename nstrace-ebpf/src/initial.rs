//! Tasks that live in the initial namespaces only: told apart at once, because they are most tasks, and nothing is reported
//! about them.

use nstrace_common::{slots::USER, task::PF_KTHREAD};

use crate::{
    config::{has_pt_regs_helper, initial, offset},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64, typed_ptr, typed_u32},
    place::deeds,
    slots::{for_each_nsproxy_slot, inum},
    task::{current, is_self},
};

/// What kthreadd(2) refers to: the `nsproxy` and the user namespace of every task that never left the initial ones. Both are
/// immortal, because kthreadd is, so no other object can ever have their addresses. 0 until [`remember_kthreadd`].
#[unsafe(no_mangle)]
static mut INITIAL_NSPROXY: u64 = 0;
#[unsafe(no_mangle)]
static mut INITIAL_USER: u64 = 0;

/// The host's root directory and the device of its file system, as the last run of the iterator found them; 0 before. Those of
/// PID 1 and of kthreadd: either may have one of its own (a chroot; an empty file system, 7.0+).
#[unsafe(no_mangle)]
static mut INIT_ROOT: u64 = 0;
#[unsafe(no_mangle)]
static mut INIT_DEVICE: u32 = 0;
#[unsafe(no_mangle)]
static mut KTHREADD_ROOT: u64 = 0;
#[unsafe(no_mangle)]
static mut KTHREADD_DEVICE: u32 = 0;

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
/// PID of the first process.
const INIT: u32 = 1;

/// Whether this (`struct dentry`) is the host's root directory.
#[inline(always)]
pub fn is_host_root(dentry: Kptr) -> bool {
    dentry as u64 == global!(INIT_ROOT) || dentry as u64 == global!(KTHREADD_ROOT)
}

/// Whether this (`s_dev`) is the file system of the host's root directory.
#[inline(always)]
pub fn is_host_device(device: u32) -> bool {
    device == global!(INIT_DEVICE) || device == global!(KTHREADD_DEVICE)
}

/// `NULL_FS_MAGIC` (7.0+): the file system without a file that kernel threads have for a root.
const NULLFS: u64 = 0x4e55_4c4c;

/// Remembers where the host's root directory is; for the iterator, which meets every task.
#[inline(always)]
pub fn remember_host_root(task: Kptr) {
    let pid = load_u32(task, offset!(task_pid));
    if pid != INIT && pid != KTHREADD {
        return;
    }
    let root = load_ptr(load_ptr(task, deeds!(task_fs)), deeds!(fs_root_dentry));
    let super_block = load_ptr(root, deeds!(dentry_d_sb));
    let device = load_u32(super_block, deeds!(super_block_s_dev));
    if pid == INIT {
        global!(INIT_DEVICE = device);
        global!(INIT_ROOT = root as u64);
    } else if load_u64(super_block, deeds!(super_block_s_magic)) != NULLFS {
        global!(KTHREADD_DEVICE = device);
        global!(KTHREADD_ROOT = root as u64);
    }
}

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
/// of its own. One that does not was given it by a write to kernel memory, and is told.
#[inline(always)]
pub fn all_initial(task: Kptr) -> bool {
    let nsproxy = typed_ptr(task, offset!(task_nsproxy));
    if nsproxy as u64 != 0 && nsproxy as u64 == global!(INITIAL_NSPROXY) {
        let cred = typed_ptr(task, offset!(task_real_cred));
        let pid = typed_ptr(task, offset!(task_thread_pid));
        return typed_ptr(cred, offset!(cred_user_ns)) as u64 == global!(INITIAL_USER)
            && typed_u32(pid, offset!(pid_level)) == 0;
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

/// `current` is the tracer, or has kthreadd's `nsproxy` and user namespace: what it does is nobody's concern. Two comparisons; who
/// is in the initial namespaces by an `nsproxy` of its own is told apart when the record is made.
#[inline(always)]
pub fn is_plain() -> bool {
    let task = current();
    let (nsproxy, user) = if has_pt_regs_helper() {
        let cred = typed_ptr(task, offset!(task_real_cred));
        (typed_ptr(task, offset!(task_nsproxy)) as u64, typed_ptr(cred, offset!(cred_user_ns)) as u64)
    } else {
        let cred = load_ptr(task, offset!(task_real_cred));
        (load_ptr(task, offset!(task_nsproxy)) as u64, load_ptr(cred, offset!(cred_user_ns)) as u64)
    };
    nsproxy == global!(INITIAL_NSPROXY) && user == global!(INITIAL_USER) || is_self()
}
