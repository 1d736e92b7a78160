//! Unix sockets of somebody in other namespaces that are connected to.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use nstrace_common::{
    deed::what,
    record::hook,
    slots::{NET, PID, USER},
};

use crate::{
    config::offset,
    deed::{deed_begin, deed_entry, deed_names, deed_other, deed_place, deed_send, draft, of, whoever},
    kernel_memory::{Kptr, load_ptr, load_u32, load_u64},
    namespace::write_ref,
    place::deeds,
    slots::inum,
    task::active_pid_ns,
};

deed_entry!(fentry_deed_unix_connect kprobe_deed_unix_connect "security_unix_stream_connect" of::UNIX_CONNECT, [1]
    deed_unix_connect);

/// The namespace of the deepest number of a `struct pid`.
#[inline(always)]
fn pid_ns_of(pid: Kptr) -> u64 {
    let level = load_u32(pid, offset!(pid_level)) & 63;
    load_u64(pid, offset!(pid_numbers) + level * offset!(upid_size) + offset!(upid_ns))
}

/// `security_unix_stream_connect(sock, other, newsk)`: `other` listens, and keeps who called listen(2).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deed_unix_connect() -> u32 {
    let Some(draft) = draft(of::UNIX_CONNECT) else { return 0 };
    let listener = draft.args[0] as Kptr;
    let task = whoever();
    let net = load_ptr(listener, deeds!(sock_net));
    let pid = load_ptr(listener, deeds!(sock_peer_pid));
    let cred = load_ptr(listener, deeds!(sock_peer_cred));
    let user = load_ptr(cred, offset!(cred_user_ns));
    let nsproxy = load_ptr(task, offset!(task_nsproxy));
    let own_user = load_u64(load_ptr(task, offset!(task_real_cred)), offset!(cred_user_ns));
    let same = net as u64 == load_u64(nsproxy, offset!(nsproxy_net))
        && (pid as u64 == 0 || pid_ns_of(pid) == active_pid_ns(task) as u64)
        && (cred as u64 == 0 || user as u64 == own_user);
    if same || deed_begin(of::UNIX_CONNECT, what::CONNECT, 0) == 0 {
        return 0;
    }
    // `tasks[PIDTYPE_PID].first` is a link of the task that has this number, if it still lives.
    let link = load_u64(pid, deeds!(pid_tasks));
    if link != 0 {
        deed_other(of::UNIX_CONNECT, link - u64::from(deeds!(task_pid_links)));
    } else if pid as u64 != 0 {
        let number = load_u32(pid, offset!(pid_numbers) + offset!(upid_nr));
        draft.deed.other.tid = number;
        draft.deed.other.tgid = number;
        draft.deed.other.uid = load_u32(cred, offset!(cred_uid));
        draft.deed.other.euid = load_u32(cred, offset!(cred_euid));
        draft.deed.other_slots.inum[NET] = inum::<NET>(net);
        draft.deed.other_slots.inum[USER] = inum::<USER>(user);
        draft.deed.other_slots.inum[PID] = inum::<PID>(pid_ns_of(pid) as Kptr);
    }
    // SAFETY: the draft is writable.
    unsafe { write_ref::<NET>(&raw mut draft.deed.ns, net) };
    let dentry = load_u64(listener, deeds!(unix_sock_path_dentry));
    if dentry != 0 {
        deed_place(of::UNIX_CONNECT, load_u64(listener, deeds!(unix_sock_path_mnt)), dentry);
        deed_names(of::UNIX_CONNECT, dentry);
    } else {
        let address = load_ptr(listener, deeds!(unix_sock_addr));
        let length = load_u32(address, deeds!(unix_address_len));
        // Without the family, and not more than there is room for and still a zero behind it.
        let bytes = if length > 65 { 63 } else { length.wrapping_sub(2) & 63 };
        let from = address.wrapping_add(deeds!(unix_address_path) as usize);
        // SAFETY: `name` has room for 64 bytes.
        unsafe { bpf_probe_read_kernel((&raw mut draft.deed.name).cast(), bytes & 63, from.cast()) };
    }
    deed_send(of::UNIX_CONNECT, u32::from(hook::UNIX_CONNECT))
}
