//! Held by mounts: in this mount namespace and others, hidden, detached, and where no process is.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use rustix::{
    fs::OFlags,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
        fsmount, fsopen, move_mount, open_tree,
    },
};

use super::{
    Keeper,
    tools::{
        Visitor, bind, held, held_as, keep, mount, orphan, path_of, private_mounts, resident, scratch, skip, truth_of,
    },
};
use crate::sys;

pub const ALL: &[Keeper] = &[
    ("mount in the first mount namespace", in_the_first),
    ("mount in another mount namespace", in_another),
    ("mount under a root directory of one's own", under_a_root),
    ("mount with an odd path", odd_path),
    ("mount hidden by a mount over it", hidden_over),
    ("mount hidden by a mount over its folder", hidden_folder),
    ("mount in a mount namespace that is itself mounted", in_a_mounted_one),
    ("mount in a mount namespace that an fd holds", in_an_open_one),
    ("mount in a mount namespace in a mount namespace", in_a_chain),
    ("open_tree of a namespace file", detached_file),
    ("open_tree of a folder with a mount below", detached_folder),
    ("fsmount with a mount below", fsmounted),
    ("working directory in a detached tree", cwd_in_detached),
    ("fd in a detached tree", fd_in_detached),
    ("root directory in a detached tree", root_in_detached),
];

/// Where the actor mounts in the first mount namespace.
const FIRST: &str = "/run/nstrace-keep-first";

/// Undoes what outlives its process.
pub fn clean_up() {
    let _ = rustix::mount::unmount(FIRST, UnmountFlags::DETACH);
    let _ = std::fs::remove_file(FIRST);
}

fn in_the_first() {
    clean_up();
    let fd = orphan("uts");
    bind(&path_of(&fd), FIRST);
    held("uts", truth_of(&fd), &["mount"]);
}

fn in_another() {
    private_mounts();
    let folder = scratch();
    for name in ["uts", "ipc", "net", "cgroup", "user"] {
        let fd = orphan(name);
        bind(&path_of(&fd), &format!("{folder}/{name}"));
        held_as(name, name, truth_of(&fd), &["mount"]);
    }
}

/// The mount table of a process under chroot(2) shows only what is below its root.
fn under_a_root() {
    private_mounts();
    let folder = scratch();
    std::fs::create_dir(format!("{folder}/root")).expect("a tmpfs");
    let fd = orphan("uts");
    bind(&path_of(&fd), &format!("{folder}/ns"));
    held("uts", truth_of(&fd), &["mount"]);
    drop(fd);
    rustix::process::chroot(format!("{folder}/root")).expect("root may");
}

fn odd_path() {
    private_mounts();
    let folder = format!("{}/a b\n\\c\u{1b}[31m", scratch());
    std::fs::create_dir(&folder).expect("a tmpfs");
    let fd = orphan("uts");
    bind(&path_of(&fd), &format!("{folder}/\u{e9}"));
    held("uts", truth_of(&fd), &["mount"]);
}

fn hidden_over() {
    private_mounts();
    let point = format!("{}/ns", scratch());
    let fd = orphan("uts");
    bind(&path_of(&fd), &point);
    sys::bind_mount("/dev/null", &point).expect("root may");
    held("uts", truth_of(&fd), &["mount"]);
}

fn hidden_folder() {
    private_mounts();
    let folder = scratch();
    std::fs::create_dir(format!("{folder}/x")).expect("a tmpfs");
    let fd = orphan("ipc");
    bind(&path_of(&fd), &format!("{folder}/x/ns"));
    mount("tmpfs", &folder);
    held("ipc", truth_of(&fd), &["mount"]);
}

/// A mount namespace without a process, with these namespaces mounted on a tmpfs of its.
fn abandoned(inner: &[&OwnedFd]) -> OwnedFd {
    let visitor = Visitor::new(0, || {
        private_mounts();
        let folder = scratch();
        for (number, fd) in inner.iter().enumerate() {
            bind(&path_of(fd), &format!("{folder}/{number}"));
        }
        0
    });
    let fd = visitor.0.open("mnt");
    visitor.0.end();
    fd
}

fn in_a_mounted_one() {
    // A mount namespace can be mounted in older ones only.
    private_mounts();
    let fd = orphan("uts");
    let mnt = abandoned(&[&fd]);
    let folder = scratch();
    bind(&path_of(&mnt), &format!("{folder}/mnt"));
    held_as("inner", "uts", truth_of(&fd), &["mount"]);
    held_as("mnt", "mnt", truth_of(&mnt), &["mount"]);
}

fn in_an_open_one() {
    let (first, second) = (orphan("net"), orphan("ipc"));
    let mnt = abandoned(&[&first, &second]);
    held_as("first", "net", truth_of(&first), &["mount"]);
    held_as("second", "ipc", truth_of(&second), &["mount"]);
    held_as("mnt", "mnt", truth_of(&mnt), &["fd"]);
    keep(mnt);
}

fn in_a_chain() {
    let fd = orphan("uts");
    let (visitor, inner) = Visitor::new(0, || {
        private_mounts();
        let folder = scratch();
        let inner = abandoned(&[&fd]);
        bind(&path_of(&inner), &format!("{folder}/mnt"));
        inner.into_raw_fd()
    });
    let (inner, outer) = (visitor.take(inner), visitor.open("mnt"));
    visitor.end();
    held_as("uts", "uts", truth_of(&fd), &["mount"]);
    held_as("inner", "mnt", truth_of(&inner), &["mount"]);
    held_as("outer", "mnt", truth_of(&outer), &["fd"]);
    keep(outer);
}

/// `open_tree(OPEN_TREE_CLONE)` of everything below `path`.
pub fn cloned(path: &str) -> OwnedFd {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(rustix::fs::CWD, path, flags).unwrap_or_else(|error| panic!("open_tree {path}: {error}"))
}

/// The descriptor is on nsfs itself, and so is the mount it keeps.
fn detached_file() {
    let fd = orphan("uts");
    let tree = cloned(&path_of(&fd));
    held("uts", truth_of(&fd), &["fd", "detached-mount"]);
    keep(tree);
}

/// A detached copy of a tmpfs on which `inner` is mounted; the folder it was copied from is gone.
fn detached_tree(inner: &OwnedFd) -> OwnedFd {
    private_mounts();
    let folder = scratch();
    std::fs::create_dir(format!("{folder}/x")).expect("a tmpfs");
    bind(&path_of(inner), &format!("{folder}/x/ns"));
    let tree = cloned(&folder);
    sys::umount(&format!("{folder}/x/ns")).expect("it is mounted");
    tree
}

fn detached_folder() {
    let fd = orphan("net");
    let tree = detached_tree(&fd);
    held("net", truth_of(&fd), &["detached-mount"]);
    keep(tree);
}

fn fsmounted() {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).expect("root may");
    fsconfig_create(&context).expect("root may");
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).expect("root may");
    drop(context);
    let fd = orphan("uts");
    let point = rustix::fs::openat(&tree, "ns", OFlags::CREATE | OFlags::RDWR, 0o600.into()).expect("a tmpfs");
    let mount = cloned(&path_of(&fd));
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    if let Err(error) = move_mount(&mount, "", &point, "", flags) {
        skip(format_args!("nothing can be mounted in a detached tree (6.15+): {error}"));
    }
    drop((mount, point));
    held("uts", truth_of(&fd), &["detached-mount"]);
    keep(tree);
}

fn cwd_in_detached() {
    let fd = orphan("uts");
    let tree = detached_tree(&fd);
    rustix::process::fchdir(&tree).expect("a folder");
    drop(tree);
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = rustix::fs::open(".", flags, rustix::fs::Mode::empty()).expect("a folder");
    skip_unless_kept(&here);
    drop(here);
    held("uts", truth_of(&fd), &["detached-mount"]);
}

/// Ends the keeper where the kernel takes the mounts below away with the descriptor of the tree (7.x).
fn skip_unless_kept(folder: &OwnedFd) {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let below = rustix::fs::openat(folder, "x/ns", flags, rustix::fs::Mode::empty()).expect("a file or a mount on it");
    // NSFS_MAGIC
    if rustix::fs::fstatfs(&below).expect("it is open").f_type != 0x6e73_6673 {
        skip("the mounts of a tree do not outlive its descriptor");
    }
}

fn fd_in_detached() {
    let fd = orphan("ipc");
    let tree = detached_tree(&fd);
    let folder = rustix::fs::openat(&tree, ".", OFlags::DIRECTORY, 0.into()).expect("a folder");
    drop(tree);
    skip_unless_kept(&folder);
    held("ipc", truth_of(&fd), &["detached-mount"]);
    keep(folder);
}

fn root_in_detached() {
    let fd = orphan("net");
    let tree = detached_tree(&fd);
    resident(0, || {
        rustix::process::fchdir(&tree).expect("a folder");
        rustix::process::chroot(".").expect("root may");
        rustix::process::chdir("/").expect("it is there");
        sys::close(tree.as_raw_fd());
        sys::close(fd.as_raw_fd());
    });
    let folder = rustix::fs::openat(&tree, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, 0.into()).expect("a folder");
    drop(tree);
    skip_unless_kept(&folder);
    drop(folder);
    held("net", truth_of(&fd), &["detached-mount"]);
}
