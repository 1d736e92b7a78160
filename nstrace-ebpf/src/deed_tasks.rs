//! What is done to other tasks and to one's own credentials: access, id maps, capabilities.

use aya_ebpf::{macros::map, maps::LruHashMap};
use nstrace_common::{
    deed::what,
    record::hook,
    slots::{CGROUP, IPC, MNT, NET, PID, USER, UTS},
};

use crate::{
    config::offset,
    deed::{deed_begin, deed_entry, deed_other, deed_return, deed_send, draft, of, whoever},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    namespace::write_ref,
    place::deeds,
    slots::inum,
};

deed_return!(fexit_deed_ptrace_access kprobe_deed_ptrace_access kretprobe_deed_ptrace_access "security_ptrace_access_check"
    of::PTRACE_ACCESS, [0 1] 2 deed_ptrace_access);
deed_return!(fexit_deed_uid_map kprobe_deed_uid_map kretprobe_deed_uid_map "proc_uid_map_write" of::UID_MAP, [0 2] 4 deed_uid_map);
deed_return!(fexit_deed_gid_map kprobe_deed_gid_map kretprobe_deed_gid_map "proc_gid_map_write" of::GID_MAP, [0 2] 4 deed_gid_map);
deed_entry!(fentry_deed_commit_creds kprobe_deed_commit_creds "commit_creds" of::CREDENTIALS, [0] deed_commit_creds);
deed_entry!(fentry_deed_ns_capable kprobe_deed_ns_capable "ns_capable" of::CAPABILITY, [0 1] deed_ns_capable);

/// `PTRACE_MODE_NOAUDIT` (include/linux/ptrace.h): somebody only looks, ps(1) say.
const NOAUDIT: u64 = 0x4;

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_ptrace_access() -> u32 {
    let Some(draft) = draft(of::PTRACE_ACCESS) else { return 0 };
    let [child, mode, ret, _] = draft.args;
    if mode & NOAUDIT != 0 {
        return 0;
    }
    let (own, task) = (whoever(), child as Kptr);
    let user = |task| load_u64(load_ptr(task, offset!(task_real_cred)), offset!(cred_user_ns));
    // Nearly all: of the same namespaces.
    if load_u64(own, offset!(task_nsproxy)) == load_u64(task, offset!(task_nsproxy)) && user(own) == user(task) {
        return 0;
    }
    if deed_begin(of::PTRACE_ACCESS, what::ACCESS, ret) == 0 {
        return 0;
    }
    deed_other(of::PTRACE_ACCESS, child);
    macro_rules! differ {
        ($($t:ident)+) => { false $(|| draft.deed.slots.inum[$t] != draft.deed.other_slots.inum[$t])+ };
    }
    if !differ!(MNT PID NET IPC UTS USER CGROUP) {
        return 0;
    }
    draft.deed.flags = mode as u32;
    deed_send(of::PTRACE_ACCESS, u32::from(hook::PTRACE_ACCESS))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_uid_map() -> u32 {
    id_map(of::UID_MAP, deeds!(user_namespace_uid_map), 0)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_gid_map() -> u32 {
    id_map(of::GID_MAP, deeds!(user_namespace_gid_map), 1)
}

/// `UID_GID_MAP_MAX_BASE_EXTENTS`: more are kept elsewhere; and the most that are told.
const EXTENTS: u32 = 5;
/// `sizeof(struct uid_gid_extent)`.
const EXTENT: u64 = 12;

/// A record for each extent.
#[inline(always)]
fn id_map(of: u32, map: u32, which: u32) -> u32 {
    let Some(draft) = draft(of) else { return 0 };
    let seq = load_ptr(draft.args[0] as Kptr, deeds!(file_private_data));
    let ns = load_ptr(seq, deeds!(seq_file_private));
    if deed_begin(of, what::ID_MAP, draft.args[2].min(0x7fff_ffff)) == 0 {
        return 0;
    }
    draft.deed.flags = which;
    // SAFETY: the draft is writable.
    unsafe { write_ref::<USER>(&raw mut draft.deed.ns, ns) };
    let map = ns as u64 + u64::from(map);
    let written = draft.args[2] as i64 > 0;
    let count = if written { load_u32(map as Kptr, deeds!(uid_gid_map_nr_extents)) } else { 0 };
    let inline = map + u64::from(deeds!(uid_gid_map_extent));
    let first = if count > EXTENTS { load_u64(inline as Kptr, 0) } else { inline };
    if count == 0 {
        draft.deed.call.ret = draft.args[2] as i32;
        return deed_send(of, u32::from(hook::ID_MAP));
    }
    for at in 0..EXTENTS {
        if at >= count {
            break;
        }
        let extent = (first + u64::from(at) * EXTENT) as Kptr;
        let lower = load_u32(extent, deeds!(extent_lower_first));
        let ids = load_u32(extent, deeds!(extent_count));
        draft.deed.number = u64::from(ids) << 32 | u64::from(lower);
        deed_send(of, u32::from(hook::ID_MAP));
    }
    0
}

/// `commit_creds(new)`: outside the calls that are there to change credentials.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_commit_creds() -> u32 {
    let Some(draft) = draft(of::CREDENTIALS) else { return 0 };
    let new = draft.args[0] as Kptr;
    let old = load_ptr(whoever(), offset!(task_real_cred));
    let level = |cred| load_u32(load_ptr(cred, offset!(cred_user_ns)), offset!(user_namespace_level));
    let caps = load_u64(new, offset!(cred_cap_effective));
    let grown = caps & !load_u64(old, offset!(cred_cap_effective)) != 0;
    if level(new) >= level(old) && !grown {
        return 0;
    }
    if deed_begin(of::CREDENTIALS, what::CREDENTIALS, 0) == 0 {
        return 0;
    }
    if changes_credentials(draft.deed.call.nr, draft.deed.call.compat) {
        return 0;
    }
    draft.deed.number = caps;
    // SAFETY: the draft is writable.
    unsafe { write_ref::<USER>(&raw mut draft.deed.ns, load_ptr(new, offset!(cred_user_ns))) };
    deed_send(of::CREDENTIALS, u32::from(hook::COMMIT_CREDS))
}

/// execve, execveat, set*id, setgroups, capset, keyctl, prctl, unshare, setns: by their numbers (syscall_64.tbl, syscall_32.tbl).
#[inline(always)]
fn changes_credentials(nr: i32, compat: u32) -> bool {
    if compat == 0 {
        matches!(nr, 59 | 322 | 105 | 106 | 113 | 114 | 116 | 117 | 119 | 122 | 123 | 126 | 250 | 157 | 272 | 308)
    } else {
        matches!(
            nr,
            11 | 23 | 46 | 70 | 71 | 81 | 138 | 139 | 164 | 170 | 172 | 185 | 203 | 204 | 206 | 208 | 210 | 213
                ..=216 | 288 | 310 | 346 | 358
        )
    }
}

/// Number of a user namespace → bit n: the use of capability n was told.
#[map]
static USED: LruHashMap<u32, u32> = LruHashMap::with_max_entries(4096, 0);

/// The number is free: the next namespace that has it is another one.
#[inline(always)]
pub fn forget_used(inum: u32) {
    let _ = USED.remove(&inum);
}

/// `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_ADMIN` (include/uapi/linux/capability.h).
const CAP_NET_ADMIN: u64 = 12;
const CAP_NET_RAW: u64 = 13;
const CAP_SYS_ADMIN: u64 = 21;

/// How many levels of user namespaces there are (`create_user_ns`: 32); a use from further up is not told.
const LEVELS: u32 = 33;

/// What `cap_capable` will say to `ns_capable(ns, cap)`: without its return, which costs every check of the machine in kprobe mode.
#[inline(always)]
fn is_capable(cred: Kptr, ns: Kptr, cap: u64) -> bool {
    let own = load_ptr(cred, offset!(cred_user_ns));
    let level = load_u32(own, offset!(user_namespace_level));
    let mut at = ns;
    for _ in 0..LEVELS {
        if at as u64 == own as u64 {
            return load_u64(cred, offset!(cred_cap_effective)) >> cap & 1 != 0;
        }
        if load_u32(at, offset!(user_namespace_level)) <= level {
            return false;
        }
        let parent = load_ptr(at, offset!(ns_owner[USER]));
        // Who made a user namespace has every capability over it.
        if parent as u64 == own as u64
            && load_u32(at, offset!(user_namespace_owner)) == load_u32(cred, offset!(cred_euid))
        {
            return true;
        }
        at = parent;
    }
    false
}

/// `ns_capable(ns, cap)`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_ns_capable() -> u32 {
    let Some(draft) = draft(of::CAPABILITY) else { return 0 };
    let [ns, cap, ..] = draft.args;
    let cap = cap & 63;
    if cap != CAP_NET_ADMIN && cap != CAP_NET_RAW && cap != CAP_SYS_ADMIN {
        return 0;
    }
    let user = ns as Kptr;
    if load_u32(user, offset!(user_namespace_level)) == 0 {
        return 0;
    }
    let key = inum::<USER>(user);
    let bit = 1_u32 << cap;
    // SAFETY: copied out at once; two who write at the same time tell one use twice.
    let used = unsafe { USED.get(&key) }.copied().unwrap_or(0);
    if used & bit != 0 || !is_capable(load_ptr(whoever(), offset!(task_cred)), user, cap) {
        return 0;
    }
    let _ = USED.insert(&key, &(used | bit), 0);
    if deed_begin(of::CAPABILITY, what::CAPABILITY, 0) == 0 {
        return 0;
    }
    draft.deed.flags = cap as u32;
    // SAFETY: the draft is writable.
    unsafe { write_ref::<USER>(&raw mut draft.deed.ns, user) };
    deed_send(of::CAPABILITY, u32::from(hook::CAPABLE))
}
