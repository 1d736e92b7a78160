//! Which call a system call number is: x86-64, its x32 face, and the 32-bit ABI (arch/x86/entry/syscalls).

use nstrace_common::slots::{CLONE_FLAG, MNT};

use crate::event::Via;

/// Set in `orig_ax` of x32 calls (`__X32_SYSCALL_BIT`).
const X32_BIT: i32 = 0x4000_0000;

/// Low byte of the flags of the legacy clone(2): the signal sent to the parent, no flags at all. `CLONE_NEWTIME` lies in it.
const CSIGNAL: u64 = 0xff;

/// `UNSHARE_EMPTY_MNTNS` of unshare(2), 7.1+: implies `CLONE_NEWNS`. Same bit as `CLONE_PARENT_SETTID`.
const UNSHARE_EMPTY_MNTNS: u64 = 0x0010_0000;

/// `CLONE_EMPTY_MNTNS` of clone3(2), 7.1+: implies `CLONE_NEWNS`.
const CLONE_EMPTY_MNTNS: u64 = 1 << 37;

/// The way a call opens; None for calls that are no way to change, hold or drop a namespace. vfork(2) and fork(2) are
/// [`Via::Fork`]; clone(2) and clone3(2) are themselves, whatever their flags.
pub(super) fn via(nr: i32, compat: bool) -> Option<Via> {
    if nr < 0 {
        None
    } else if compat {
        ia32(nr)
    } else {
        x86_64(nr & !X32_BIT)
    }
}

/// The flags as the kernel takes them: what only looks like a `CLONE_NEW*` is gone, what implies one is spelt out.
pub(super) const fn flags(via: Via, flags: u64) -> u64 {
    match via {
        Via::Clone => flags & !CSIGNAL,
        Via::Clone3 if flags & CLONE_EMPTY_MNTNS != 0 => flags | CLONE_FLAG[MNT],
        Via::Unshare if flags & UNSHARE_EMPTY_MNTNS != 0 => flags | CLONE_FLAG[MNT],
        _ => flags,
    }
}

/// Numbers of `syscall_64.tbl`; 512 and above are x32's own.
const fn x86_64(nr: i32) -> Option<Via> {
    Some(match nr {
        56 => Via::Clone,
        57 | 58 => Via::Fork, // fork, vfork
        435 => Via::Clone3,
        272 => Via::Unshare,
        308 => Via::Setns,
        59 | 322 | 520 | 545 => Via::Exec,               // execve, execveat
        60 | 231 => Via::Exit,                           // exit, exit_group
        2 | 257 | 304 | 437 => Via::Open,                // open, openat, open_by_handle_at, openat2
        3 | 33 | 292 | 436 => Via::Close,                // close, dup2, dup3 (close what was there), close_range
        165 | 428 | 429 | 432 | 442 | 467 => Via::Mount, // mount, open_tree, move_mount, fsmount, mount_setattr, open_tree_attr
        166 => Via::Umount,
        // stat, fstat, lstat, newfstatat, statx, access, faccessat, faccessat2, readlink, readlinkat, statfs, fstatfs,
        // getxattr, lgetxattr, fgetxattr, listxattr, llistxattr, flistxattr, name_to_handle_at
        4 | 5 | 6 | 262 | 332 | 21 | 269 | 439 | 89 | 267 | 137 | 138 | 191..=196 | 303 => Via::Stat,
        0 | 17 | 19 | 515 => Via::Read, // read, pread64, readv
        16 | 514 => Via::Ioctl,
        47 | 299 | 438 | 519 | 537 => Via::Receive, // recvmsg, recvmmsg, pidfd_getfd
        _ => return None,
    })
}

/// Numbers of `syscall_32.tbl`.
const fn ia32(nr: i32) -> Option<Via> {
    Some(match nr {
        120 => Via::Clone,
        2 | 190 => Via::Fork,
        435 => Via::Clone3,
        310 => Via::Unshare,
        346 => Via::Setns,
        11 | 358 => Via::Exec,
        1 | 252 => Via::Exit,
        5 | 295 | 342 | 437 => Via::Open,
        6 | 63 | 330 | 436 => Via::Close,
        21 | 428 | 429 | 432 | 442 | 467 => Via::Mount,
        22 | 52 => Via::Umount, // umount, umount2
        // oldstat, oldfstat, oldlstat, stat, lstat, fstat, stat64, lstat64, fstat64, fstatat64, statx, access, faccessat,
        // faccessat2, readlink, readlinkat, statfs, fstatfs, getxattr…flistxattr, statfs64, fstatfs64, name_to_handle_at
        18
        | 28
        | 84
        | 106..=108
        | 195..=197
        | 300
        | 383
        | 33
        | 307
        | 439
        | 85
        | 305
        | 99
        | 100
        | 229..=234
        | 268
        | 269
        | 341 => Via::Stat,
        3 | 145 | 180 => Via::Read, // read, readv, pread64
        54 => Via::Ioctl,
        372 | 337 | 417 | 438 => Via::Receive, // recvmsg, recvmmsg, recvmmsg_time64, pidfd_getfd
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_abis_number_differently() {
        assert_eq!(via(272, false), Some(Via::Unshare));
        assert_eq!(via(310, true), Some(Via::Unshare));
        assert_eq!(via(310, false), None);
        assert_eq!(via(120, true), Some(Via::Clone));
        assert_eq!(via(2, true), Some(Via::Fork));
        assert_eq!(via(2, false), Some(Via::Open));
        assert_eq!((via(3, false), via(3, true)), (Some(Via::Close), Some(Via::Read)));
        assert_eq!(via(-1, false), None);
        assert_eq!(via(i32::MIN, true), None);
        assert_eq!(via(308 | X32_BIT, false), Some(Via::Setns));
    }

    #[test]
    fn the_exit_signal_of_clone_is_no_time_namespace() {
        assert_eq!(flags(Via::Clone, 0x4000_0000 | 0x80 | 17), 0x4000_0000);
        assert_eq!(flags(Via::Clone3, 0x80), 0x80);
        assert_eq!(flags(Via::Unshare, 0x80), 0x80);
    }

    #[test]
    fn an_empty_mount_namespace_is_a_new_one() {
        assert_eq!(flags(Via::Unshare, UNSHARE_EMPTY_MNTNS), UNSHARE_EMPTY_MNTNS | 0x2_0000);
        assert_eq!(flags(Via::Clone3, CLONE_EMPTY_MNTNS), CLONE_EMPTY_MNTNS | 0x2_0000);
        assert_eq!(flags(Via::Clone, UNSHARE_EMPTY_MNTNS), UNSHARE_EMPTY_MNTNS, "CLONE_PARENT_SETTID there");
    }
}
