//! Numbers of the kernel by which a file says what it is; both sides of the border ask.

/// File systems: `s_magic` (include/uapi/linux/magic.h).
pub mod magic {
    pub const NSFS: u32 = 0x6e73_6673;
    pub const PIDFS: u32 = 0x5049_4446;
    pub const PROC: u32 = 0x9fa0;
    pub const SYSFS: u32 = 0x6265_6572;
    /// Version 1.
    pub const CGROUP: u32 = 0x0027_e0eb;
    pub const CGROUP2: u32 = 0x6367_7270;
    pub const SECURITYFS: u32 = 0x7363_6673;
    pub const DEBUGFS: u32 = 0x6462_6720;
    pub const TRACEFS: u32 = 0x7472_6163;
    pub const BINFMT_MISC: u32 = 0x4249_4e4d;
    pub const EFIVARFS: u32 = 0xde5e_81e4;
}

/// Types in `i_mode` (inode(7)).
pub mod mode {
    pub const S_IFMT: u32 = 0o170_000;
    pub const S_IFBLK: u32 = 0o060_000;
    pub const S_IFCHR: u32 = 0o020_000;
    pub const S_IFDIR: u32 = 0o040_000;
    pub const S_IFREG: u32 = 0o100_000;
}

/// `FMODE_WRITE` of `f_mode` (include/linux/fs.h).
pub const FMODE_WRITE: u32 = 0x2;
/// `FMODE_PATH` of `f_mode`: opened with `O_PATH`.
pub const FMODE_PATH: u32 = 0x4000;

/// The kernel's memory and ports, as `i_rdev` has them: `MKDEV(MEM_MAJOR, 1)`, 2 and 4 (mem(4)).
pub const MEM: u32 = 1 << 20 | 1;
pub const KMEM: u32 = 1 << 20 | 2;
pub const PORT: u32 = 1 << 20 | 4;
