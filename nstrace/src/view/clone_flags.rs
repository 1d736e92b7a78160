//! `CLONE_*` flags by name (clone(2), include/uapi/linux/sched.h).

use std::borrow::Cow;

use crate::event::Via;

/// The exit signal that the legacy clone(2) keeps in the low byte; `CLONE_NEWTIME` shares a bit with it.
const CSIGNAL: u64 = 0xff;

const NAMES: [(u64, &str); 27] = [
    (0x0000_0080, "CLONE_NEWTIME"),
    (0x0002_0000, "CLONE_NEWNS"),
    (0x0200_0000, "CLONE_NEWCGROUP"),
    (0x0400_0000, "CLONE_NEWUTS"),
    (0x0800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
    (0x0000_0100, "CLONE_VM"),
    (0x0000_0200, "CLONE_FS"),
    (0x0000_0400, "CLONE_FILES"),
    (0x0000_0800, "CLONE_SIGHAND"),
    (0x0000_1000, "CLONE_PIDFD"),
    (0x0000_2000, "CLONE_PTRACE"),
    (0x0000_4000, "CLONE_VFORK"),
    (0x0000_8000, "CLONE_PARENT"),
    (0x0001_0000, "CLONE_THREAD"),
    (0x0004_0000, "CLONE_SYSVSEM"),
    (0x0008_0000, "CLONE_SETTLS"),
    (0x0010_0000, "CLONE_PARENT_SETTID"),
    (0x0020_0000, "CLONE_CHILD_CLEARTID"),
    (0x0040_0000, "CLONE_DETACHED"),
    (0x0080_0000, "CLONE_UNTRACED"),
    (0x0100_0000, "CLONE_CHILD_SETTID"),
    (0x8000_0000, "CLONE_IO"),
    (0x1_0000_0000, "CLONE_CLEAR_SIGHAND"),
    (0x2_0000_0000, "CLONE_INTO_CGROUP"),
];

/// The flags of a call: those of namespaces first, then the others, then what has no name as one hexadecimal number.
/// The exit signal in the flags of clone(2), and of a fork by whichever call, is left out.
pub fn names(via: Via, flags: u64) -> Vec<Cow<'static, str>> {
    let flags = match via {
        Via::Clone | Via::Fork => flags & !CSIGNAL,
        _ => flags,
    };
    let mut rest = flags;
    let mut names = Vec::new();
    for (bit, name) in NAMES {
        if flags & bit != 0 {
            rest &= !bit;
            names.push(Cow::Borrowed(name));
        }
    }
    if rest != 0 {
        names.push(Cow::Owned(format!("{rest:#x}")));
    }
    names
}

/// Only those that ask for namespaces: what a line for people has room for.
pub fn namespace_names(via: Via, flags: u64) -> Vec<Cow<'static, str>> {
    names(via, flags & nstrace_common::slots::CLONE_NEW_ANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newtime_is_not_mistaken_for_an_exit_signal() {
        // 0x91 = 0x80 | SIGCHLD: a signal number to clone(2), CLONE_NEWTIME to unshare(2) and clone3(2).
        assert_eq!(names(Via::Clone, 0x4000_0091), ["CLONE_NEWNET"]);
        assert_eq!(names(Via::Unshare, 0x80), ["CLONE_NEWTIME"]);
        assert_eq!(names(Via::Clone3, 0x80), ["CLONE_NEWTIME"]);
        assert!(names(Via::Fork, 17).is_empty());
    }

    #[test]
    fn unknown_bits_stay_visible() {
        assert_eq!(names(Via::Clone3, 0x8_4000_0000), ["CLONE_NEWNET", "0x800000000"]);
        assert_eq!(names(Via::Unshare, 0x1), ["0x1"]);
    }

    #[test]
    fn every_namespace_type_has_its_flag_here() {
        for ns_type in crate::ns::NsType::ALL {
            let names = names(Via::Unshare, ns_type.clone_flag());
            assert_eq!(names.len(), 1);
            assert!(names[0].starts_with("CLONE_NEW"), "{names:?}");
        }
    }
}
