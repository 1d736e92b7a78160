//! Held by other objects of the kernel: sockets, tun, credentials, super blocks, procfs, pidfds, shared memory.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use rustix::{
    fs::OFlags,
    net::{AddressFamily, SocketFlags, SocketType, socket_with, socketpair},
};

use super::{
    Keeper,
    tools::{Visitor, flags, folder, held, held_as, inside, keep, mount, open, private_mounts, scratch, skip},
};
use crate::{sys, truth};

pub const ALL: &[Keeper] = &[
    ("socket", socket),
    ("connection nobody accepted", unaccepted),
    ("tun", tun),
    ("credentials of an open file", credentials),
    ("credentials of a mapped file", mapped),
    ("superblock, by a file", superblock_file),
    ("superblock, by a mount", superblock_mount),
    ("superblock, by a working directory", superblock_cwd),
    ("overlay", overlay),
    ("procfs, by a mount", procfs_mount),
    ("procfs, by a file", procfs_file),
    ("procfs, by a folder of a dead process", procfs_folder),
    ("pidfd of a dead task", pidfd),
    ("shared memory", shared_memory),
    ("file system context", fs_context),
    ("peer of a socket", peer),
    ("open mount table", mount_table),
    ("open table of sockets", net_table),
    ("open cgroup.procs", cgroup_file),
    ("inotify watch", inotify),
    ("perf event", perf_event),
];

fn socket() {
    let kinds = [
        ("tcp", AddressFamily::INET, SocketType::STREAM),
        ("udp6", AddressFamily::INET6, SocketType::DGRAM),
        ("unix", AddressFamily::UNIX, SocketType::STREAM),
        ("netlink", AddressFamily::NETLINK, SocketType::RAW),
        ("packet", AddressFamily::PACKET, SocketType::RAW),
    ];
    for (what, family, kind) in kinds {
        let (socket, ns) = inside("net", || socket_with(family, kind, SocketFlags::CLOEXEC, None));
        match socket {
            Ok(socket) => {
                held_as(what, "net", ns, &["socket"]);
                keep(socket);
            }
            Err(error) => assert_eq!(error, rustix::io::Errno::AFNOSUPPORT, "{what}"),
        }
    }
}

/// The kernel's socket of a connection that waits in the queue holds the namespace as well.
fn unaccepted() {
    let (sockets, ns) = inside("net", || {
        let address: std::net::SocketAddr = "127.0.0.1:7".parse().expect("an address");
        up_loopback();
        let server =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        rustix::net::bind(&server, &address).expect("free");
        rustix::net::listen(&server, 8).expect("bound");
        let client =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        rustix::net::connect(&client, &address).expect("it listens");
        let unix = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        let address = rustix::net::SocketAddrUnix::new_abstract_name(b"x").expect("short");
        rustix::net::bind(&unix, &address).expect("free");
        rustix::net::listen(&unix, 8).expect("bound");
        let other = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        rustix::net::connect(&other, &address).expect("it listens");
        (server, client, unix, other)
    });
    held("net", ns, &["socket"]);
    keep(sockets);
}

/// `SIOCSIFFLAGS` of lo.
fn up_loopback() {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("a socket");
    // SAFETY: struct ifreq is plain data; the kernel reads the name and the flags.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        assert_eq!(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request), 0, "root may");
    }
}

fn tun() {
    if !std::path::Path::new("/dev/net/tun").exists() {
        skip("no /dev/net/tun");
    }
    let (fd, ns) = inside("net", || open("/dev/net/tun", OFlags::RDWR));
    held("net", ns, &["tun"]);
    keep(fd);
}

/// A file that a process of another user namespace opened; and that namespace.
fn foreign(path: &'static str) -> (OwnedFd, nstrace_tests::deed::NsTruth) {
    let (visitor, fd) = Visitor::new(flags(&["user"]), || open(path, OFlags::RDONLY).into_raw_fd());
    let ns = visitor.truth("user");
    let file = visitor.take(fd);
    visitor.end();
    (file, ns)
}

fn credentials() {
    let (file, ns) = foreign("/dev/null");
    held("user", ns, &["cred"]);
    keep(file);
}

fn mapped() {
    let (file, ns) = foreign("/proc/self/exe");
    // SAFETY: a new private mapping of one page, never touched.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED, "a regular file");
    held("user", ns, &["cred"]);
}

/// A user namespace with a tmpfs of its own; the result of `visit` with the folder, seen from outside, at its end.
fn own_tmpfs<T>(visit: impl FnOnce(&str) -> T) -> (T, nstrace_tests::deed::NsTruth) {
    let folder = folder();
    let (visitor, _) = Visitor::new(flags(&["user", "mnt"]), || {
        mount("tmpfs", &folder);
        0
    });
    let ns = visitor.truth("user");
    let done = visit(&format!("/proc/{}/root{folder}", visitor.pid));
    visitor.end();
    (done, ns)
}

fn superblock_file() {
    let (file, ns) = own_tmpfs(|folder| open(folder, OFlags::DIRECTORY));
    held("user", ns, &["superblock"]);
    keep(file);
}

fn superblock_cwd() {
    let ((), ns) = own_tmpfs(|folder| std::env::set_current_dir(folder).expect("a folder"));
    held("user", ns, &["superblock"]);
}

/// The mount namespace lives by a descriptor; it is owned, and so is the tmpfs in it.
fn superblock_mount() {
    let folder = folder();
    let (visitor, _) = Visitor::new(flags(&["user", "mnt"]), || {
        mount("tmpfs", &folder);
        0
    });
    let (ns, mnt) = (visitor.truth("user"), visitor.open("mnt"));
    visitor.end();
    held("user", ns, &["owned", "superblock"]);
    keep(mnt);
}

/// It works with the credentials of who mounted it, which hold their user namespace once more, and on mounts of its own of each
/// folder below it.
fn overlay() {
    let folder = folder();
    let (visitor, code) = Visitor::new(flags(&["user", "mnt"]), || {
        // Files are made by users that the file system knows.
        for (file, text) in [("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")] {
            std::fs::write(format!("/proc/self/{file}"), text).expect("one's own");
        }
        mount("tmpfs", &folder);
        let layers = ["a", "b", "c"].map(|name| format!("{folder}/{name}"));
        layers.iter().for_each(|layer| std::fs::create_dir(layer).expect("a tmpfs"));
        let [first, second, merged] = layers;
        let options = std::ffi::CString::new(format!("lowerdir={first}:{second}")).expect("no zero");
        let flags = rustix::mount::MountFlags::RDONLY;
        match rustix::mount::mount("overlay", &merged, "overlay", flags, Some(options.as_c_str())) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error(),
        }
    });
    if code != 0 {
        visitor.end();
        skip(format_args!("no overlayfs in a user namespace: {}", std::io::Error::from_raw_os_error(code)));
    }
    held("user", visitor.truth("user"), &["task", "owned", "superblock"]);
    keep(visitor);
}

fn procfs_mount() {
    private_mounts();
    let folder = scratch();
    let visitor = Visitor::new(flags(&["pid"]), || {
        mount("proc", &folder);
        0
    });
    let ns = visitor.0.truth("pid");
    visitor.0.end();
    held("pid", ns, &["procfs"]);
}

/// The mount is gone with its mount namespace.
fn procfs_file() {
    let folder = folder();
    let (visitor, _) = Visitor::new(flags(&["pid"]), || {
        private_mounts();
        mount("proc", &folder);
        0
    });
    let file = open(&format!("/proc/{}/root{folder}/uptime", visitor.pid), OFlags::RDONLY);
    let ns = visitor.truth("pid");
    visitor.end();
    held("pid", ns, &["procfs"]);
    keep(file);
}

fn procfs_folder() {
    let visitor = Visitor::idle(&["pid"]);
    let folder = open(&format!("/proc/{}", visitor.pid), OFlags::DIRECTORY);
    let ns = visitor.truth("pid");
    visitor.end();
    held("pid", ns, &["procfs"]);
    keep(folder);
}

fn pidfd() {
    let visitor = Visitor::idle(&["pid"]);
    let pidfd = sys::pidfd_open(visitor.pid).expect("it lives");
    let ns = visitor.truth("pid");
    visitor.end();
    held("pid", ns, &["pidfd"]);
    keep(pidfd);
}

fn shared_memory() {
    for removed in [false, true] {
        let (id, ns) = inside("ipc", || {
            // SAFETY: a new segment of one page, attached where the kernel likes, never touched.
            unsafe {
                let id = libc::shmget(libc::IPC_PRIVATE, 4096, 0o600);
                assert!(id >= 0, "root may");
                assert_ne!(libc::shmat(id, std::ptr::null(), 0), -1_isize as *mut libc::c_void, "ours");
                if removed {
                    libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
                }
                id
            }
        });
        assert!(id >= 0, "made");
        held_as(if removed { "removed" } else { "attached" }, "ipc", ns, &["shm"]);
    }
}

/// A file system that is being made, and will be of the namespaces it was begun in.
fn fs_context() {
    let context = || rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).expect("root may");
    let (fd, ns) = inside("net", context);
    held("net", ns, &["other"]);
    keep(fd);
}

/// The other end of a socket pair was connected by a process of another pid namespace.
fn peer() {
    let (visitor, fd) = Visitor::new(flags(&["pid"]), || {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("sockets");
        keep(near);
        far.into_raw_fd()
    });
    let ns = visitor.truth("pid");
    let socket = visitor.take(fd);
    visitor.end();
    held("pid", ns, &["socket"]);
    keep(socket);
}

fn mount_table() {
    let visitor = Visitor::idle(&["mnt"]);
    let (ns, table) = (visitor.truth("mnt"), open(&format!("/proc/{}/mountinfo", visitor.pid), OFlags::RDONLY));
    visitor.end();
    held("mnt", ns, &["other"]);
    keep(table);
}

fn net_table() {
    let visitor = Visitor::idle(&["net"]);
    let (ns, table) = (visitor.truth("net"), open(&format!("/proc/{}/net/unix", visitor.pid), OFlags::RDONLY));
    visitor.end();
    held("net", ns, &["other"]);
    keep(table);
}

/// From 5.16 on the file keeps the cgroup namespace of who opened it.
fn cgroup_file() {
    let Some(root) = ["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        skip("no cgroup2");
    };
    let (file, ns) = inside("cgroup", || open(root, OFlags::RDONLY));
    if truth::ns("/proc/self/ns/cgroup", false).is_some_and(|own| own.inum == ns.inum) {
        skip("it did not change");
    }
    held("cgroup", ns, &["other"]);
    keep(file);
}

/// A watch on a namespace file keeps its inode, without any file.
fn inotify() {
    let watcher = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).expect("anybody may");
    let visitor = Visitor::idle(&["uts"]);
    let (ns, link) = (visitor.truth("uts"), visitor.link("uts"));
    let flags = rustix::fs::inotify::WatchFlags::ATTRIB;
    rustix::fs::inotify::add_watch(&watcher, link, flags).expect("it can be read");
    visitor.end();
    held("uts", ns, &["other"]);
    keep(watcher);
}

/// It tells process ids as the pid namespace of who opened it has them.
fn perf_event() {
    let (visitor, fd) = Visitor::new(flags(&["pid"]), || {
        // struct perf_event_attr of the first version: a software event (1) that counts nothing (9).
        let mut attributes = [0_u64; 8];
        attributes[0] = 1 | 64 << 32;
        attributes[1] = 9;
        // SAFETY: the kernel reads the 64 bytes; the rest is numbers: this process, any CPU, no group, no flags.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
        i32::try_from(fd).expect("an fd is an int")
    });
    if fd < 0 {
        visitor.end();
        skip("no perf_event_open");
    }
    let (ns, event) = (visitor.truth("pid"), visitor.take(fd));
    visitor.end();
    held("pid", ns, &["other"]);
    keep(event);
}
