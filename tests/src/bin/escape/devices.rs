//! The host's disks: opened, and mounted by the old and the new API (mount(2), fsopen(2)).

use std::{
    fs::{self, File},
    io::Read,
};

use nstrace_tests::escape::act::Given;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, openat},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
    },
};

use crate::attempt::{Attempt, Refused, Technique, done, skip};

pub const ALL: &[Technique] = &[
    ("device-open", open),
    ("device-mount", mount_old),
    ("device-fsmount", |given| mount_new(given, true)),
    ("device-fsmount-detached", |given| mount_new(given, false)),
];

const NODE: &str = "/dev/disk-of-the-host";
const PLACE: &str = "/tmp/disk";

/// A node of the disk, gone when this is dropped.
struct Node<'a> {
    fstype: &'a str,
}

impl<'a> Node<'a> {
    fn make(given: &'a Given) -> Result<Self, Refused> {
        let Some((major, minor, fstype)) = &given.device else {
            return Err(Refused::Skip("no disk to play with".to_owned()));
        };
        mknodat(CWD, NODE, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, makedev(*major, *minor))?;
        Ok(Self { fstype })
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(NODE);
    }
}

fn open(given: &Given) -> Attempt {
    let _node = Node::make(given)?;
    File::open(NODE)?.read_exact(&mut [0; 2048])?;
    done("read")
}

/// Names of what is in the root of the mounted disk; only that shows that it is mounted.
fn listed(entries: impl Iterator<Item = String>) -> Attempt {
    let names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
    if names.is_empty() { skip("nothing is on the disk") } else { done(names.join(" ")) }
}

fn mount_old(given: &Given) -> Attempt {
    let node = Node::make(given)?;
    fs::create_dir_all(PLACE)?;
    mount(NODE, PLACE, node.fstype, MountFlags::RDONLY, None)?;
    let names = listed(fs::read_dir(PLACE)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
    unmount(PLACE, UnmountFlags::empty())?;
    names
}

fn mount_new(given: &Given, attach: bool) -> Attempt {
    let node = Node::make(given)?;
    let context = fsopen(node.fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", NODE)?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    if attach {
        fs::create_dir_all(PLACE)?;
        move_mount(&mounted, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    let root = openat(&mounted, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let entries = rustix::fs::Dir::read_from(&root)?.flatten();
    let names = listed(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    if attach {
        unmount(PLACE, UnmountFlags::DETACH)?;
    }
    names
}
