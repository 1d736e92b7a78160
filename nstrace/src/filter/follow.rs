//! The life of one object: the changes in which it, or a namespace that it made, occurs.

use std::{collections::HashSet, str::FromStr};

use crate::{
    engine::Named,
    model::{Change, NsKey, What},
    ns::{NsName, NsType},
};

/// Numbers from here on are inode numbers of namespaces, not PIDs (`PID_MAX_LIMIT`, include/linux/threads.h).
const PID_MAX: u32 = 1 << 22;

/// Whose life it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `net:[4026532177]`, or the bare number.
    Namespace {
        ns_type: Option<NsType>,
        inum: u32,
    },
    /// `:12403`, the kernel's 64-bit id.
    NsId(u64),
    Pid(u32),
    /// An id, the start of it, or a name.
    Container(String),
}

impl FromStr for Subject {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const REMEDY: &str = "write net:[INODE], INODE, :NSID, a PID, or the id or name of a container";
        if let Some(id) = text.strip_prefix(':') {
            return id.parse().map(Self::NsId).map_err(|_| REMEDY);
        }
        if let Some((name, number)) = text.split_once(':')
            && let Ok(ns_type) = name.parse::<NsType>()
        {
            let inum = number.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(number);
            return Ok(Self::Namespace { ns_type: Some(ns_type), inum: inum.parse().map_err(|_| REMEDY)? });
        }
        match text.parse::<u32>() {
            _ if text.is_empty() => Err(REMEDY),
            Ok(number) if number > PID_MAX => Ok(Self::Namespace { ns_type: None, inum: number }),
            Ok(0) => Err(REMEDY),
            Ok(number) => Ok(Self::Pid(number)),
            Err(_) => Ok(Self::Container(text.to_owned())),
        }
    }
}

/// Follows a [`Subject`] through a stream.
#[derive(Clone, Debug)]
pub struct Follow {
    subject: Subject,
    /// Of a container: ids that its name stands for.
    ids: Vec<String>,
    /// Namespaces that it made or that hang on it, while they live.
    made: HashSet<NsKey>,
    found: bool,
}

impl Follow {
    /// `known`: what engines told of containers.
    pub fn new(subject: Subject, known: &[Named]) -> Self {
        let ids = match &subject {
            Subject::Container(name) => {
                let named = known.iter().filter(|known| known.name.as_ref() == Some(name));
                named.map(|named| named.id.clone()).collect()
            }
            _ => Vec::new(),
        };
        Self { subject, ids, made: HashSet::new(), found: false }
    }

    /// Something of its life was met.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Whether a change belongs to the life; to be asked of every change of a stream in order. Losses always do.
    pub fn admits(&mut self, change: &Change) -> bool {
        if matches!(change.what, What::Lost { .. } | What::Resynced) {
            return true;
        }
        let key = change.what.ns().map(|ns| ns.key);
        let is_made = key.is_some_and(|key| self.made.contains(&key));
        let occurs = self.occurs(change);
        match (&change.what, key) {
            (What::Created { .. }, Some(key)) if occurs => {
                self.made.insert(key);
            }
            (What::Destroyed { .. }, Some(key)) => {
                self.made.remove(&key);
            }
            _ => {}
        }
        self.found |= occurs;
        occurs || is_made
    }

    fn occurs(&self, change: &Change) -> bool {
        let names = |wanted: &dyn Fn(NsName) -> bool| {
            let related = match change.what {
                What::Created { owner, parent, .. } => [owner, parent],
                _ => [None, None],
            };
            change.what.ns().is_some_and(|ns| wanted(ns.name)) || related.into_iter().flatten().any(wanted)
        };
        match &self.subject {
            Subject::Namespace { ns_type, inum } => {
                names(&|name| name.inum == *inum && ns_type.is_none_or(|ns_type| name.ns_type == ns_type))
            }
            Subject::NsId(id) => names(&|name| name.id == Some(*id)),
            Subject::Pid(pid) => change.task.is_some_and(|task| task.tgid == *pid || task.key.tid == *pid),
            Subject::Container(id) => change
                .container
                .as_deref()
                .is_some_and(|container| container.id.starts_with(id.as_str()) || self.ids.contains(&container.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        let ns = |ns_type, inum| Subject::Namespace { ns_type, inum };
        for (text, subject) in [
            ("net:[4026532177]", ns(Some(NsType::Net), 4_026_532_177)),
            ("net:4026532177", ns(Some(NsType::Net), 4_026_532_177)),
            ("4026532177", ns(None, 4_026_532_177)),
            (":12403", Subject::NsId(12403)),
            ("4321", Subject::Pid(4321)),
            ("4194304", Subject::Pid(4_194_304)),
            ("3f2a", Subject::Container("3f2a".to_owned())),
            ("web", Subject::Container("web".to_owned())),
            ("99999999999999", Subject::Container("99999999999999".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(subject), "{text}");
        }
        for text in ["", "0", ":", ":x", "net:", "net:[]", "pid:[x]"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
