//! A handle of a foreign namespace, without entering it: opened, received, bind-mounted.

use std::{
    fs::{self, File},
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

use nstrace_tests::{
    escape::act::{Given, Target},
    sys,
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::{
    attempt::{Attempt, Done, Technique, skip, target_of},
    uring,
};

pub const ALL: &[Technique] =
    &[("handle-open", open), ("handle-open-uring", open_by_uring), ("handle-receive", receive), ("handle-bind", bind)];

fn path(given: &Given) -> String {
    format!("/proc/{}/ns/uts", given.host_pid)
}

fn open(given: &Given) -> Attempt {
    let path = path(given);
    let target = target_of(&path);
    File::open(&path)?;
    Ok(Done { target, detail: path })
}

/// By a worker of io_uring: no open(2) of this task, and none in it.
fn open_by_uring(given: &Given) -> Attempt {
    let path = path(given);
    let target = target_of(&path);
    sys::close(uring::open(&path, libc::O_RDONLY)?);
    Ok(Done { target, detail: path })
}

/// The victim sends one to whoever connects.
fn receive(_: &Given) -> Attempt {
    let socket = UnixStream::connect("/shared/handles.sock")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&socket, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let Some(fd) = received else { return skip("no descriptor came") };
    let inum = u32::try_from(rustix::fs::fstat(&fd)?.st_ino).unwrap_or(0);
    Ok(Done { target: Some(Target { ns_type: "uts".to_owned(), inum }), detail: format!("fd {}", fd.as_raw_fd()) })
}

fn bind(given: &Given) -> Attempt {
    let path = path(given);
    let target = target_of(&path);
    fs::write("/tmp/held", "")?;
    sys::bind_mount(&path, "/tmp/held")?;
    sys::umount("/tmp/held")?;
    Ok(Done { target, detail: path })
}
