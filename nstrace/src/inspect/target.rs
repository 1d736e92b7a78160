//! What people type for a thing to look at; pure.

use std::fmt;

use crate::ns::NsType;

/// One TARGET as written, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Pid(u32),
    /// `PID:INODE`: the inode number of the process's pidfd, so that a reused PID is told (pidfd_open(2), 6.9 and newer).
    PidInode(u32, u64),
    /// `net:[4026531905]`.
    Ns(NsType, u32),
    /// A bare inode number.
    Inode(u32),
    /// `:NSID`, the kernel's 64-bit id.
    NsId(u64),
    /// `/run/netns/x`, `/proc/1/ns/net`, `./x`.
    Path(String),
    /// Name, id or id prefix of a container.
    Container(String),
}

/// Largest PID there can be (`PID_MAX_LIMIT`, proc_sys_kernel(5)); namespaces have far larger inode numbers
/// (`PROC_DYNAMIC_FIRST`).
const PID_MAX: u64 = 1 << 22;

/// A target that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is no target: use a PID, a container name or id, net:[4026531840], an inode number, :NSID, or a path like /run/netns/x",
    .0.escape_debug()
)]
pub struct BadTarget(pub String);

impl std::str::FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget(text.to_owned());
        if text.is_empty() || text.contains('\0') {
            return Err(bad());
        }
        if let Some(id) = text.strip_prefix(':') {
            return id.parse().map(Self::NsId).map_err(|_| bad());
        }
        if text.contains('/') {
            return Ok(Self::Path(text.to_owned()));
        }
        if let Some((name, inum)) = text.strip_suffix(']').and_then(|text| text.split_once(":[")) {
            let ns_type = name.parse().map_err(|_| bad())?;
            return inum.parse().ok().filter(|&inum| inum != 0).map(|inum| Self::Ns(ns_type, inum)).ok_or_else(bad);
        }
        if let Some((pid, inode)) = text.split_once(':')
            && let (Ok(pid), Ok(inode)) = (pid.parse(), inode.parse())
        {
            return Ok(Self::PidInode(pid, inode));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse::<u64>() {
                Ok(0) => Err(bad()),
                Ok(pid) if pid <= PID_MAX => u32::try_from(pid).map(Self::Pid).map_err(|_| bad()),
                Ok(inum) if u32::try_from(inum).is_ok() => Ok(Self::Inode(inum as u32)),
                // The start of a container id may be all digits.
                _ => Ok(Self::Container(text.to_owned())),
            };
        }
        Ok(Self::Container(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::PidInode(pid, inode) => write!(f, "process {pid}:{inode}"),
            Self::Ns(ns_type, inum) => write!(f, "namespace {ns_type}:[{inum}]"),
            Self::Inode(inum) => write!(f, "namespace with inode {inum}"),
            Self::NsId(id) => write!(f, "namespace with id {id}"),
            Self::Path(path) => write!(f, "path {path}"),
            Self::Container(name) => write!(f, "container {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_type() {
        let container = |name: &str| Target::Container(name.to_owned());
        for (text, target) in [
            ("4321", Target::Pid(4321)),
            ("4194304", Target::Pid(4_194_304)),
            ("4026531840", Target::Inode(4_026_531_840)),
            ("net:[4026531905]", Target::Ns(NsType::Net, 4_026_531_905)),
            (":12403", Target::NsId(12_403)),
            ("77:991", Target::PidInode(77, 991)),
            ("/run/netns/x", Target::Path("/run/netns/x".to_owned())),
            ("./x", Target::Path("./x".to_owned())),
            ("web", container("web")),
            ("3f2a3f2a3f2a", container("3f2a3f2a3f2a")),
            ("123456789012", container("123456789012")),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        for text in ["", "0", ":", ":x", "nat:[1]", "net:[0]", "net:[x]", "a\0b"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Target>();
        }
    }
}
