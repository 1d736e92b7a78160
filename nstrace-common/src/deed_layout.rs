//! Where the members lie that only [`crate::deed`] needs; see [`crate::layout`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::layout::ABSENT;

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Byte offsets (`ABSENT` where this kernel has no such member).
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct DeedLayout {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl DeedLayout {
            pub const UNKNOWN: Self = Self { $($name: ABSENT,)* };
        }
    };
}

layout! {
    task_fs,
    task_mm,
    task_group_leader,
    task_seccomp_mode,
    task_atomic_flags,
    task_loginuid,
    task_files,
    /// `pid_links[0]`: the task in the list of its `struct pid`.
    task_pid_links,
    /// `tasks[0]`: the task of a `struct pid`.
    pid_tasks,
    cred_cap_permitted,
    cred_cap_bset,
    mm_exe_file,
    /// `root.mnt` and so on.
    fs_root_mnt,
    fs_root_dentry,
    fs_pwd_mnt,
    fs_pwd_dentry,
    file_mnt,
    file_dentry,
    file_f_inode,
    file_f_mode,
    file_f_flags,
    file_private_data,
    path_mnt,
    path_dentry,
    dentry_d_inode,
    dentry_d_sb,
    dentry_d_parent,
    /// `d_name.name`.
    dentry_name,
    inode_i_sb,
    inode_i_ino,
    inode_i_mode,
    inode_i_rdev,
    super_block_s_dev,
    super_block_s_magic,
    super_block_s_user_ns,
    /// `mnt` in `struct mount`.
    mount_mnt,
    mount_mnt_ns,
    /// The mount in the ring of its peers.
    mount_mnt_share,
    mountpoint_m_dentry,
    vfsmount_mnt_root,
    vfsmount_mnt_flags,
    proc_inode_vfs_inode,
    proc_inode_pid,
    proc_inode_sysctl,
    ctl_table_header_set,
    ctl_table_set_is_seen,
    files_struct_fdt,
    fdtable_fd,
    fs_context_fs_type,
    fs_context_root,
    fs_context_source,
    file_system_type_name,
    file_system_type_fs_flags,
    module_name,
    bpf_prog_type,
    bpf_prog_aux,
    bpf_prog_aux_name,
    subprocess_info_path,
    seq_file_private,
    user_namespace_uid_map,
    user_namespace_gid_map,
    uid_gid_map_nr_extents,
    uid_gid_map_extent,
    /// Of `struct uid_gid_extent`.
    extent_lower_first,
    extent_count,
    sock_net,
    sock_peer_pid,
    sock_peer_cred,
    unix_sock_path_mnt,
    unix_sock_path_dentry,
    unix_sock_addr,
    unix_address_len,
    /// `name[0].sun_path`.
    unix_address_path,
    cgroup_self_parent,
    cgroup_root,
    css_cgroup,
}
