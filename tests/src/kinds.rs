//! Namespace types and `CLONE_NEW*` flags by name (namespaces(7), include/uapi/linux/sched.h).

/// A namespace type with its clone flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name below `/proc/PID/ns`.
    pub name: &'static str,
    pub flag: u64,
    pub flag_name: &'static str,
}

/// All types, in the order in which the kernel makes them (`create_user_ns`, then `create_new_namespaces`).
pub const KINDS: [Kind; 8] = [
    Kind { name: "user", flag: 0x1000_0000, flag_name: "CLONE_NEWUSER" },
    Kind { name: "mnt", flag: 0x0002_0000, flag_name: "CLONE_NEWNS" },
    Kind { name: "uts", flag: 0x0400_0000, flag_name: "CLONE_NEWUTS" },
    Kind { name: "ipc", flag: 0x0800_0000, flag_name: "CLONE_NEWIPC" },
    Kind { name: "pid", flag: 0x2000_0000, flag_name: "CLONE_NEWPID" },
    Kind { name: "cgroup", flag: 0x0200_0000, flag_name: "CLONE_NEWCGROUP" },
    Kind { name: "net", flag: 0x4000_0000, flag_name: "CLONE_NEWNET" },
    Kind { name: "time", flag: 0x0000_0080, flag_name: "CLONE_NEWTIME" },
];

/// Every `CLONE_NEW*` bit.
pub const ALL_FLAGS: u64 = {
    let mut all = 0;
    let mut i = 0;
    while i < KINDS.len() {
        all |= KINDS[i].flag;
        i += 1;
    }
    all
};

/// The types whose bits are set in `flags`.
pub fn kinds_of(flags: u64) -> impl Iterator<Item = Kind> {
    KINDS.into_iter().filter(move |k| flags & k.flag != 0)
}

/// The type called `name`.
///
/// # Panics
/// When there is none: the tests name types themselves.
pub fn kind(name: &str) -> Kind {
    KINDS.into_iter().find(|k| k.name == name).unwrap_or_else(|| panic!("no namespace type {name:?}"))
}

/// The type a slot below `/proc/PID/ns` holds: `pid_for_children` holds a `pid`.
pub fn type_of_slot(slot: &str) -> &str {
    slot.strip_suffix("_for_children").unwrap_or(slot)
}

/// The ten slots of a task.
pub const SLOTS: [&str; 10] =
    ["user", "mnt", "uts", "ipc", "pid", "cgroup", "net", "time", "pid_for_children", "time_for_children"];
