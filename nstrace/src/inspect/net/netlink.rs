//! Dumps over rtnetlink(7).

use std::{
    collections::HashMap,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    nsid::{NsidAttribute, NsidMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{Link, NetView, Route};

/// Bytes of a netlink message header.
const HEADER: usize = 16;
/// Bytes of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;
const RTM_NEWLINK: u16 = 16;
/// Attributes whose text anybody who may make links chooses: `IFLA_IFNAME`, `IFLA_IFALIAS`.
const TEXTS: [u16; 2] = [3, 20];

/// Links without addresses.
pub(super) fn links(unreadable: &mut u32) -> io::Result<Vec<Link>> {
    read_links(&open()?, unreadable)
}

fn read_links(socket: &Socket, unreadable: &mut u32) -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(socket, RouteNetlinkMessage::GetLink(LinkMessage::default()), unreadable, |message| {
        if let RouteNetlinkMessage::NewLink(message) = message {
            links.push(link(message));
        }
    })?;
    Ok(links)
}

pub(super) fn read() -> io::Result<NetView> {
    let mut view = NetView::default();
    let socket = open()?;
    view.links = read_links(&socket, &mut view.unreadable)?;
    let by_index: HashMap<u32, usize> = view.links.iter().enumerate().map(|(at, link)| (link.index, at)).collect();
    let links = &mut view.links;
    dump(&socket, RouteNetlinkMessage::GetAddress(AddressMessage::default()), &mut view.unreadable, |message| {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && let Some(link) = by_index.get(&message.header.index).and_then(|&at| links.get_mut(at))
        {
            link.addresses.extend(address(&message));
        }
    })?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let routes = &mut view.routes;
        let result = dump(&socket, RouteNetlinkMessage::GetRoute(request), &mut view.unreadable, |message| {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                routes.extend(route(&message));
            }
        });
        // A kernel without IPv6 has no such routes.
        if family == AddressFamily::Inet {
            result?;
        }
    }
    view.links.sort_by_key(|link| link.index);
    Ok(view)
}

/// Asks by which numbers the network namespace it was opened in knows others.
pub struct Numbers(Socket);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl Numbers {
    /// Of the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        open().map(Self)
    }

    /// Of the namespace that the process is in, as the caller's pid namespace numbers it. None: it has no number.
    pub fn of_process(&self, pid: u32) -> io::Result<Option<i32>> {
        self.ask(NsidAttribute::Pid(pid))
    }

    /// Of the namespace behind an open file.
    pub fn of_file(&self, file: &OwnedFd) -> io::Result<Option<i32>> {
        let fd = u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.ask(NsidAttribute::Fd(fd))
    }

    fn ask(&self, whose: NsidAttribute) -> io::Result<Option<i32>> {
        let mut request = NsidMessage::default();
        request.attributes.push(whose);
        match one(&self.0, RouteNetlinkMessage::GetNsId(request))? {
            Some(RouteNetlinkMessage::NewNsId(message)) => {
                Ok(message.attributes.into_iter().find_map(|attribute| match attribute {
                    NsidAttribute::Id(id) if id >= 0 => Some(id),
                    _ => None,
                }))
            }
            _ => Ok(None),
        }
    }

    /// The link `index` of the namespace that this one knows by `nsid`, seen from here (`IFLA_TARGET_NETNSID`, 4.15). Needs
    /// `CAP_NET_ADMIN` over the user namespace that owns the other one.
    pub fn link(&self, nsid: i32, index: u32) -> io::Result<Link> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        request.attributes.push(LinkAttribute::IfNetnsId(nsid));
        match one(&self.0, RouteNetlinkMessage::GetLink(request))? {
            Some(RouteNetlinkMessage::NewLink(message)) => Ok(link(message)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The answer to a request that has one.
fn one(socket: &Socket, request: RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
    send(socket, request, NLM_F_REQUEST)?;
    let (mut bytes, _) = socket.recv_from_full()?;
    let message = parse(&mut bytes).ok_or(io::ErrorKind::InvalidData)?;
    match message.payload {
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(None),
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn send(socket: &Socket, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut packet = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
    packet.header.flags = flags;
    packet.header.sequence_number = 1;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

fn dump(
    socket: &Socket,
    request: RouteNetlinkMessage,
    unreadable: &mut u32,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    send(socket, request, NLM_F_DUMP | NLM_F_REQUEST)?;
    loop {
        let (mut bytes, _) = socket.recv_from_full()?;
        let mut rest = bytes.as_mut_slice();
        while rest.len() >= HEADER {
            let length = NetlinkBuffer::new(&*rest).length() as usize;
            if length < HEADER || length > rest.len() {
                break;
            }
            let aligned = length.next_multiple_of(4).min(rest.len());
            let (message, after) = rest.split_at_mut(aligned);
            rest = after;
            match parse(&mut message[..length]).map(|message| message.payload) {
                Some(NetlinkPayload::Done(_)) => return Ok(()),
                Some(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                Some(NetlinkPayload::InnerMessage(message)) => each(message),
                Some(_) => {}
                None => *unreadable += 1,
            }
        }
    }
}

/// The kernel takes any bytes for the name of a link, the parser only UTF-8: others become `?`.
fn parse(message: &mut [u8]) -> Option<NetlinkMessage<RouteNetlinkMessage>> {
    if let Ok(parsed) = NetlinkMessage::deserialize(message) {
        return Some(parsed);
    }
    if NetlinkBuffer::new(&*message).message_type() != RTM_NEWLINK {
        return None;
    }
    let mut rest = message.get_mut(HEADER + IFINFOMSG..)?;
    while let [a, b, c, d, ..] = *rest {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        if length < 4 || length > rest.len() {
            break;
        }
        if TEXTS.contains(&kind) {
            rest[4..length].iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        let aligned = length.next_multiple_of(4).min(rest.len());
        rest = &mut rest[aligned..];
    }
    NetlinkMessage::deserialize(message).ok()
}

fn link(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) if mac.len() == 6 && mac.iter().any(|&byte| byte != 0) => {
                let digits: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                link.mac = Some(digits.join(":"));
            }
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) if index != 0 => link.peer = Some(index),
            LinkAttribute::LinkNetNsId(nsid) => link.peer_nsid = Some(nsid),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<String> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link IFA_ADDRESS is the other end.
            AddressAttribute::Local(address) => return Some(format!("{address}/{}", message.header.prefix_len)),
            AddressAttribute::Address(address) => found = Some(address),
            _ => {}
        }
    }
    found.map(|address| format!("{address}/{}", message.header.prefix_len))
}

/// None: of the table `local`, or of what the kernel makes by itself (multicast, anycast).
fn route(message: &RouteMessage) -> Option<Route> {
    const RT_TABLE_LOCAL: u32 = 255;
    let header = &message.header;
    let kind = match header.kind {
        RouteType::Unicast => None,
        RouteType::Local | RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast => return None,
        other => Some(format!("{other:?}").to_lowercase()),
    };
    let mut route = Route { destination: "default".to_owned(), table: header.table.into(), kind, ..Route::default() };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                route.destination = format!("{}/{}", text(to)?, header.destination_prefix_length);
            }
            RouteAttribute::Gateway(via) => route.gateway = text(via),
            RouteAttribute::PrefSource(from) => route.source = text(from),
            RouteAttribute::Oif(index) => route.link = Some(*index),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = Some(*metric),
            _ => {}
        }
    }
    (route.table != RT_TABLE_LOCAL).then_some(route)
}

fn text(address: &RouteAddress) -> Option<String> {
    match address {
        RouteAddress::Inet(address) => Some(address.to_string()),
        RouteAddress::Inet6(address) => Some(address.to_string()),
        _ => None,
    }
}
