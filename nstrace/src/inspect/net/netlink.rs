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

pub(super) fn read() -> io::Result<NetView> {
    let mut view = NetView::default();
    let socket = open()?;
    let mut by_index: HashMap<u32, usize> = HashMap::new();
    dump(&socket, RouteNetlinkMessage::GetLink(LinkMessage::default()), &mut view.unreadable, |message| {
        if let RouteNetlinkMessage::NewLink(message) = message {
            by_index.insert(message.header.index, view.links.len());
            view.links.push(link(message));
        }
    })?;
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

/// The number by which the calling thread's network namespace knows the one behind `file` (`RTM_GETNSID`); None: it has
/// none, so nothing here can be tied to it.
pub fn nsid_of(file: &OwnedFd) -> io::Result<Option<i32>> {
    let socket = open()?;
    let mut request = NsidMessage::default();
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    request.attributes.push(NsidAttribute::Fd(fd));
    send(&socket, RouteNetlinkMessage::GetNsId(request), NLM_F_REQUEST)?;
    let (bytes, _) = socket.recv_from_full()?;
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).map_err(io::Error::other)?;
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) => {
            Ok(message.attributes.into_iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if id >= 0 => Some(id),
                _ => None,
            }))
        }
        NetlinkPayload::Error(error) => Err(error.to_io()),
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
