//! Listening unix sockets with the files they are bound to, by sock_diag(7): the file is known by device and inode number,
//! whatever it is called by now.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// A socket that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Of the socket itself, as `/proc/PID/fd` names it.
    pub inode: u64,
    /// Inode number of the file, cut to 32 bits.
    pub file: u32,
    /// Device of its file system, major and minor, as `mountinfo` has it.
    pub device: (u32, u32),
    /// As it was bound; hostile, and relative when it was bound so.
    pub path: Vec<u8>,
}

/// `SOCK_DIAG_BY_FAMILY` (include/uapi/linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// Bytes of a netlink message header, of `struct unix_diag_req` and `struct unix_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 24;
const MESSAGE: usize = 16;
/// `1 << TCP_LISTEN`.
const LISTEN: u32 = 1 << 10;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS`.
const SHOW: u32 = 0x1 | 0x2;
/// `UNIX_DIAG_NAME`, `UNIX_DIAG_VFS`.
const NAME: u16 = 0;
const VFS: u16 = 1;
/// Types of messages that end a dump.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Of the calling thread's network namespace, those with a file.
///
/// # Errors
/// `ENOENT`: this kernel has no unix_diag.
pub fn listening() -> io::Result<Vec<Listening>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        match messages(&bytes, &mut found)? {
            End::More if bytes.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            End::More => {}
            End::Done => return Ok(found),
        }
    }
}

fn request() -> Vec<u8> {
    let length = HEADER + REQUEST;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_DUMP | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend([1u32, 0].map(u32::to_ne_bytes).concat());
    // Family, protocol, padding; states, inode, what to show, no cookie.
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    bytes.extend([LISTEN, 0, SHOW, u32::MAX, u32::MAX].map(u32::to_ne_bytes).concat());
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    More,
    Done,
}

/// The messages of one datagram; what is cut short or unknown is passed over.
fn messages(bytes: &[u8], found: &mut Vec<Listening>) -> io::Result<End> {
    let mut rest = bytes;
    while rest.len() >= HEADER {
        let buffer = NetlinkBuffer::new(rest);
        let (length, kind) = (buffer.length() as usize, buffer.message_type());
        if length < HEADER || length > rest.len() {
            break;
        }
        let payload = &rest[HEADER..length];
        match kind {
            NLMSG_DONE => return Ok(End::Done),
            NLMSG_ERROR => {
                let code = number(payload, 0).map_or(0, u32::cast_signed);
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            BY_FAMILY => found.extend(socket_of(payload)),
            _ => {}
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    Ok(End::More)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A `struct unix_diag_msg` and its attributes. None: it has no file.
fn socket_of(message: &[u8]) -> Option<Listening> {
    let inode = number(message, 4)?.into();
    let (mut path, mut vfs) = (Vec::new(), None);
    let mut rest = message.get(MESSAGE..)?;
    while let [a, b, c, d, ..] = *rest {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let Some(value) = rest.get(4..length) else { break };
        match kind {
            NAME => path = value.split(|&b| b == 0).next().unwrap_or_default().to_vec(),
            VFS => vfs = number(value, 0).zip(number(value, 4)),
            _ => {}
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    /// `MINORBITS` (include/linux/kdev_t.h).
    const MINOR_BITS: u32 = 20;
    let (file, device) = vfs?;
    Some(Listening { inode, file, device: (device >> MINOR_BITS, device & ((1 << MINOR_BITS) - 1)), path })
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::MetadataExt as _, net::UnixListener};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_socket_of_our_own_by_the_inode_of_its_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (bound, now) = (dir.path().join("bound"), dir.path().join("renamed"));
        let _listener = UnixListener::bind(&bound).expect("a socket");
        std::fs::rename(&bound, &now).expect("renamed");
        let file = std::fs::metadata(&now).expect("it is there");
        let found = match listening() {
            Ok(found) => found,
            // A kernel without unix_diag.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return,
            Err(error) => panic!("{error}"),
        };
        let ours = found.iter().find(|socket| u64::from(socket.file) == file.ino() & u64::from(u32::MAX));
        let ours = ours.expect("it is listed");
        assert_eq!(ours.path, bound.to_str().expect("text").as_bytes());
        let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
        assert_eq!(ours.device, (major, minor));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u32..300, kind in 0u16..24) {
            let mut message = Vec::new();
            message.extend(length.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend([0; 10]);
            message.extend(bytes);
            let _ = messages(&message, &mut Vec::new());
        }
    }
}
