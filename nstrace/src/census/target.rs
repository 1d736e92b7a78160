//! What people type for a namespace: `net:[4026532177]`, a bare inode number, `:NSID`, a path, a PID.

use std::os::unix::fs::MetadataExt as _;

use nstrace_common::file::magic;

use super::{Census, NsIndex};
use crate::ns::{NsName, NsType};

/// A namespace argument, understood but not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `net:[4026532177]`.
    Name(NsType, u32),
    /// A number: an inode number, or a PID when no namespace has it.
    Number(u32),
    /// `:12403`.
    Id(u64),
    Path(String),
}

/// Why an argument means nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    #[error("'{}' is no namespace: write net:[INODE], INODE, :NSID, a PID, or a path like /run/netns/x", .0.escape_debug())]
    Form(String),
    #[error("{}: {error}", path.escape_debug())]
    Path { path: String, error: std::io::Error },
    #[error("{}: this is no namespace file: name one like /run/netns/x or /proc/1/ns/net", .0.escape_debug())]
    NotNsfs(String),
}

impl std::str::FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget::Form(text.to_owned());
        if text.contains('/') {
            return Ok(Self::Path(text.to_owned()));
        }
        if let Some(id) = text.strip_prefix(':') {
            return id.parse().map(Self::Id).map_err(|_| bad());
        }
        if let Some((name, number)) = text.split_once(':') {
            let number = number.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(number);
            return Ok(Self::Name(name.parse().map_err(|_| bad())?, number.parse().map_err(|_| bad())?));
        }
        text.parse().map(Self::Number).map_err(|_| bad())
    }
}

impl Target {
    /// Every namespace that is meant; empty when there is none. A PID means all the namespaces of its process.
    ///
    /// # Errors
    /// A path that cannot be looked at or is not on nsfs.
    pub fn find(&self, census: &Census) -> Result<Vec<NsIndex>, BadTarget> {
        let all = |wanted: &dyn Fn(NsName) -> bool| -> Vec<NsIndex> {
            census.indices().filter(|&i| wanted(census.namespace(i).name)).collect()
        };
        Ok(match self {
            Self::Name(ns_type, inum) => all(&|name| name.ns_type == *ns_type && name.inum == *inum),
            Self::Id(id) => all(&|name| name.id == Some(*id)),
            Self::Number(number) => {
                let found = all(&|name| name.inum == *number);
                if found.is_empty() { of_process(census, *number) } else { found }
            }
            Self::Path(path) => {
                let inum = inode(path)?;
                all(&|name| name.inum == inum)
            }
        })
    }
}

/// The namespaces a process (or thread) lives in.
fn of_process(census: &Census, pid: u32) -> Vec<NsIndex> {
    let Some(task) = census.tasks.iter().find(|task| task.tid == pid) else { return Vec::new() };
    let mut found: Vec<NsIndex> = NsType::ALL.into_iter().filter_map(|t| task.member_of(t)).collect();
    found.sort_unstable();
    found
}

/// Inode number of the namespace file at `path`. A link below `/proc/PID/ns` is read, not followed.
fn inode(path: &str) -> Result<u32, BadTarget> {
    let not_nsfs = || BadTarget::NotNsfs(path.to_owned());
    if let Ok(link) = std::fs::read_link(path)
        && let Some(text) = link.to_str()
        && let Ok(Target::Name(_, inum)) = text.parse()
    {
        return Ok(inum);
    }
    let failed = |error: std::io::Error| BadTarget::Path { path: path.to_owned(), error };
    let file_system = rustix::fs::statfs(path).map_err(|errno| failed(errno.into()))?;
    if file_system.f_type != i64::from(magic::NSFS) {
        return Err(not_nsfs());
    }
    u32::try_from(std::fs::metadata(path).map_err(failed)?.ino()).map_err(|_| not_nsfs())
}
