//! A user namespace of one's own, and with the capabilities in it to parts of the kernel that few eyes have seen.

use nstrace_tests::{escape::act::Given, kinds::kind, sys};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket};

use crate::attempt::{Attempt, Refused, Technique, done};

pub const ALL: &[Technique] = &[
    ("userns-nf-tables", nf_tables),
    ("userns-packet", packet),
    ("userns-fsopen", file_system_context),
    ("userns-only", |_| become_root_of_nothing().and_then(|()| done("unshare"))),
];

fn become_root_of_nothing() -> Result<(), Refused> {
    Ok(sys::unshare(kind("user").flag | kind("net").flag | kind("mnt").flag)?)
}

/// One netlink message: `struct nlmsghdr`, `struct nfgenmsg`, attributes.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = 20 + attributes.len();
    let mut bytes = u32::try_from(length).unwrap_or(0).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// A table in nf_tables (include/uapi/linux/netfilter/nf_tables.h), made and gone with the namespace.
fn nf_tables(_: &Given) -> Attempt {
    const BATCH_BEGIN: u16 = 0x10;
    const BATCH_END: u16 = 0x11;
    const NF_TABLES: u16 = 10;
    const NEW_TABLE: u16 = NF_TABLES << 8;
    const REQUEST: u16 = 1;
    const ACK: u16 = 4;
    const CREATE: u16 = 0x400;
    const INET: u8 = 1;
    // NFTA_TABLE_NAME: length, type, "escape\0", padded to four bytes.
    const NAME: &[u8] = b"\x0b\x00\x01\x00escape\0\0";
    become_root_of_nothing()?;
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::NETFILTER))?;
    let batch = [
        message(BATCH_BEGIN, REQUEST, 0, NF_TABLES, &[]),
        message(NEW_TABLE, REQUEST | ACK | CREATE, INET, 0, NAME),
        message(BATCH_END, REQUEST, 0, NF_TABLES, &[]),
    ]
    .concat();
    send(&socket, &batch, SendFlags::empty())?;
    let mut answer = [0u8; 256];
    recv(&socket, &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr begins with the errno.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => done("a table"),
        errno => Err(sys::Errno(-errno).into()),
    }
}

fn packet(_: &Given) -> Attempt {
    become_root_of_nothing()?;
    socket(AddressFamily::PACKET, SocketType::RAW, None)?;
    done("a packet socket")
}

fn file_system_context(_: &Given) -> Attempt {
    become_root_of_nothing()?;
    let context = rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "size", "4096")?;
    rustix::mount::fsconfig_create(&context)?;
    done("a tmpfs")
}
