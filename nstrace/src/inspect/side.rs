//! The same questions asked on the host and inside a task's namespaces.

use rustix::{
    fd::AsRawFd,
    fs::{CWD, Mode, OFlags},
    io::Errno,
    system::uname,
    thread::LinkNameSpaceType,
};
use serde::Serialize;

use crate::{
    discover::rooted,
    ns::{NsType, Slot},
};

use super::{
    Places, enter,
    net::{Link, NetView},
    nsfs::NsFile,
    seen::Seen,
    status::Status,
    task_dir::{TaskDir, read_all, read_at},
};

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    pub pid: Option<u32>,
    pub hostname: Seen<String>,
    /// NIS domain name; None where it is not set.
    pub domainname: Seen<String>,
    pub interfaces: Seen<Vec<Link>>,
    /// Number of mounts.
    pub mounts: Seen<u64>,
    /// Root directory of the task, as the host sees it; hostile.
    pub root: Seen<String>,
    /// Effective ids. None: the id does not exist in the task's user namespace.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Nanoseconds that CLOCK_BOOTTIME is off (time_namespaces(7)).
    pub boottime_offset_ns: Seen<i64>,
}

impl Side {
    /// From where nstrace runs, about the task with this `status`.
    pub fn here(places: &Places, status: &Status) -> Self {
        let own = read_at(CWD, proc_path(places, "self/mountinfo"));
        Self {
            pid: Some(status.pid),
            hostname: Seen::Is(host_name()),
            domainname: domain_name().map_or(Seen::Absent, Seen::Is),
            interfaces: Seen::from_result(links()),
            mounts: Seen::from_result(own.map(|text| count_lines(&text))),
            root: Seen::Is("/".to_owned()),
            uid: Some(status.uid[1]),
            gid: Some(status.gid[1]),
            boottime_offset_ns: Seen::from_result(offsets(read_at(CWD, proc_path(places, "self/timens_offsets")))),
        }
    }

    /// From inside the namespaces of the task behind `dir`. A namespace that is the reader's own is not entered.
    pub fn inside(places: &Places, dir: &TaskDir, status: &Status, here: &Self) -> Self {
        let own = TaskDir::open_self(&places.proc).ok();
        let is_own = |ns_type: NsType| {
            let of = |dir: &TaskDir| dir.slot(Slot::Member(ns_type)).ok().flatten();
            own.as_ref().and_then(of).zip(of(dir)).is_some_and(|(a, b)| a.inum == b.inum)
        };
        let (hostname, domainname) = if is_own(NsType::Uts) {
            (here.hostname.clone(), here.domainname.clone())
        } else {
            let names =
                visit(dir, NsType::Uts, LinkNameSpaceType::HostNameAndNISDomainName, || (host_name(), domain_name()));
            let names = Seen::from_result(names);
            (names.clone().map(|(host, _)| host), names.and_then(|(_, domain)| domain))
        };
        let interfaces = if is_own(NsType::Net) {
            here.interfaces.clone()
        } else {
            Seen::from_result(visit(dir, NsType::Net, LinkNameSpaceType::Network, links).and_then(|links| links))
        };
        let map =
            |file: &str, id: u32| dir.read(file).ok().and_then(|text| super::idmap::IdMap::parse(&text).inside(id));
        Self {
            pid: Some(status.own_pid()),
            hostname,
            domainname,
            interfaces,
            mounts: Seen::from_result(dir.read("mountinfo").map(|text| count_lines(&text))),
            root: Seen::from_result(dir.link("root").map(|link| String::from_utf8_lossy(&link).into_owned())),
            uid: map("uid_map", status.uid[1]),
            gid: map("gid_map", status.gid[1]),
            boottime_offset_ns: Seen::from_result(offsets(dir.read("timens_offsets"))),
        }
    }
}

/// Runs `f` inside one namespace of a task.
pub fn visit<T: Send>(
    dir: &TaskDir,
    ns_type: NsType,
    kind: LinkNameSpaceType,
    f: impl FnOnce() -> T + Send,
) -> Result<T, Errno> {
    let file = NsFile::open(dir, format!("ns/{ns_type}"))?;
    enter::inside(&[(file.fd(), kind)], f)
}

/// A file below the root directory of a task, which is hostile: no symbolic link leads out of it (openat2(2)), and only a
/// regular file is read.
pub fn read_in_root(dir: &TaskDir, path: &str) -> Result<Vec<u8>, Errno> {
    const MOST: usize = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let there = rooted::open(rooted::root(dir, "root")?, path, OFlags::PATH)?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&there)?.st_mode);
    if kind != rustix::fs::FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    // What was looked at is what is opened.
    let again = format!("/proc/self/fd/{}", there.as_raw_fd());
    read_all(&rustix::fs::openat(CWD, again, flags, Mode::empty())?, MOST)
}

fn proc_path(places: &Places, name: &str) -> String {
    places.proc.root().join(name).to_string_lossy().into_owned()
}

/// Of the calling thread's uts namespace.
pub fn host_name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// Of the calling thread's uts namespace; None: not set.
pub fn domain_name() -> Option<String> {
    let name = uname().domainname().to_string_lossy().into_owned();
    (!name.is_empty() && name != "(none)").then_some(name)
}

fn links() -> Result<Vec<Link>, Errno> {
    NetView::here().map(|view| view.links).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|&&b| b == b'\n').count() as u64
}

/// The `boottime` line of `timens_offsets`.
fn offsets(text: Result<Vec<u8>, Errno>) -> Result<i64, Errno> {
    let text = text?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.starts_with("boottime")).ok_or(Errno::NOENT)?;
    let mut numbers = line.split_ascii_whitespace().skip(1).map(str::parse::<i64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(nanoseconds))) => {
            Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
        }
        _ => Err(Errno::BADMSG),
    }
}
