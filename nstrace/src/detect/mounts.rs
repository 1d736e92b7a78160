//! NST-007, NST-008, NST-019: devices and file systems of the host mounted or opened, what is mounted for the host to see, and
//! the host made a root directory.

use nstrace_common::file::{
    KMEM, MEM, PORT,
    mode::{S_IFBLK, S_IFCHR},
};

use super::{
    Found, Severity, Sight,
    catalogue::{BLOCK_DEVICE, HOST_MOUNT, KERNEL_FILE_SYSTEM},
    leave,
    lineage::{seen, seen_in},
    words,
};
use crate::{
    deed::{Act, Deed, device},
    ns::{NsType, Slot},
};

/// Of [`Act::Mount`]: the file system type wants a block device.
const REQUIRES_DEVICE: u32 = 1;

/// `MS_SHARED` (linux/mount.h).
const MS_SHARED: u32 = 1 << 20;

/// File systems by which the kernel is controlled; the bool: a container inside this one needs its own.
const KERNEL_FILE_SYSTEMS: [(&str, bool); 8] = [
    ("proc", true),
    ("sysfs", true),
    ("cgroup2", true),
    ("cgroup", false),
    ("bpf", false),
    ("debugfs", false),
    ("tracefs", false),
    ("securityfs", false),
];

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let Some(place) = &deed.place else { return };
    let who = || words::who(sight.world, &deed.task);
    match deed.act {
        Act::Mount if deed.flags & REQUIRES_DEVICE != 0 => {
            let explain =
                format!("{} mounted device {} ('{}') as {}", who(), device(place.dev), deed.detail, deed.name);
            found.push(Found::new(&BLOCK_DEVICE, &deed.task, explain).with_object(place.dev.into()));
        }
        Act::Mount => {
            let Some((name, nests)) = KERNEL_FILE_SYSTEMS.into_iter().find(|(name, _)| deed.name == *name) else {
                return;
            };
            if !place.initial_user {
                return;
            }
            let explain = format!("{} mounted a {name} file system that belongs to the host's user namespace", who());
            let one = Found::new(&KERNEL_FILE_SYSTEM, &deed.task, explain).with_object(place.dev.into());
            found.push(match nests {
                true if is_nesting(sight, deed) => one.with_severity(Severity::Info),
                // In a cgroup namespace of its own it has its own part of the hierarchy, and no more.
                true if name == "cgroup2" && has_own_cgroups(sight, deed) => one.with_severity(Severity::Low),
                // What it shows of the host is what the task's own namespaces show; what it controls is a finding when it is opened.
                true => one.with_severity(Severity::Medium),
                false => one,
            });
        }
        Act::Open if place.is(S_IFBLK) => {
            let explain = format!("{} opened block device {} as '{}'", who(), device(place.rdev), deed.name);
            found.push(Found::new(&BLOCK_DEVICE, &deed.task, explain).with_object(place.rdev.into()));
        }
        Act::Open if place.is(S_IFCHR) && matches!(place.rdev, MEM | KMEM | PORT) => {
            let explain = format!("{} opened the memory of the machine as '{}'", who(), deed.name);
            found.push(Found::new(&BLOCK_DEVICE, &deed.task, explain).with_object(place.rdev.into()));
        }
        // Of major number 0 are file systems without a device: nobody can open such a node.
        Act::Mknod if place.is(S_IFBLK) && place.rdev >> 20 != 0 => {
            let explain = format!("{} made a node of block device {}", who(), device(place.rdev));
            let one = Found::new(&BLOCK_DEVICE, &deed.task, explain).with_severity(Severity::High);
            found.push(one.with_object(place.rdev.into()));
        }
        Act::Root if place.host_root => {
            let explain = format!("{} made the host's root directory its own", who());
            found.push(Found::new(&HOST_MOUNT, &deed.task, explain));
        }
        Act::Propagation if deed.flags & MS_SHARED != 0 => {
            let explain = format!("{} made the mount of inode {} share what is mounted below it", who(), place.ino);
            let one = Found::new(&HOST_MOUNT, &deed.task, explain).with_severity(Severity::Low);
            found.push(one.with_object(place.ino));
        }
        Act::Propagated => {
            let Some(ns) = deed.ns.and_then(|name| seen(sight.world, name)) else { return };
            let Some(direction) = leave::direction(sight, &deed.task, &ns) else { return };
            let explain = format!(
                "what {} mounted on '{}' shows in {} too: its mount is shared",
                who(),
                deed.name,
                words::which(&ns)
            );
            let mut one = Found::new(&HOST_MOUNT, &deed.task, explain).about(ns).with_object(place.ino);
            one.direction = Some(direction);
            one.from = deed.slots.get(Slot::Member(NsType::Mnt));
            found.push(one);
        }
        _ => {}
    }
}

/// The task is in a mount namespace that its home made since it was sealed: it sets up a container inside.
fn is_nesting(sight: Sight<'_>, deed: &Deed) -> bool {
    let Sight { world, lineage } = sight;
    seen_in(world, &deed.slots, NsType::Mnt)
        .is_some_and(|mnt| lineage.homes.is_made_inside(lineage.home(&deed.task), mnt.key))
}

fn has_own_cgroups(sight: Sight<'_>, deed: &Deed) -> bool {
    seen_in(sight.world, &deed.slots, NsType::Cgroup).is_some_and(|cgroup| !cgroup.initial)
}
