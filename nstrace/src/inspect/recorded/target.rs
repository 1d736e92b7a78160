//! What a TARGET stands for at a moment of a recording. Nothing of the running system is asked: it may be another one.

use super::{RecordedContainer, Scene, container::Found};
use crate::{
    inspect::target::Target,
    model::{Namespace, NsKey},
    ns::{NsName, NsType, Slot},
};

/// A target that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedSubject {
    /// A thread or process.
    Task(u32),
    Ns(NsKey),
    Container(Box<RecordedContainer>),
}

/// A target that was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    #[error("the recording knows no {0} at that time")]
    Nothing(Target),
    #[error("'{}' is several containers: {}; write more of the id", .0.escape_debug(), .1.join(", ").escape_debug())]
    Several(String, Vec<String>),
    #[error("{0}: a recording does not know pidfds: write the PID alone")]
    PidInode(Target),
    #[error(
        "'{}': a recording does not know paths other than /proc/PID and /proc/PID/ns/NAME: write net:[INODE] or :NSID",
        .0.escape_debug()
    )]
    Path(String),
}

impl Scene<'_> {
    /// # Errors
    /// As [`NotRecorded`] says.
    pub fn find(&self, target: &Target) -> Result<RecordedSubject, NotRecorded> {
        let nothing = || NotRecorded::Nothing(target.clone());
        let by_name = |wanted: &dyn Fn(NsName) -> bool| {
            let found = self.world.namespaces().into_iter().find(|ns| wanted(ns.name()));
            found.map(|ns| RecordedSubject::Ns(ns.key()))
        };
        let container = |wanted: &str| match self.find_container(wanted) {
            Found::One(report) => Ok(RecordedSubject::Container(report)),
            Found::None => Err(nothing()),
            Found::Several(which) => Err(NotRecorded::Several(wanted.to_owned(), which)),
        };
        match target {
            Target::Pid(pid) if self.process(*pid).is_some() => Ok(RecordedSubject::Task(*pid)),
            // An id may start like a number.
            Target::Pid(pid) => container(&pid.to_string()),
            Target::PidInode(..) => Err(NotRecorded::PidInode(target.clone())),
            Target::Ns(ns_type, inum) => {
                by_name(&|name| name.ns_type == *ns_type && name.inum == *inum).ok_or_else(nothing)
            }
            Target::Inode(inum) => match by_name(&|name| name.inum == *inum) {
                Some(found) => Ok(found),
                None => container(&inum.to_string()),
            },
            Target::NsId(id) => by_name(&|name| name.id == Some(*id)).ok_or_else(nothing),
            Target::Path(path) => {
                let (pid, slot) = proc_path(path).ok_or_else(|| NotRecorded::Path(path.clone()))?;
                let (_, slots) = self.process(pid).ok_or_else(nothing)?;
                match slot {
                    None => Ok(RecordedSubject::Task(pid)),
                    Some(at) => slots[at].map(RecordedSubject::Ns).ok_or_else(nothing),
                }
            }
            Target::Container(name) => container(name),
        }
    }

    /// The inode number of the pid namespace of a task, of a container's init, or of a namespace's first member.
    pub fn pid_ns_of(&self, subject: &RecordedSubject) -> Option<u32> {
        let of = |pid: u32| {
            let (_, slots) = self.process(pid)?;
            self.ns(slots[NsType::Pid.index()]).map(|ns| ns.name().inum)
        };
        match subject {
            RecordedSubject::Task(pid) => of(*pid),
            RecordedSubject::Container(report) => of(report.init?),
            RecordedSubject::Ns(key) => match self.ns(Some(*key)).map(Namespace::name)? {
                NsName { ns_type: NsType::Pid, inum, .. } => Some(inum),
                _ => of(self.members(*key).next()?.0.tgid),
            },
        }
    }
}

/// `/proc/PID`, `/proc/PID/ns/NAME`: the PID and the place of the slot in [`Slot::ALL`].
fn proc_path(path: &str) -> Option<(u32, Option<usize>)> {
    let rest = path.strip_prefix("/proc/")?.trim_end_matches('/');
    match rest.split_once('/') {
        None => Some((rest.parse().ok()?, None)),
        Some((pid, name)) => {
            let name = name.strip_prefix("ns/")?;
            let slot = Slot::ALL.iter().position(|slot| slot.proc_name() == name)?;
            Some((pid.parse().ok()?, Some(slot)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_proc_alone() {
        assert_eq!(proc_path("/proc/7"), Some((7, None)));
        assert_eq!(proc_path("/proc/7/ns/net"), Some((7, Slot::ALL.iter().position(|s| s.proc_name() == "net"))));
        for path in ["/proc/self/ns/net", "/run/netns/x", "/proc/7/ns/", "/proc/7/ns/x", "/proc/7/root", "/proc/"] {
            assert_eq!(proc_path(path), None, "{path}");
        }
    }
}
