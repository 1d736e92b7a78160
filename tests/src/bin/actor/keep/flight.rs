//! Held by files in flight: in messages that nobody has received, and registered with io_uring.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::{
    fs::OFlags,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind as name, connect, listen, socket_with,
        socketpair,
    },
};

use super::{
    Keeper,
    tools::{bind, held, held_as, inside, keep, open, orphan, path_of, private_mounts, scratch, send, skip, truth_of},
};

pub const ALL: &[Keeper] = &[
    ("in flight, datagram", || in_flight(SocketType::DGRAM)),
    ("in flight, stream", || in_flight(SocketType::STREAM)),
    ("in flight, seqpacket", || in_flight(SocketType::SEQPACKET)),
    ("in flight, many messages", many_messages),
    ("in flight, many files", many_files),
    ("in flight to an accepted connection", accepted),
    ("in flight to a connection nobody accepted", || unaccepted(true)),
    ("in flight, nobody accepted and the sender is gone", || unaccepted(false)),
    ("in flight to a bound datagram socket", bound),
    ("in flight in a socket in flight", nested),
    ("in flight to a socket with an O_PATH fd only elsewhere", by_path_in_flight),
    ("socket in flight", socket_in_flight),
    ("detached mount in flight", detached_in_flight),
    ("io_uring", io_uring),
    ("io_uring, opened through a mount", io_uring_through_mount),
    ("io_uring, sparse table", io_uring_sparse),
    ("io_uring, socket", io_uring_socket),
    ("io_uring in flight", io_uring_in_flight),
    ("in flight in a socket with an io_uring", in_flight_in_io_uring),
];

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("sockets")
}

fn in_flight(kind: SocketType) {
    let (near, far) = pair(kind);
    let fd = orphan("uts");
    held("uts", truth_of(&fd), &["inflight"]);
    send(&near, &[&fd]);
    keep((near, far));
}

/// A stream takes more than the ten of a datagram socket's queue.
fn many_messages() {
    let (near, far) = pair(SocketType::STREAM);
    for number in 0..40 {
        let fd = orphan("uts");
        held_as(&format!("message {number}"), "uts", truth_of(&fd), &["inflight"]);
        send(&near, &[&fd]);
    }
    keep((near, far));
}

/// As many as one message takes (`SCM_MAX_FD`).
fn many_files() {
    let (near, far) = pair(SocketType::STREAM);
    let plain = open("/dev/null", OFlags::RDONLY);
    let (first, last) = (orphan("uts"), orphan("ipc"));
    held_as("first", "uts", truth_of(&first), &["inflight"]);
    held_as("last", "ipc", truth_of(&last), &["inflight"]);
    let mut files = vec![&first];
    files.extend(std::iter::repeat_n(&plain, 251));
    files.push(&last);
    send(&near, &files);
    keep((near, far));
}

fn listener(kind: SocketType) -> (OwnedFd, SocketAddrUnix) {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
    let path = format!("nstrace-keep-{}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(path.as_bytes()).expect("short");
    name(&socket, &address).expect("nobody has this name");
    (socket, address)
}

fn connected(address: &SocketAddrUnix, kind: SocketType) -> OwnedFd {
    let client = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
    connect(&client, address).expect("it listens");
    client
}

fn accepted() {
    let (server, address) = listener(SocketType::STREAM);
    listen(&server, 8).expect("it is bound");
    let client = connected(&address, SocketType::STREAM);
    let connection = accept(&server).expect("it is connected");
    for (what, from) in [("to the server", &client), ("to the client", &connection)] {
        let fd = orphan("net");
        held_as(what, "net", truth_of(&fd), &["inflight"]);
        send(from, &[&fd]);
    }
    keep((server, client, connection));
}

fn unaccepted(client_stays: bool) {
    let (server, address) = listener(SocketType::STREAM);
    listen(&server, 8).expect("it is bound");
    for number in 0..3 {
        let client = connected(&address, SocketType::STREAM);
        for message in 0..2 {
            let fd = orphan("ipc");
            held_as(&format!("connection {number}, message {message}"), "ipc", truth_of(&fd), &["inflight"]);
            send(&client, &[&fd]);
        }
        if client_stays {
            keep(client);
        }
    }
    keep(server);
}

fn bound() {
    let (server, address) = listener(SocketType::DGRAM);
    let client = connected(&address, SocketType::DGRAM);
    let fd = orphan("cgroup");
    held("cgroup", truth_of(&fd), &["inflight"]);
    send(&client, &[&fd]);
    keep(server);
}

/// A socket whose queue holds a socket whose queue holds a socket whose queue holds the file.
fn nested() {
    let fd = orphan("uts");
    held("uts", truth_of(&fd), &["inflight"]);
    let mut inner = fd;
    for _ in 0..3 {
        let (near, far) = pair(SocketType::DGRAM);
        send(&near, &[&inner]);
        inner = far;
    }
    keep(inner);
}

fn by_path_in_flight() {
    let (near, far) = pair(SocketType::DGRAM);
    let fd = orphan("uts");
    let path = open(&path_of(&fd), OFlags::PATH);
    held("uts", truth_of(&fd), &["inflight"]);
    drop(fd);
    send(&near, &[&path]);
    keep((near, far));
}

fn socket_in_flight() {
    let (near, far) = pair(SocketType::DGRAM);
    let (socket, ns) = inside("net", || {
        socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("a socket")
    });
    held("net", ns, &["socket"]);
    send(&near, &[&socket]);
    keep((near, far));
}

fn detached_in_flight() {
    let (near, far) = pair(SocketType::DGRAM);
    let fd = orphan("uts");
    let tree = super::mounts::cloned(&path_of(&fd));
    held("uts", truth_of(&fd), &["inflight", "detached-mount"]);
    send(&near, &[&tree]);
    keep((near, far));
}

/// A ring with these files registered.
fn ring(files: &[i32]) -> OwnedFd {
    let mut params = [0_u32; 30];
    // SAFETY: `params` has the 120 bytes of struct io_uring_params; the result is ours.
    let ring = unsafe {
        let ret = libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr());
        if ret < 0 {
            skip(format_args!("io_uring_setup: {}", std::io::Error::last_os_error()));
        }
        <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(i32::try_from(ret).expect("an fd is an int"))
    };
    const IORING_REGISTER_FILES: u32 = 2;
    let count = u32::try_from(files.len()).expect("few");
    // SAFETY: `files` has `count` numbers.
    let ret = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), IORING_REGISTER_FILES, files.as_ptr(), count)
    };
    assert_eq!(ret, 0, "io_uring_register: {}", std::io::Error::last_os_error());
    ring
}

fn io_uring() {
    let fd = orphan("uts");
    held("uts", truth_of(&fd), &["iouring"]);
    keep(ring(&[fd.as_raw_fd()]));
}

fn io_uring_through_mount() {
    private_mounts();
    let point = format!("{}/ns", scratch());
    let made = orphan("ipc");
    bind(&path_of(&made), &point);
    let fd = open(&point, OFlags::RDONLY);
    rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH).expect("it is mounted");
    held("ipc", truth_of(&fd), &["iouring"]);
    keep(ring(&[fd.as_raw_fd()]));
}

fn io_uring_sparse() {
    let fd = orphan("net");
    held("net", truth_of(&fd), &["iouring"]);
    let mut files = vec![-1; 900];
    files[700] = fd.as_raw_fd();
    keep(ring(&files));
}

fn io_uring_socket() {
    let (socket, ns) = inside("net", || {
        socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("a socket")
    });
    held("net", ns, &["socket"]);
    keep(ring(&[socket.as_raw_fd()]));
}

/// Old kernels let no ring be sent.
fn io_uring_in_flight() {
    let (near, far) = pair(SocketType::DGRAM);
    let fd = orphan("uts");
    let ring = ring(&[fd.as_raw_fd()]);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let files = [std::os::fd::AsFd::as_fd(&ring)];
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&files)), "room for it");
    let parts = [std::io::IoSlice::new(b"!")];
    if let Err(error) = rustix::net::sendmsg(&near, &parts, &mut control, rustix::net::SendFlags::empty()) {
        skip(format_args!("a ring cannot be sent: {error}"));
    }
    held("uts", truth_of(&fd), &["iouring"]);
    drop(ring);
    keep((near, far));
}

/// A socket that only a ring holds, with a message in its queue.
fn in_flight_in_io_uring() {
    let (near, far) = pair(SocketType::DGRAM);
    let fd = orphan("uts");
    held("uts", truth_of(&fd), &["inflight"]);
    send(&near, &[&fd]);
    keep(near);
    keep(ring(&[far.as_raw_fd()]));
}
