//! Every process with what the other parts ask of it; zombies too, threads not.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags},
    io::Errno,
};

use crate::{
    container,
    discover::{Missed, Placement, Proc, ReadError, oci::OciState, snapshot::canonical},
    event::SlotSet,
    model::Container,
    ns::{NsName, NsType, Slot},
};

use super::{status::Status, task_dir::TaskDir};

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    pub status: Status,
    pub slots: SlotSet,
    /// A slot was refused.
    pub denied: bool,
    /// Cgroup path that says most, its containers written as the runtime's systemd driver would; hostile.
    pub cgroup: Option<Arc<str>>,
    /// Start in clock ticks since boot (field 22 of `stat`); 0: not read.
    pub start: u64,
}

impl Process {
    pub fn member(&self, ns_type: NsType) -> Option<NsName> {
        self.slots.get(Slot::Member(ns_type))
    }

    /// Containers it is in, the outermost first.
    pub fn containers(&self) -> Vec<Container> {
        self.cgroup.as_deref().map(containers_of).unwrap_or_default()
    }
}

/// Containers along a cgroup path, the outermost first.
pub fn containers_of(path: &str) -> Vec<Container> {
    let mut found: Vec<Container> = Vec::new();
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    for end in ends {
        if let Some(container) = container::from_cgroup_path(&path[..end])
            && found.last() != Some(&container)
        {
            found.push(container);
        }
    }
    // What lies below a runtime's helper is in no container of its own, whatever a shorter path says.
    let innermost = container::from_cgroup_path(path);
    let inner = innermost.and_then(|innermost| found.iter().position(|container| *container == innermost));
    found.truncate(inner.map_or(0, |at| at + 1));
    found
}

/// All processes but the reader.
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    pub by_pid: BTreeMap<u32, Process>,
    /// The initial namespaces; empty slots: not to be seen.
    pub initial: SlotSet,
    pub missed: Missed,
    /// PIDs by what they are members of, ascending; made when it is first asked for.
    members: OnceLock<HashMap<(NsType, u32), Vec<u32>>>,
}

impl ProcessTable {
    /// About fifteen system calls per process. An error: the root itself cannot be read.
    pub fn read(proc: &Proc, oci: Option<&OciState>) -> Result<Self, ReadError> {
        let root =
            rustix::fs::openat(CWD, proc.root(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let own =
            rustix::fs::readlinkat(&root, "self", Vec::new()).ok().and_then(|link| link.to_str().ok()?.parse().ok());
        let mut table = Self { initial: proc.initial_slots().unwrap_or_default(), ..Self::default() };
        for entry in Dir::read_from(&root)? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if Some(pid) == own {
                continue;
            }
            match read_process(proc, pid, oci) {
                Ok(process) => {
                    if process.denied {
                        table.missed.note(ReadError::Denied, format_args!("{}/{pid}/ns", proc.root().display()));
                    }
                    table.by_pid.insert(pid, process);
                }
                Err(errno) => table.missed.note(errno.into(), format_args!("{}/{pid}", proc.root().display())),
            }
        }
        Ok(table)
    }

    /// A table of these processes.
    pub fn of(processes: impl IntoIterator<Item = Process>) -> Self {
        let by_pid = processes.into_iter().map(|process| (process.status.pid, process)).collect();
        Self { by_pid, ..Self::default() }
    }

    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.by_pid.values()
    }

    /// Members of `ns`, ascending.
    pub fn members(&self, ns: NsName) -> impl Iterator<Item = &Process> {
        let members = self.members.get_or_init(|| {
            let mut members: HashMap<(NsType, u32), Vec<u32>> = HashMap::new();
            for process in self.iter() {
                for own in NsType::ALL.into_iter().filter_map(|ns_type| process.member(ns_type)) {
                    members.entry((own.ns_type, own.inum)).or_default().push(process.status.pid);
                }
            }
            members
        });
        let pids = members.get(&(ns.ns_type, ns.inum)).map(Vec::as_slice).unwrap_or_default();
        pids.iter().filter_map(|pid| self.by_pid.get(pid))
    }

    /// By comparison with those of this boot; where they may not be seen, by number: what is made at run time has a number
    /// from `PROC_DYNAMIC_FIRST` on (fs/proc/generic.c), the initial ones have fixed numbers below it.
    pub fn is_initial(&self, ns: NsName) -> bool {
        const PROC_DYNAMIC_FIRST: u32 = 0xf000_0000;
        match self.initial.get(Slot::Member(ns.ns_type)) {
            Some(initial) => initial.inum == ns.inum,
            None => ns.inum < PROC_DYNAMIC_FIRST,
        }
    }

    /// Inode number of the initial user namespace.
    pub fn initial_user(&self) -> u32 {
        /// `PROC_USER_INIT_INO` (include/linux/proc_ns.h).
        const PROC_USER_INIT_INO: u32 = 0xefff_fffd;
        self.initial.get(Slot::Member(NsType::User)).map_or(PROC_USER_INIT_INO, |ns| ns.inum)
    }
}

fn read_process(proc: &Proc, pid: u32, oci: Option<&OciState>) -> Result<Process, Errno> {
    let dir = TaskDir::open(proc, pid)?;
    let status = Status::parse(&dir.read("status")?).ok_or(Errno::BADMSG)?;
    let (slots, refused) = dir.slots();
    let start = dir.read("stat").ok().and_then(|text| start_ticks(&text)).unwrap_or(0);
    let cgroup = dir.read("cgroup").ok().and_then(|text| Placement::parse(&text).path().cloned());
    let cgroup = cgroup.map(|path| Arc::from(canonical(oci, &path)));
    let denied = refused && !status.is_zombie();
    Ok(Process { status, slots, denied, cgroup, start })
}

/// Field 22 of `/proc/PID/stat`.
pub(super) fn start_ticks(text: &[u8]) -> Option<u64> {
    let close = text.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_containers_are_all_found() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let ids = |path: &str| containers_of(path).into_iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(&format!("/system.slice/docker-{a}.scope")), [a.as_str()]);
        assert_eq!(ids(&format!("/system.slice/docker-{a}.scope/docker/{b}/x")), [a.as_str(), b.as_str()]);
        assert!(ids("/user.slice/user-0.slice").is_empty());
        assert!(ids("").is_empty());
    }

    #[test]
    fn start_of_a_task_with_brackets_in_its_name() {
        assert_eq!(start_ticks(b"7 (a) b) S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 7250 1 1\n"), Some(7250));
        assert_eq!(start_ticks(b"7 (a"), None);
    }
}
