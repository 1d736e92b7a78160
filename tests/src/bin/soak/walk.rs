//! The kernel's own answer, by a walk through /proc: who is in which namespace, and what holds namespaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use nstrace_tests::{
    kinds::{KINDS, SLOTS, kind, type_of_slot},
    nsfs,
};

use crate::lives::Name;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    pub members: BTreeMap<Name, BTreeSet<u32>>,
    /// By a slot, a descriptor or a mount: these live.
    pub seen: BTreeSet<Name>,
    /// By a descriptor or a mount.
    pub held: BTreeSet<Name>,
    /// Processes whose namespaces may not be read.
    pub unreadable: BTreeSet<u32>,
}

impl Walk {
    /// Descriptors and mounts take long to look at: only when `with_holders`.
    pub fn now(with_holders: bool) -> Self {
        let mut walk = Self::default();
        let mut mount_tables = BTreeSet::new();
        for pid in numbers(Path::new("/proc")) {
            for tid in numbers(&Path::new("/proc").join(pid.to_string()).join("task")) {
                let folder = format!("/proc/{pid}/task/{tid}");
                if !lives(&folder) {
                    continue;
                }
                walk.task(pid, &folder);
                if with_holders {
                    walk.files(&folder);
                    let mount_ns = nsfs::inum_of_link(Path::new(&format!("{folder}/ns/mnt")));
                    if mount_ns.is_some_and(|inum| mount_tables.insert(inum)) {
                        walk.mounts(&folder);
                    }
                }
            }
        }
        walk
    }

    fn task(&mut self, pid: u32, folder: &str) {
        for slot in SLOTS {
            match fs::read_link(format!("{folder}/ns/{slot}")) {
                Ok(link) => {
                    if let Some(name) = link.to_str().and_then(name_of) {
                        self.seen.insert(name);
                        if slot == type_of_slot(slot) {
                            self.members.entry(name).or_default().insert(pid);
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    self.unreadable.insert(pid);
                }
                Err(_) => {}
            }
        }
    }

    fn files(&mut self, folder: &str) {
        for fd in numbers(&Path::new(folder).join("fd")) {
            if let Ok(link) = fs::read_link(format!("{folder}/fd/{fd}"))
                && let Some(name) = link.to_str().and_then(name_of)
            {
                self.held.insert(name);
                self.seen.insert(name);
            }
        }
    }

    fn mounts(&mut self, folder: &str) {
        let Ok(table) = fs::read_to_string(format!("{folder}/mountinfo")) else { return };
        for line in table.lines() {
            if let Some(name) = line.split(' ').nth(3).and_then(name_of) {
                self.held.insert(name);
                self.seen.insert(name);
            }
        }
    }
}

/// `net:[4026531840]`.
fn name_of(link: &str) -> Option<Name> {
    let (ns_type, rest) = link.split_once(":[")?;
    let ns_type = KINDS.into_iter().find(|kind| kind.name == type_of_slot(ns_type))?;
    Some((kind(ns_type.name).name, rest.strip_suffix(']')?.parse().ok()?))
}

fn numbers(folder: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Neither zombie nor exiting: those have left their namespaces. The init of a pid namespace exits for as long as others in
/// there take to go.
fn lives(folder: &str) -> bool {
    const PF_EXITING: u64 = 4;
    let stat = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut words = rest.split(' ');
    let state = words.next();
    // state, ppid, pgrp, session, tty_nr, tpgid, flags (proc_pid_stat(5)).
    let flags: u64 = words.nth(5).and_then(|word| word.parse().ok()).unwrap_or(0);
    !matches!(state, Some("Z" | "X" | "x")) && flags & PF_EXITING == 0
}
