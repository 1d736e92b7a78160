//! Listening sockets from `/proc/PID/net/tcp` and its like (proc_pid_net(5)); pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// A file below `/proc/PID/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
}

impl Protocol {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
        }
    }
}

/// A TCP socket that listens, or a UDP socket that is bound and not connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Socket {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
    /// Owner, in the reader's user namespace.
    pub uid: u32,
    #[serde(serialize_with = "safe")]
    pub inode: u64,
    /// Who has it open. None: not looked for, or not to be seen.
    pub held_by: Option<Holder>,
}

/// A process with a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    pub pid: u32,
    /// Hostile.
    pub comm: String,
    /// Address and port inside a container that it passes connections to.
    pub publishes: Option<String>,
}

fn safe<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    crate::view::json::Safe(*number).serialize(serializer)
}

/// Lines that are not what the kernel writes are left out.
pub fn listening(protocol: Protocol, text: &[u8]) -> Vec<Socket> {
    String::from_utf8_lossy(text).lines().skip(1).filter_map(|line| socket(protocol, line)).collect()
}

fn socket(protocol: Protocol, line: &str) -> Option<Socket> {
    const TCP_LISTEN: &str = "0A";
    /// An unconnected UDP socket has this state.
    const TCP_CLOSE: &str = "07";
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let _remote = fields.next()?;
    let wanted = if matches!(protocol, Protocol::Tcp | Protocol::Tcp6) { TCP_LISTEN } else { TCP_CLOSE };
    if fields.next()? != wanted {
        return None;
    }
    // tx:rx, timer, retransmissions.
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Socket { protocol, address: address_of(address)?, port, uid, inode, held_by: None })
}

/// Words of 32 bits as the machine stores them, each in network order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_kernel() {
        let text = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 ffff 100 0 0 10 0\n\
            \x20  1: 0100007F:1F91 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 31338 1 ffff 100 0 0 10 0\n\
            broken\n";
        let found = listening(Protocol::Tcp, text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].address.to_string().as_str(), found[0].port), ("127.0.0.1", 8080));
        assert_eq!((found[0].uid, found[0].inode), (1000, 31_337));
        assert_eq!(address_of("00000000000000000000000001000000"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(address_of("äöü01234"), None);
    }
}
