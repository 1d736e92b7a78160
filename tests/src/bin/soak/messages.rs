//! nsfs files in flight: messages of a process to itself.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::IntoRawFd,
};

use nstrace_tests::sys;
use rustix::{
    fd::BorrowedFd,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
};

use crate::{
    actor::{Actor, namespace_of, say},
    record::Record,
};

pub fn send(actor: &mut Actor, index: usize, keep: bool) {
    let fd = actor.fds[index];
    let Some((ns_type, inum)) = namespace_of(fd) else { return };
    let (near, _) = *actor.socket.get_or_insert_with(sys::socketpair_cloexec);
    let mut space = [MaybeUninit::uninit(); 64];
    // SAFETY: both are open for the whole call.
    let (socket, fds) = unsafe { (BorrowedFd::borrow_raw(near), [BorrowedFd::borrow_raw(fd)]) };
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "room for one fd");
    if rustix::net::sendmsg(socket, &[IoSlice::new(b"!")], &mut control, SendFlags::DONTWAIT).is_err() {
        return;
    }
    say(&Record::Sent { pid: actor.pid, ns_type, inum });
    if !keep {
        sys::close(actor.fds.swap_remove(index));
    }
}

pub fn receive(actor: &mut Actor) {
    let Some((_, far)) = actor.socket else { return };
    let mut space = [MaybeUninit::uninit(); 64];
    // SAFETY: it is open for the whole call.
    let socket = unsafe { BorrowedFd::borrow_raw(far) };
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    if rustix::net::recvmsg(socket, &mut parts, &mut control, flags).is_err() {
        return;
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            actor.fds.extend(fds.map(IntoRawFd::into_raw_fd));
        }
    }
    say(&Record::Received { pid: actor.pid });
}
