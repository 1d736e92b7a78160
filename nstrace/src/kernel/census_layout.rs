//! Offsets that only the census needs, looked up in the kernel's BTF. Every one may be absent: then what it serves is not seen.

use nstrace_common::{
    census::CensusLayout,
    layout::ABSENT,
    slots::{CGROUP, IPC, MNT, NET, PID, TIME, TYPES, USER, UTS},
};

use super::btf::Btf;

/// Where a namespace type keeps its reference count: its structure and, before `ns_common` had one (5.11), the member.
const COUNTS: [(usize, &str, &str); TYPES] = [
    (MNT, "mnt_namespace", "count"),
    (PID, "pid_namespace", "kref"),
    (NET, "net", "count"),
    (IPC, "ipc_namespace", "count"),
    (UTS, "uts_namespace", "kref"),
    (USER, "user_namespace", "count"),
    (CGROUP, "cgroup_namespace", "count"),
    (TIME, "time_namespace", "kref"),
];

/// `IPC_SHM_IDS` (ipc/util.h).
const SHM_IDS: u32 = 2;

fn shm_in_use(btf: &Btf) -> Option<u32> {
    let shm = btf.size_of("ipc_ids")?.checked_mul(SHM_IDS)?;
    btf.offset_of("ipc_namespace", "ids")?.checked_add(shm)?.checked_add(btf.offset_of("ipc_ids", "in_use")?)
}

/// Bytes of a `struct file` up to the end of the last member that is asked for, all of which are pointers.
fn file_span(btf: &Btf) -> u32 {
    let members = ["f_inode", "f_cred", "private_data", "f_path.dentry", "f_path.mnt", "f_owner", "f_owner.pid"];
    let ends = members.iter().filter_map(|member| btf.offset_of("file", member)?.checked_add(8));
    ends.max().unwrap_or(ABSENT)
}

/// Adds what is known to a module only, where that is loaded and says so (6.1 and newer).
pub fn add_modules(census: &mut CensusLayout, btf: &Btf) {
    if census.ovl_fs_creator_cred == ABSENT
        && let Ok(bytes) = std::fs::read("/sys/kernel/btf/overlay")
        && let Ok(module) = Btf::parse(bytes)
        && let Some(offset) = btf.offset_in_module(&module, "ovl_fs", "creator_cred")
    {
        census.ovl_fs_creator_cred = offset;
    }
}

/// Looks every member up.
pub fn resolve(btf: &Btf) -> CensusLayout {
    let at = |structure, path| btf.offset_of(structure, path).unwrap_or(ABSENT);
    let common_count = btf.offset_of("ns_common", "__ns_ref").or_else(|| btf.offset_of("ns_common", "count"));
    let mut ns_count = [ABSENT; TYPES];
    let mut ns_ucounts = [ABSENT; TYPES];
    for (t, structure, own) in COUNTS {
        ns_ucounts[t] = at(structure, "ucounts");
        ns_count[t] = match (common_count, btf.offset_of(structure, "ns")) {
            (Some(count), Some(common)) => common + count,
            _ => at(structure, own),
        };
    }
    // The array of io_uring's registered files, in the order in which kernels had them.
    let rings = [("file_table.data.nodes", "file_table.data.nr"), ("file_table.files", "nr_user_files")];
    let ring = rings
        .iter()
        .find_map(|(files, count)| Some((btf.offset_of("io_ring_ctx", files)?, btf.offset_of("io_ring_ctx", count)?)));
    CensusLayout {
        ns_count,
        ns_ucounts,
        ns_common_active: at("ns_common", "__ns_ref_active"),
        task_group_leader: at("task_struct", "group_leader"),
        task_real_parent: at("task_struct", "real_parent"),
        task_exit_state: at("task_struct", "exit_state"),
        task_files: at("task_struct", "files"),
        files_struct_fdt: at("files_struct", "fdt"),
        fdtable_fd: at("fdtable", "fd"),
        fdtable_max_fds: at("fdtable", "max_fds"),
        fdtable_open_fds: at("fdtable", "open_fds"),
        file_span: file_span(btf),
        file_f_inode: at("file", "f_inode"),
        file_f_cred: at("file", "f_cred"),
        file_private_data: at("file", "private_data"),
        file_dentry: at("file", "f_path.dentry"),
        file_mnt: at("file", "f_path.mnt"),
        inode_i_sb: at("inode", "i_sb"),
        inode_i_ino: at("inode", "i_ino"),
        inode_i_rdev: at("inode", "i_rdev"),
        dentry_d_name: at("dentry", "d_name.name"),
        dentry_d_inode: at("dentry", "d_inode"),
        super_block_s_magic: at("super_block", "s_magic"),
        super_block_s_user_ns: at("super_block", "s_user_ns"),
        super_block_s_fs_info: at("super_block", "s_fs_info"),
        socket_sk: at("socket", "sk"),
        sock_net: at("sock", "__sk_common.skc_net.net"),
        sock_family: at("sock", "__sk_common.skc_family"),
        sock_receive_queue: at("sock", "sk_receive_queue"),
        sock_state: at("sock", "__sk_common.skc_state"),
        sock_protocol: at("sock", "sk_protocol"),
        inet_csk_accept_head: at("inet_connection_sock", "icsk_accept_queue.rskq_accept_head"),
        request_sock_next: at("request_sock", "dl_next"),
        request_sock_sk: at("request_sock", "sk"),
        sock_peer_pid: at("sock", "sk_peer_pid"),
        sock_peer_cred: at("sock", "sk_peer_cred"),
        sk_buff_sk: at("sk_buff", "sk"),
        unix_skb_parms_pid: at("unix_skb_parms", "pid"),
        task_signal: at("task_struct", "signal"),
        signal_struct_pids: at("signal_struct", "pids"),
        task_fs: at("task_struct", "fs"),
        fs_struct_root_mnt: at("fs_struct", "root.mnt"),
        fs_struct_pwd_mnt: at("fs_struct", "pwd.mnt"),
        file_f_owner_pid: at("file", "f_owner.pid"),
        file_f_owner: at("file", "f_owner"),
        fown_struct_pid: at("fown_struct", "pid"),
        io_ring_ctx_files: ring.map_or(ABSENT, |(files, _)| files),
        io_ring_ctx_count: ring.map_or(ABSENT, |(_, count)| count),
        io_rsrc_node_file: at("io_rsrc_node", "file_ptr"),
        fsnotify_group_marks: at("fsnotify_group", "marks_list"),
        fsnotify_mark_list: at("fsnotify_mark", "g_list"),
        fsnotify_mark_connector: at("fsnotify_mark", "connector"),
        fsnotify_connector_obj: at("fsnotify_mark_connector", "obj"),
        inode_fsnotify_marks: at("inode", "i_fsnotify_marks"),
        perf_event_ns: at("perf_event", "ns"),
        fs_context_net_ns: at("fs_context", "net_ns"),
        fs_context_user_ns: at("fs_context", "user_ns"),
        fs_context_cred: at("fs_context", "cred"),
        seq_file_private: at("seq_file", "private"),
        proc_mounts_ns: at("proc_mounts", "ns"),
        proc_inode_vfs_inode: at("proc_inode", "vfs_inode"),
        proc_inode_pid: at("proc_inode", "pid"),
        proc_inode_pde: at("proc_inode", "pde"),
        proc_dir_entry_parent: at("proc_dir_entry", "parent"),
        proc_dir_entry_name: at("proc_dir_entry", "name"),
        proc_dir_entry_data: at("proc_dir_entry", "data"),
        kernfs_open_file_priv: at("kernfs_open_file", "priv"),
        cgroup_file_ctx_ns: at("cgroup_file_ctx", "ns"),
        ipc_namespace_mq_mnt: at("ipc_namespace", "mq_mnt"),
        mnt_namespace_seq: at("mnt_namespace", "seq"),
        sk_buff_next: at("sk_buff", "next"),
        sk_buff_cb: at("sk_buff", "cb"),
        unix_skb_parms_fp: at("unix_skb_parms", "fp"),
        scm_fp_list_count: at("scm_fp_list", "count"),
        scm_fp_list_fp: at("scm_fp_list", "fp"),
        mount_mnt: at("mount", "mnt"),
        mount_mnt_ns: at("mount", "mnt_ns"),
        mount_mnt_id: at("mount", "mnt_id"),
        mount_mnt_id_unique: at("mount", "mnt_id_unique"),
        vfsmount_mnt_root: at("vfsmount", "mnt_root"),
        vfsmount_mnt_sb: at("vfsmount", "mnt_sb"),
        vfsmount_mnt_userns: at("vfsmount", "mnt_userns"),
        mount_mnt_parent: at("mount", "mnt_parent"),
        mount_mnt_mounts: at("mount", "mnt_mounts"),
        mount_mnt_child: at("mount", "mnt_child"),
        mnt_namespace_root: at("mnt_namespace", "root"),
        ovl_fs_creator_cred: at("ovl_fs", "creator_cred"),
        proc_fs_info_pid_ns: at("proc_fs_info", "pid_ns"),
        cred_ucounts: at("cred", "ucounts"),
        ns_common_list: btf
            .offset_of("ns_common", "ns_unified_node.ns_list_entry")
            .or_else(|| btf.offset_of("ns_common", "ns_list_node"))
            .unwrap_or(ABSENT),
        net_list: at("net", "list"),
        vm_area_struct_vm_file: at("vm_area_struct", "vm_file"),
        mm_struct_user_ns: at("mm_struct", "user_ns"),
        task_exec_state: at("task_struct", "exec_state"),
        task_exec_state_user_ns: at("task_exec_state", "user_ns"),
        mm_struct_exe_file: at("mm_struct", "exe_file"),
        task_mm: at("task_struct", "mm"),
        shm_file_data_id: at("shm_file_data", "id"),
        shm_file_data_ns: at("shm_file_data", "ns"),
        ipc_namespace_shm_in_use: shm_in_use(btf).unwrap_or(ABSENT),
    }
}
