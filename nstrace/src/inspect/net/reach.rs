//! Into a network namespace of the census, by whatever holds it. A namespace with a process is entered through that
//! (setns(2) with a pidfd makes no nsfs inode); of one without, its own file is borrowed for the length of the visit. The visitor is a
//! thread that ends when it has looked around.

use std::{
    collections::HashMap,
    fs,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    sync::OnceLock,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
    thread::LinkNameSpaceType,
};

use super::{
    Link, NetView, Numbers,
    fate::{self, Device, Peer},
};
use crate::{
    census::{Census, Descriptor, Holder, NsIndex},
    discover::{Proc, liveness::NsHandles},
    inspect::{enter, nsfs::NsFile, seen::Seen},
    ns::{NsName, NsType},
};

/// `SIOCGSKNS` (include/uapi/linux/sockios.h): a file of the socket's network namespace.
const SIOCGSKNS: libc::Ioctl = 0x894c;

/// The ways into the namespaces of one census.
#[derive(Debug)]
pub struct Reach<'c> {
    proc: &'c Proc,
    census: &'c Census,
    handles: OnceLock<Option<NsHandles>>,
}

impl<'c> Reach<'c> {
    pub fn new(proc: &'c Proc, census: &'c Census) -> Self {
        Self { proc, census, handles: OnceLock::new() }
    }

    /// The devices of the network namespace `at` that go with it. Unreadable: no way leads in (`EOPNOTSUPP` for root), the visit
    /// is not permitted, or another namespace has taken its place (`ESTALE`).
    pub fn devices(&self, at: NsIndex) -> Seen<Vec<Device>> {
        let Some(file) = self.way(at) else { return Seen::Unreadable(no_way()) };
        let name = self.census.namespace(at).name;
        let own = fs::read_link("/proc/thread-self/ns/net").ok();
        let look = || -> Result<Vec<Device>, Errno> {
            let here = fs::read_link("/proc/thread-self/ns/net").map_err(|error| errno(&error))?;
            // A process may have ended, its PID be another one's by now.
            if here.as_os_str() != name.to_string().as_str() {
                return Err(Errno::STALE);
            }
            let view = NetView::links_here().map_err(|error| errno(&error))?;
            let numbers = Numbers::open().map_err(|error| errno(&error))?;
            let mut known: HashMap<i32, Option<u32>> = HashMap::new();
            Ok(fate::devices(&view, |link| {
                let index = link.peer?;
                let Some(nsid) = link.peer_nsid else {
                    let peer = view.iter().find(|other| other.index == index)?;
                    return Some(Peer { name: peer.name.clone(), ns: Some(name.inum) });
                };
                let peer: Link = numbers.link(nsid, index).ok()?;
                let ns = *known.entry(nsid).or_insert_with(|| self.known_by(&numbers, nsid, own.as_deref()));
                Some(Peer { name: peer.name, ns })
            }))
        };
        match enter::inside(&[(&file, LinkNameSpaceType::Network)], look) {
            Ok(Ok(devices)) => Seen::Is(devices),
            Ok(Err(errno)) | Err(errno) => Seen::Unreadable(errno),
        }
    }

    /// The number by which the namespace that `numbers` was opened in knows the one at `at`. None: it has none. Unreadable: no
    /// way leads to it.
    pub fn number(&self, numbers: &Numbers, at: NsIndex) -> Seen<Option<u32>> {
        let number = match self.census.namespace(at).first {
            Some(first) => numbers.of_process(self.census.task(first).tid),
            None => match self.way(at) {
                Some(file) => numbers.of_file(&file),
                None => return Seen::Unreadable(no_way()),
            },
        };
        let unsigned = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        number.map_or_else(|error| Seen::Unreadable(errno(&error)), |number| Seen::Is(unsigned(number)))
    }

    /// Inode number of the namespace that the visited one knows by `nsid`: the reader's own is asked about first.
    fn known_by(&self, numbers: &Numbers, nsid: i32, own: Option<&std::path::Path>) -> Option<u32> {
        let census = self.census;
        let is_own =
            |at: &NsIndex| own.is_some_and(|own| own.as_os_str() == census.namespace(*at).name.to_string().as_str());
        let of_net = || census.indices().filter(|at| census.namespace(*at).name.ns_type == NsType::Net);
        let is_it = |at: &NsIndex| {
            self.number(numbers, *at)
                .known()
                .is_some_and(|number| number.is_some() && *number == u32::try_from(nsid).ok())
        };
        let found = of_net().filter(is_own).find(is_it).or_else(|| of_net().filter(|at| !is_own(at)).find(is_it));
        found.map(|at| census.namespace(at).name.inum)
    }

    /// A file that leads into the namespace: a pidfd of a member, or one on nsfs.
    fn way(&self, at: NsIndex) -> Option<OwnedFd> {
        let ns = self.census.namespace(at);
        let by_holder = ns.holders.iter().find_map(|holder| self.by_holder(ns.name, holder));
        by_holder.or_else(|| {
            let handles = self.handles.get_or_init(|| NsHandles::probe(self.proc).ok());
            handles.as_ref()?.open(ns.name)?.ok()
        })
    }

    fn by_holder(&self, ns: NsName, holder: &Holder) -> Option<OwnedFd> {
        let root = self.proc.root().display();
        let open = |path: String| {
            let file = NsFile::open(rustix::fs::CWD, path.as_str()).ok()?;
            ((file.name.ns_type, file.name.inum) == (ns.ns_type, ns.inum)).then(|| file.into_fd())
        };
        match holder {
            Holder::Task(task) => pidfd(self.census.task(*task).tgid),
            Holder::Thread(task) => {
                let task = self.census.task(*task);
                open(format!("{root}/{}/task/{}/ns/{}", task.tgid, task.tid, ns.ns_type))
            }
            Holder::Fd(Descriptor { pid, tid, fd }) => open(format!("{root}/{pid}/task/{tid}/fd/{fd}")),
            Holder::Mount(mount) => {
                let (path, inum) = (mount.path.as_ref()?, mount.mnt_ns?);
                let mnt = self.census.indices().find(|&at| {
                    let name = self.census.namespace(at).name;
                    (name.ns_type, name.inum) == (NsType::Mnt, inum)
                })?;
                let member = self.census.task(self.census.namespace(mnt).first?);
                open(format!("{root}/{}/task/{}/root{path}", member.tgid, member.tid))
            }
            Holder::Socket { at, .. } => of_socket(at),
            _ => None,
        }
    }
}

/// Why no way was found.
fn no_way() -> Errno {
    if rustix::process::geteuid().is_root() { Errno::OPNOTSUPP } else { Errno::ACCESS }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The namespace of a socket of another process.
fn of_socket(at: &Descriptor) -> Option<OwnedFd> {
    let socket = pidfd_getfd(pidfd(at.pid)?.as_fd(), i32::try_from(at.fd).ok()?, PidfdGetfdFlags::empty()).ok()?;
    // SAFETY: SIOCGSKNS takes no argument and touches no memory.
    let raw = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    // SAFETY: the kernel just made this descriptor and nobody else knows it.
    (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) })
}
