//! Which namespaces the links of a network namespace lead to. A link names the namespace of its other end by a number that
//! means something in its own namespace only (`IFLA_LINK_NETNSID`), and the kernel answers for one namespace at a time whether
//! it has a number: asking every namespace about every other costs the square of their number. Instead the link at the other
//! end is looked at through that number (`IFLA_TARGET_NETNSID`), and only namespaces with such a link are asked about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rustix::{io::Errno, thread::LinkNameSpaceType};

use super::net::NetNs;
use crate::inspect::{
    enter,
    net::{Link, NetView, Numbers},
    nsfs::NsFile,
};

/// Most namespaces with links that look alike that are asked about for one number.
const MOST_ALIKE: usize = 64;

/// A number to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    pub nsid: i32,
    /// The link at the other end. None: it may not be looked at.
    pub link: Option<Link>,
}

/// Numbers of one namespace, to the inode numbers of what they stand for.
pub(super) type Nsids = BTreeMap<i32, u32>;

/// Looks around inside; one lead per number that a link names.
pub(super) fn visit(file: &NsFile) -> Result<(NetView, Vec<Lead>), Errno> {
    let look = || -> std::io::Result<_> {
        let view = NetView::here()?;
        let mut leads: Vec<Lead> = Vec::new();
        let mut known = BTreeSet::new();
        let foreign = view.links.iter().filter_map(|link| Some((link.peer_nsid?, link.peer?)));
        let mut numbers = None;
        for (nsid, index) in foreign {
            if known.insert(nsid) {
                let numbers = match &mut numbers {
                    Some(numbers) => numbers,
                    none => none.insert(Numbers::open()?),
                };
                leads.push(Lead { nsid, link: numbers.link(nsid, index).ok() });
            }
        }
        Ok((view, leads))
    };
    enter::inside(&[(file.fd(), LinkNameSpaceType::Network)], look)?
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// What makes a link likely to be the one that was looked at.
type Likeness<'a> = (u32, &'a str, Option<&'a str>);

fn likeness(link: &Link) -> Likeness<'_> {
    (link.index, &link.name, link.mac.as_deref())
}

/// The numbers of each namespace that has leads. `open` opens a namespace by its inode number.
pub(super) fn resolve(
    rows: &[NetNs],
    leads: &BTreeMap<u32, Vec<Lead>>,
    open: impl Fn(u32) -> Option<NsFile> + Sync,
) -> BTreeMap<u32, Nsids> {
    let mut alike: HashMap<Likeness<'_>, Vec<u32>> = HashMap::new();
    for row in rows.iter().filter(|_| !leads.is_empty()) {
        for link in row.view.iter().flat_map(|view| &view.links) {
            alike.entry(likeness(link)).or_default().push(row.ns.0.inum);
        }
    }
    let all: Vec<u32> = rows.iter().map(|row| row.ns.0.inum).collect();
    let candidates = |lead: &Lead| -> Vec<u32> {
        let likely = match &lead.link {
            Some(link) => alike.get(&likeness(link)).map(Vec::as_slice).unwrap_or_default(),
            None => &all,
        };
        likely.iter().take(MOST_ALIKE).copied().collect()
    };
    let mut found = BTreeMap::new();
    for (&inum, leads) in leads {
        let Some(file) = open(inum) else { continue };
        let ask = || -> std::io::Result<Nsids> {
            let numbers = Numbers::open()?;
            let mut nsids = Nsids::new();
            for lead in leads {
                for other in candidates(lead) {
                    if nsids.contains_key(&lead.nsid) {
                        break;
                    }
                    if let Some(file) = open(other)
                        && let Ok(Some(nsid)) = numbers.of_file(file.fd())
                    {
                        nsids.insert(nsid, other);
                    }
                }
            }
            Ok(nsids)
        };
        if let Ok(Ok(nsids)) = enter::inside(&[(file.fd(), LinkNameSpaceType::Network)], ask) {
            found.insert(inum, nsids);
        }
    }
    found
}
