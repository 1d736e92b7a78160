//! What a network namespace looks like from inside: links, addresses, routes (rtnetlink(7)), listening sockets (proc(5)).
//!
//! Everything here is about the network namespace of the calling thread; [`super::enter::inside`] goes elsewhere.

pub mod fate;
mod netlink;
pub mod reach;
pub mod sockets;
pub mod unix;

use serde::Serialize;

pub use netlink::Numbers;
use sockets::Socket;

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    pub index: u32,
    /// Hostile.
    pub name: String,
    /// `veth`, `bridge`, `wireguard`, …; None: a device of the hardware or of no kind.
    pub kind: Option<String>,
    pub up: bool,
    pub loopback: bool,
    pub mtu: u32,
    pub mac: Option<String>,
    /// Index of the bridge, bond or vrf it belongs to.
    pub controller: Option<u32>,
    /// Index of the link it is tied to (`IFLA_LINK`): the other end of a veth, what a vlan lies on.
    pub peer: Option<u32>,
    /// Where that one is, as this namespace numbers others (`IFLA_LINK_NETNSID`); None: in this one.
    pub peer_nsid: Option<i32>,
    /// `10.0.0.2/24`.
    pub addresses: Vec<String>,
}

/// One route of a table that is not `local`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    /// `default` or `10.0.0.0/24`.
    pub destination: String,
    pub gateway: Option<String>,
    /// Index of the link.
    pub link: Option<u32>,
    pub source: Option<String>,
    /// 254: main.
    pub table: u32,
    pub metric: Option<u32>,
    /// None: unicast; `blackhole`, `unreachable`, ….
    pub kind: Option<String>,
}

/// One network namespace from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetView {
    pub links: Vec<Link>,
    pub routes: Vec<Route>,
    pub listening: Vec<Socket>,
    /// Messages and lines that could not be understood.
    pub unreadable: u32,
}

impl NetView {
    /// The links alone, of the calling thread, without their addresses.
    ///
    /// # Errors
    /// Of the netlink socket.
    pub fn links_here() -> std::io::Result<Vec<Link>> {
        netlink::links(&mut 0)
    }

    /// Of the calling thread.
    ///
    /// # Errors
    /// Of the netlink socket.
    pub fn here() -> std::io::Result<Self> {
        let mut view = netlink::read()?;
        for protocol in sockets::Protocol::ALL {
            // Absent where the kernel lacks the protocol.
            if let Ok(text) = std::fs::read(format!("/proc/thread-self/net/{}", protocol.name())) {
                view.listening.extend(sockets::listening(protocol, &text));
            }
        }
        Ok(view)
    }
}
