//! What a target stands for on this system.

use rustix::{
    fs::CWD,
    io::Errno,
    process::{Pid, PidfdFlags},
};

use crate::{
    discover::{Holder, liveness, parse_ns_link},
    engine::Engines,
    ns::NsName,
};

use super::{
    Places,
    container::{self, ContainerReport, Found},
    nsfs::NsFile,
    processes::ProcessTable,
    target::Target,
    task_dir::TaskDir,
};

/// A target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Task(u32),
    Ns(NsName),
    Container(Box<ContainerReport>),
}

/// A target that was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("there is no {0}")]
    Nothing(Target),
    /// Of `PID:INODE`.
    #[error("process {0} is another one by now: its pidfd has inode {1}")]
    Reused(u32, u64),
    #[error("'{}' is several containers: {}; write more of the id", .0.escape_debug(), .1.join(", ").escape_debug())]
    Several(String, Vec<String>),
    #[error("'{}' is no namespace and no /proc/PID: give a path like /run/netns/x or /proc/1/ns/net", .0.escape_debug())]
    NoNamespace(String),
    #[error("cannot look at '{}': {}: run as root", .0.escape_debug(), .1)]
    Denied(String, Errno),
}

/// Looks a target up.
pub fn resolve(
    places: &Places,
    table: &ProcessTable,
    engines: &Engines,
    holders: impl FnOnce() -> Vec<Holder>,
    target: &Target,
) -> Result<Subject, NotFound> {
    let nothing = || NotFound::Nothing(target.clone());
    match target {
        Target::Pid(pid) => match TaskDir::open(&places.proc, *pid) {
            Ok(_) => Ok(Subject::Task(*pid)),
            // An id may start like a number.
            Err(_) => match container::find(table, engines, &pid.to_string()) {
                Found::One(report) => Ok(Subject::Container(report)),
                _ => Err(nothing()),
            },
        },
        Target::PidInode(pid, inode) => {
            let raw = i32::try_from(*pid).ok().and_then(Pid::from_raw).ok_or_else(nothing)?;
            let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(|_| nothing())?;
            let found = rustix::fs::fstat(&pidfd).map_err(|_| nothing())?.st_ino;
            if found == *inode { Ok(Subject::Task(*pid)) } else { Err(NotFound::Reused(*pid, found)) }
        }
        Target::Ns(ns_type, inum) => {
            find_ns(places, table, holders, |ns| ns.ns_type == *ns_type && ns.inum == *inum).ok_or_else(nothing)
        }
        Target::Inode(inum) => match find_ns(places, table, holders, |ns| ns.inum == *inum) {
            Some(found) => Ok(found),
            None => match container::find(table, engines, &inum.to_string()) {
                Found::One(report) => Ok(Subject::Container(report)),
                _ => Err(nothing()),
            },
        },
        Target::NsId(id) => by_id(places, table, holders, *id).ok_or_else(nothing),
        Target::Path(path) => by_path(path, nothing),
        Target::Container(name) => match container::find(table, engines, name) {
            Found::One(report) => Ok(Subject::Container(report)),
            Found::None => Err(nothing()),
            Found::Several(which) => Err(NotFound::Several(name.clone(), which)),
        },
    }
}

fn by_path(path: &str, nothing: impl Fn() -> NotFound) -> Result<Subject, NotFound> {
    // Reading a link of /proc/PID/ns needs no open file.
    if let Ok(link) = rustix::fs::readlinkat(CWD, path, Vec::new())
        && let Some((ns_type, inum)) = parse_ns_link(link.as_bytes())
    {
        return Ok(Subject::Ns(NsName { ns_type, inum, id: None }));
    }
    match NsFile::open(CWD, path) {
        Ok(file) => Ok(Subject::Ns(file.name)),
        Err(Errno::NOENT | Errno::SRCH | Errno::NOTDIR) => Err(nothing()),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(NotFound::Denied(path.to_owned(), errno)),
        Err(_) => {
            let rest = path.strip_prefix("/proc/").unwrap_or_default();
            let pid = rest.trim_end_matches('/').parse().ok();
            pid.map(Subject::Task).ok_or_else(|| NotFound::NoNamespace(path.to_owned()))
        }
    }
}

fn find_ns(
    places: &Places,
    table: &ProcessTable,
    holders: impl FnOnce() -> Vec<Holder>,
    wanted: impl Fn(&NsName) -> bool,
) -> Option<Subject> {
    let of_tasks = table.iter().flat_map(|p| p.slots.iter().map(|(_, ns)| ns).collect::<Vec<_>>()).find(&wanted);
    let found = of_tasks.or_else(|| holders().into_iter().map(|held| held.ns).find(&wanted)).or_else(|| {
        let mut tree = super::user_tree::UserTree::new(table.initial_user());
        super::namespace::learn_all(places, table, &mut tree);
        tree.iter().map(|(inum, _)| tree.name(inum)).find(&wanted)
    });
    found.map(Subject::Ns)
}

/// The link of each distinct namespace is asked for its id.
fn by_id(places: &Places, table: &ProcessTable, holders: impl FnOnce() -> Vec<Holder>, id: u64) -> Option<Subject> {
    let mut seen = std::collections::HashSet::new();
    for process in table.iter() {
        for (slot, ns) in process.slots.iter() {
            if !seen.insert((ns.ns_type, ns.inum)) {
                continue;
            }
            let Ok(dir) = TaskDir::open(&places.proc, process.status.pid) else { continue };
            let Ok(path) = std::ffi::CString::new(format!("ns/{}", slot.proc_name())) else { continue };
            if let Ok(named) = liveness::name_of(&dir, &path)
                && named.id == Some(id)
            {
                return Some(Subject::Ns(named));
            }
        }
    }
    holders().into_iter().map(|held| held.ns).find(|ns| ns.id == Some(id)).map(Subject::Ns)
}
