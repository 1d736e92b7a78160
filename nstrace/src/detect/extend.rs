//! NST-009, NST-011, NST-015: what a contained task asks of the kernel beyond files and namespaces.

use nstrace_common::file::magic::{NSFS, PIDFS};

use super::{
    Found, Severity, Sight,
    catalogue::{HANDLE_OPEN, KERNEL_EXTENSION, USER_NAMESPACE},
    lineage::seen,
    posture::Grant,
    words,
};
use crate::deed::{Act, Deed, device};

/// linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// How bad a BPF program of this type (`BPF_PROG_TYPE_*`, linux/bpf.h) is: those that see or change what the kernel does for others,
/// those that see packets, and those that a container's own service manager loads for its own cgroups.
const fn severity_of_program(program_type: u32) -> Severity {
    match program_type {
        // KPROBE TRACEPOINT PERF_EVENT RAW_TRACEPOINT RAW_TRACEPOINT_WRITABLE TRACING STRUCT_OPS EXT LSM SYSCALL
        2 | 5 | 7 | 17 | 24 | 26 | 27 | 28 | 29 | 31 => Severity::Critical,
        // SCHED_CLS SCHED_ACT XDP NETFILTER
        3 | 4 | 6 | 32 => Severity::Medium,
        _ => Severity::Info,
    }
}

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let Sight { world, lineage } = sight;
    let who = || words::who(world, &deed.task);
    match deed.act {
        // A handle of pidfs names a task, not a file; one of nsfs is for NST-002.
        Act::HandleOpen if !deed.place.is_some_and(|place| matches!(place.magic, PIDFS | NSFS)) => {
            let object = deed.place.map_or(0, |place| place.ino);
            let explain = match deed.place {
                Some(place) => format!(
                    "{} opened inode {object} of device {} by its handle, past every directory",
                    who(),
                    device(place.dev)
                ),
                None => format!("{} opened a file by its handle, past every directory", who()),
            };
            found.push(Found::new(&HANDLE_OPEN, &deed.task, explain).with_object(object));
        }
        Act::Module => {
            let explain = format!("{} loaded the kernel module '{}'", who(), deed.name);
            found.push(Found::new(&KERNEL_EXTENSION, &deed.task, explain));
        }
        Act::Bpf => {
            let explain = format!("{} loaded the BPF program '{}' of type {}", who(), deed.name, deed.flags);
            let one = Found::new(&KERNEL_EXTENSION, &deed.task, explain).with_object(deed.flags.into());
            found.push(one.with_severity(severity_of_program(deed.flags)));
        }
        Act::Kexec => {
            let explain = format!("{} loaded another kernel", who());
            found.push(Found::new(&KERNEL_EXTENSION, &deed.task, explain).with_object(u64::MAX));
        }
        Act::Capability if matches!(deed.flags, CAP_NET_ADMIN | CAP_NET_RAW) => {
            let Some(user) = deed.ns.and_then(|name| seen(world, name)) else { return };
            // A user namespace that was there when the container was sealed is how it was set up.
            let home = lineage.home(&deed.task);
            if lineage.homes.is_made_inside(home, user.key) {
                let is_root_of_host =
                    lineage.homes.get(home).is_some_and(|home| home.granted.contains(&Grant::SysAdmin));
                let (severity, new) = if is_root_of_host {
                    // Whoever may do as much over the host reaches nothing new.
                    (Severity::Info, "that its container may reach without it")
                } else if deed.flags == CAP_NET_ADMIN {
                    // The same check stands before the loopback device, which every sandbox sets up, and before nf_tables.
                    (Severity::Low, "that is otherwise closed to it")
                } else {
                    (Severity::Medium, "that is otherwise closed to it")
                };
                let explain = format!(
                    "{} used capability {} over {}, which its container made, on a part of the kernel {new}",
                    who(),
                    deed.flags,
                    words::which(&user)
                );
                found.push(Found::new(&USER_NAMESPACE, &deed.task, explain).with_severity(severity).about(user));
            }
        }
        _ => {}
    }
}
