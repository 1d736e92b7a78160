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
        fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
    },
};

use crate::attempt::{Attempt, Refused, Technique, done};

pub const ALL: &[Technique] = &[
    ("device-open", open),
    ("device-mount", mount_old),
    ("device-fsmount", |given| mount_new(given, true)),
    ("device-fsmount-detached", |given| mount_new(given, false)),
];

const NODE: &str = "/dev/disk-of-the-host";
/// What the harness put on the disk.
const MARK: &str = "lost+found";

/// A node of the disk, gone when this is dropped.
struct Node;

impl Node {
    fn make(given: &Given) -> Result<Self, Refused> {
        let Some((major, minor)) = given.device else {
            return Err(Refused::Skip("no disk to play with".to_owned()));
        };
        mknodat(CWD, NODE, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, makedev(major, minor))?;
        Ok(Self)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_file(NODE);
    }
}

fn open(given: &Given) -> Attempt {
    let _node = Node::make(given)?;
    let mut bytes = [0; 2048];
    File::open(NODE)?.read_exact(&mut bytes)?;
    // struct ext4_super_block is 1024 bytes in; s_magic 56 bytes into it.
    if bytes[1080..1082] == [0x53, 0xef] { done("an ext4 superblock") } else { done("read") }
}

fn mount_old(given: &Given) -> Attempt {
    let _node = Node::make(given)?;
    fs::create_dir_all("/tmp/disk")?;
    mount(NODE, "/tmp/disk", "ext4", MountFlags::RDONLY, None)?;
    let found = fs::exists(format!("/tmp/disk/{MARK}"))?;
    unmount("/tmp/disk", UnmountFlags::empty())?;
    done(format!("{MARK}: {found}"))
}

fn mount_new(given: &Given, attach: bool) -> Attempt {
    let _node = Node::make(given)?;
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", NODE)?;
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    if attach {
        fs::create_dir_all("/tmp/disk")?;
        move_mount(&mounted, "", CWD, "/tmp/disk", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    openat(&mounted, MARK, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if attach {
        unmount("/tmp/disk", UnmountFlags::DETACH)?;
    }
    done(MARK)
}
