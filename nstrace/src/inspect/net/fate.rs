//! What becomes of network devices when their namespace is freed (`default_device_exit_net`, `default_device_exit_batch` in
//! net/core/dev.c); pure.

use serde::Serialize;

use super::Link;

/// What becomes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is deleted.
    Dies,
    /// It moves to the initial network namespace.
    Returns,
}

/// The other end of a pair: it is deleted too, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Hostile.
    pub name: String,
    /// Inode number of its namespace. None: not found out.
    pub ns: Option<u32>,
}

/// A device of a namespace that is to be freed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Hostile.
    pub name: String,
    /// None: a device of the hardware, or of no kind.
    pub kind: Option<String>,
    pub fate: Fate,
    pub peer: Option<Peer>,
}

/// Kinds of which both ends go when one does.
const PAIRS: [&str; 3] = ["veth", "netkit", "vxcan"];

/// Kinds whose devices are hardware all the same (`rtnl_link_ops.netns_refund`).
const HARDWARE: [&str; 2] = ["can", "dsa"];

/// Devices that the kernel makes by itself in every namespace once their module is loaded.
const FALLBACK: [(&str, &str); 9] = [
    ("tunl0", "ipip"),
    ("gre0", "gre"),
    ("gretap0", "gretap"),
    ("erspan0", "erspan"),
    ("sit0", "sit"),
    ("ip6tnl0", "ip6tnl"),
    ("ip6gre0", "ip6gre"),
    ("ip_vti0", "vti"),
    ("ip6_vti0", "vti6"),
];

/// The devices among `links` that somebody put there. `peer` looks the other end of a pair up.
pub fn devices(links: &[Link], mut peer: impl FnMut(&Link) -> Option<Peer>) -> Vec<Device> {
    let is_fallback = |link: &Link| FALLBACK.contains(&(link.name.as_str(), link.kind.as_deref().unwrap_or_default()));
    let put_there = links.iter().filter(|link| !link.loopback && !is_fallback(link));
    put_there
        .map(|link| {
            let kind = link.kind.as_deref();
            Device {
                name: link.name.clone(),
                kind: link.kind.clone(),
                fate: if kind.is_none_or(|kind| HARDWARE.contains(&kind)) { Fate::Returns } else { Fate::Dies },
                peer: kind.filter(|kind| PAIRS.contains(kind)).and_then(|_| peer(link)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dies_and_what_returns() {
        let link = |index: u32, name: &str, kind: Option<&str>| Link {
            index,
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            peer: Some(9),
            ..Link::default()
        };
        let links = [
            Link { loopback: true, ..link(1, "lo", None) },
            link(2, "tunl0", Some("ipip")),
            link(3, "tunl1", Some("ipip")),
            link(4, "eth0", Some("veth")),
            link(5, "eth1", None),
            link(6, "can0", Some("can")),
            link(7, "lan1", Some("vlan")),
        ];
        let mut asked = Vec::new();
        let found = devices(&links, |link| {
            asked.push(link.index);
            Some(Peer { name: "vethA".to_owned(), ns: None })
        });
        let fates: Vec<_> = found.iter().map(|device| (device.name.as_str(), device.fate)).collect();
        assert_eq!(
            fates,
            [
                ("tunl1", Fate::Dies),
                ("eth0", Fate::Dies),
                ("eth1", Fate::Returns),
                ("can0", Fate::Returns),
                ("lan1", Fate::Dies)
            ]
        );
        assert_eq!(asked, [4], "a vlan has a device below it and no peer");
    }
}
