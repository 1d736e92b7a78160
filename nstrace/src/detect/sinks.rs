//! NST-005 and NST-006: files by which whoever writes them acts on the whole host, told by file system and entry, and the programs
//! that the kernel then runs. The path by which such a file is reached says nothing: it can be mounted anywhere.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use nstrace_common::{
    deed::open,
    file::magic::{BINFMT_MISC, CGROUP, DEBUGFS, EFIVARFS, PROC, SECURITYFS, SYSFS, TRACEFS},
};
use serde::{Deserialize, Serialize};

use super::{
    Found, Severity, Sight,
    catalogue::{HELPER, HOST_SINK},
    homes::HomeId,
    lineage::seen_in,
    words,
};
use crate::{
    deed::{Act, Deed, Place},
    event::TaskInfo,
    ns::NsType,
};

/// Entries of procfs: name and the directory they are in.
const PROC_SINKS: [(&str, &str); 8] = [
    ("core_pattern", "kernel"),
    ("modprobe", "kernel"),
    ("hotplug", "kernel"),
    ("poweroff_cmd", "kernel"),
    ("bset", "usermodehelper"),
    ("inheritable", "usermodehelper"),
    ("panic_on_oom", "vm"),
    ("sysrq-trigger", "/"),
];

/// Sysctls of the uts namespace and, before 5.19, of the ipc namespace, although their table is the one that all share: its entries
/// find the namespace of whoever writes.
const OF_NAMESPACE_ALL_THE_SAME: [&str; 13] = [
    "hostname",
    "domainname",
    "shmmax",
    "shmall",
    "shmmni",
    "shm_rmid_forced",
    "msgmax",
    "msgmni",
    "msgmnb",
    "auto_msgmni",
    "sem",
    "ns_last_pid",
    "msg_next_id",
];

/// What a file controls, if it is one of these.
fn sink(deed: &Deed, place: &Place) -> Option<Severity> {
    let named = |names: &[&str]| names.contains(&deed.name.as_str());
    let is = match place.magic {
        PROC => PROC_SINKS.iter().any(|&(name, directory)| deed.name == name && deed.detail == directory),
        SYSFS => named(&["uevent_helper"]),
        CGROUP => named(&["release_agent", "devices.allow"]),
        BINFMT_MISC => named(&["register"]),
        DEBUGFS | TRACEFS | SECURITYFS | EFIVARFS => true,
        _ => false,
    };
    if is {
        Some(Severity::Critical)
    } else {
        let is_shared = deed.number & (open::SYSCTL | open::OF_NAMESPACE) == open::SYSCTL;
        (place.magic == PROC && is_shared && !OF_NAMESPACE_ALL_THE_SAME.contains(&deed.name.as_str()))
            .then_some(Severity::High)
    }
}

/// Whether this may be the one that runs when the kernel starts a program.
type Runs = fn(&TaskInfo) -> bool;

/// Sinks that name a program for the kernel to run, and on whose behalf.
const NAME_A_PROGRAM: [(&str, Runs); 6] = [
    ("core_pattern", is_dying),
    // Whoever wants a module, or has to do with a device, waits for it.
    ("modprobe", |task| !is_dying(task)),
    ("hotplug", |task| !is_dying(task)),
    ("uevent_helper", |task| !is_dying(task)),
    // From a work queue.
    ("poweroff_cmd", TaskInfo::is_kernel_thread),
    ("release_agent", TaskInfo::is_kernel_thread),
];

/// `PF_DUMPCORE` (include/linux/sched.h): it leaves a core dump behind.
fn is_dying(task: &TaskInfo) -> bool {
    const PF_DUMPCORE: u32 = 0x200;
    task.flags & PF_DUMPCORE != 0
}

/// Programs that are remembered to have been run before.
const REMEMBERED: usize = 256;

/// What the kernel ran, and whether a container has had a say in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Helpers {
    /// Run before any container could name them.
    before: BTreeSet<String>,
    /// Sink, and who opened it last.
    #[serde(default)]
    named_by: BTreeMap<Cow<'static, str>, String>,
}

pub(super) fn deed(sight: Sight<'_>, contained: bool, helpers: &mut Helpers, deed: &Deed, found: &mut Vec<Found>) {
    match deed.act {
        Act::Open if deed.is_for_writing() => {
            let Some(place) = &deed.place else { return };
            let Some(severity) = sink(deed, place) else { return };
            let who = words::who(sight.world, &deed.task);
            let explain = if contained {
                format!("{who} opened '{}', which controls the whole host, for writing", deed.name)
            } else if severity == Severity::Critical && is_runtime_inside(sight, deed) {
                format!(
                    "{who} sets up a container and opened '{}', which controls the whole host, for writing: it was tricked",
                    deed.name
                )
            } else {
                return;
            };
            if let Some((name, _)) = NAME_A_PROGRAM.into_iter().find(|(name, _)| deed.name == *name) {
                helpers.named_by.insert(Cow::Borrowed(name), who.clone());
            }
            let object = place.ino ^ u64::from(place.dev) << 32;
            found.push(Found::new(&HOST_SINK, &deed.task, explain).with_severity(severity).with_object(object));
        }
        Act::Helper => {
            // By way of a task's root directory the kernel reaches into a mount namespace that is not its own.
            let reaches = deed.detail.starts_with("/proc/");
            let may_run = NAME_A_PROGRAM.into_iter().filter(|(_, runs)| runs(&deed.task));
            let named = may_run.filter_map(|(name, _)| helpers.named_by.get_key_value(name)).next();
            let why = match named.filter(|_| !helpers.before.contains(&deed.detail)) {
                Some((sink, who)) => format!("after {who} could name it in '{sink}'"),
                None if reaches => "a file below a task's own root directory".to_owned(),
                None => {
                    if helpers.before.len() < REMEMBERED {
                        helpers.before.insert(deed.detail.clone());
                    }
                    return;
                }
            };
            let explain = format!("the kernel ran '{}' on the host, {why}", deed.detail);
            // Two programs, or one that two could name, are two findings.
            let object = explain.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            let mut one = Found::new(&HELPER, &deed.task, explain).with_object(object);
            one.task = None;
            found.push(one);
        }
        _ => {}
    }
}

/// A task of the host that is in a mount namespace which is neither the host's nor a sandbox's, and has not executed anything there: what
/// sets up a container, or enters one.
fn is_runtime_inside(sight: Sight<'_>, deed: &Deed) -> bool {
    sight.lineage.home(&deed.task) == HomeId::HOST
        && seen_in(sight.world, &deed.slots, NsType::Mnt).is_some_and(|mnt| !mnt.initial)
}
