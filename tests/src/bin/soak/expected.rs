//! What the logs of the actors say that nstrace has to say: per process and type a sequence of lines.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use nstrace_tests::kinds::{ALL_FLAGS, KINDS, SLOTS, kind, kinds_of, type_of_slot};

use crate::{
    lives::Name,
    record::{Record, Slots, index},
    walk::Walk,
};

/// A line, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Change {
        event: &'static str,
        via: String,
        flags: u64,
        /// 0: nobody could read it.
        inum: u32,
    },
    /// All lines of one refused call.
    Denied { via: String, flags: u64, errno: String, types: BTreeSet<&'static str> },
}

impl Item {
    /// `line` is what `self` asks for.
    pub fn allows(&self, line: &Self) -> bool {
        match (self, line) {
            (
                Self::Change { event, via, flags, inum },
                Self::Change { event: event2, via: via2, flags: flags2, inum: inum2 },
            ) => event == event2 && via == via2 && flags == flags2 && (*inum == 0 || inum == inum2),
            (
                Self::Denied { via, flags, errno, types },
                Self::Denied { via: via2, flags: flags2, errno: errno2, types: types2 },
            ) => {
                // A refused setns names the one namespace that it was refused, where the kernel lets that be seen.
                let one = via == "setns" && types2.len() <= 1 && (types.is_empty() || types2.is_subset(types));
                // By nstype and errno alone nothing is known of its type.
                let same_types = types == types2 || one;
                (via, flags, errno) == (via2, flags2, errno2) && same_types
            }
            _ => false,
        }
    }
}

/// A process of the actors that lives.
#[derive(Clone, Debug, Default)]
struct Process {
    parent: u32,
    threads: BTreeMap<u32, Slots>,
    in_flight: VecDeque<Name>,
    registered: Vec<Name>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Expected {
    processes: HashMap<u32, Process>,
    pub initial: Slots,
    /// By process and type, or `denied`: what is to be said in this round.
    pub items: HashMap<(u32, &'static str), Vec<Item>>,
    pub operations: u64,
    /// Of these, what the workers themselves did.
    pub own_operations: u64,
    pub processes_made: u64,
    pub trouble: Vec<String>,
    /// Processes of this round that had several threads.
    pub threaded: HashSet<u32>,
    /// Nobody knows what they did last in this round.
    pub excused: HashSet<u32>,
    /// Processes that were killed in the middle of something.
    pub killed: u64,
    /// Those of this round that never said who they are.
    pub mute: usize,
    /// Every process of this run.
    pub named: HashSet<u32>,
    /// Their parents ended, so shall they.
    pub to_kill: Vec<u32>,
    /// Of this round.
    pub log: Vec<Record>,
}

impl Expected {
    /// Forgets what was compared.
    pub fn next_round(&mut self) {
        self.items.clear();
        self.log.clear();
        self.threaded.clear();
        self.excused.clear();
        self.mute = 0;
    }

    /// Namespaces that messages and rings keep.
    pub fn hidden_holders(&self) -> BTreeSet<Name> {
        self.processes.values().flat_map(|p| p.in_flight.iter().chain(&p.registered)).copied().collect()
    }

    /// Processes that live by the log, and not by /proc: their end is yet to be said by whoever reaps them.
    pub fn unsaid_ends(&mut self, walk: &Walk) -> BTreeSet<String> {
        let lives = |pid: u32| walk.unreadable.contains(&pid) || walk.members.values().any(|pids| pids.contains(&pid));
        let mut ended: Vec<u32> = self.processes.keys().copied().filter(|pid| !lives(*pid)).collect();
        ended.retain(|pid| !self.bury_mute(*pid));
        ended.into_iter().map(|pid| format!("{pid} has ended, and no log says so")).collect()
    }

    /// A process that ended may be one that was killed in the middle: it had said to the log that it was born, but not to its parent,
    /// who so could not say which one it was. True if it is taken for that one.
    fn bury_mute(&mut self, pid: u32) -> bool {
        let Some(process) = self.processes.get(&pid) else { return true };
        if self.mute == 0 || !self.excused.contains(&process.parent) {
            return false;
        }
        self.mute -= 1;
        self.excuse(pid);
        self.exit(pid);
        true
    }

    pub fn read(&mut self, record: &Record) {
        self.log.push(record.clone());
        match record {
            Record::Worker { pid, slots } => {
                self.initial = *slots;
                self.named.insert(*pid);
                let threads = BTreeMap::from([(*pid, *slots)]);
                self.processes.insert(*pid, Process { threads, ..Process::default() });
            }
            Record::Born { pid, parent, call, flags, slots } => self.born(*pid, *parent, call, *flags, slots),
            Record::Thread { pid, tid, slots } => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.threads.insert(*tid, *slots);
                }
                self.threaded.insert(*pid);
            }
            Record::Call { pid, tid, call, flags, errno: None, after } => {
                let makes = if call == "unshare" { *flags } else { 0 };
                self.moved(*pid, *tid, call, flags & ALL_FLAGS, makes, after);
            }
            Record::Call { pid, call, flags, errno: Some(errno), .. } => self.denied(*pid, call, *flags, errno),
            Record::Exec { pid, tid, after } => self.exec(*pid, *tid, after),
            Record::Exit { pid } => self.exit(*pid),
            Record::Killed { pid, parent } => {
                self.killed += 1;
                // What it made for a child that never spoke.
                self.excused.insert(*parent);
                match pid {
                    Some(pid) => {
                        self.excuse(*pid);
                        self.exit(*pid);
                    }
                    None => self.mute += 1,
                }
            }
            Record::ThreadExit { pid, tid } => self.thread_exit(*pid, *tid),
            Record::Sent { pid, ns_type, inum } => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.in_flight.push_back((kind(ns_type).name, *inum));
                }
            }
            Record::Received { pid } => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.in_flight.pop_front();
                }
            }
            Record::Registered { pid, ns_type, inum } => {
                if let Some(process) = self.processes.get_mut(pid) {
                    process.registered.push((kind(ns_type).name, *inum));
                }
            }
            Record::Barrier { operations, own } => {
                self.operations += operations;
                self.own_operations += own;
            }
            Record::Trouble { what } => self.trouble.push(what.clone()),
        }
    }

    fn expect(&mut self, pid: u32, ns_type: &'static str, event: &'static str, via: &str, flags: u64, inum: u32) {
        let item = Item::Change { event, via: via.to_owned(), flags, inum };
        self.items.entry((pid, ns_type)).or_default().push(item);
    }

    fn is_initial(&self, ns_type: &str, inum: u32) -> bool {
        self.initial[index(ns_type)] == inum
    }

    fn born(&mut self, pid: u32, parent: u32, call: &str, flags: u64, slots: &Slots) {
        self.processes_made += 1;
        self.named.insert(pid);
        for kind in kinds_of(flags) {
            self.expect(parent, kind.name, "created", call, flags, slots[index(kind.name)]);
        }
        for kind in KINDS {
            let inum = slots[index(kind.name)];
            if !self.is_initial(kind.name, inum) {
                self.expect(pid, kind.name, "joined", call, flags, inum);
            }
        }
        let threads = BTreeMap::from([(pid, *slots)]);
        self.processes.insert(pid, Process { parent, threads, ..Process::default() });
    }

    /// A living thread changed namespaces: created, then left, then joined.
    fn moved(&mut self, pid: u32, tid: u32, call: &str, flags: u64, makes: u64, after: &Slots) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(before) = process.threads.insert(tid, *after) else { return };
        let others: Vec<Slots> =
            process.threads.iter().filter(|(other, _)| **other != tid).map(|(_, slots)| *slots).collect();
        let mut made = BTreeSet::new();
        for (i, slot) in SLOTS.into_iter().enumerate() {
            let ns_type = kind(type_of_slot(slot)).name;
            if before[i] == after[i] && !(makes & kind("pid").flag != 0 && slot == "pid_for_children") {
                continue;
            }
            if makes & kind(ns_type).flag != 0 && made.insert(ns_type) {
                self.expect(pid, ns_type, "created", call, flags, after[i]);
            }
            if slot.ends_with("_for_children") {
                continue;
            }
            let elsewhere = |inum: u32| others.iter().any(|slots| slots[i] == inum);
            if !elsewhere(before[i]) {
                self.expect(pid, ns_type, "left", call, flags, before[i]);
            }
            if !elsewhere(after[i]) {
                self.expect(pid, ns_type, "joined", call, flags, after[i]);
            }
        }
    }

    fn denied(&mut self, pid: u32, call: &str, flags: u64, errno: &str) {
        let types: BTreeSet<&'static str> = kinds_of(flags).map(|kind| kind.name).collect();
        if types.is_empty() && call != "setns" {
            return;
        }
        let (via, flags) = (call.to_owned(), flags & ALL_FLAGS);
        let item = Item::Denied { via, flags, errno: errno.to_owned(), types };
        self.items.entry((pid, "denied")).or_default().push(item);
    }

    /// Of a thread, or of a process without threads: what only it was in.
    fn gone(&mut self, pid: u32, slots: &Slots, others: &[Slots]) {
        for kind in KINDS {
            let i = index(kind.name);
            if !self.is_initial(kind.name, slots[i]) && !others.iter().any(|other| other[i] == slots[i]) {
                self.expect(pid, kind.name, "left", "exit", 0, slots[i]);
            }
        }
    }

    fn thread_exit(&mut self, pid: u32, tid: u32) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(slots) = process.threads.remove(&tid) else { return };
        let others: Vec<Slots> = process.threads.values().copied().collect();
        self.gone(pid, &slots, &others);
    }

    fn exec(&mut self, pid: u32, tid: u32, after: &Slots) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        // Close-on-exec.
        process.in_flight.clear();
        process.registered.clear();
        let others: Vec<u32> = process.threads.keys().copied().filter(|other| *other != tid).collect();
        for other in others {
            self.thread_exit(pid, other);
        }
        if let Some(process) = self.processes.get_mut(&pid)
            && let Some(slots) = process.threads.remove(&tid)
        {
            process.threads.insert(pid, slots);
            self.moved(pid, pid, "exec", 0, 0, after);
        }
    }

    /// The process and its descendants were killed in the middle of something.
    fn excuse(&mut self, pid: u32) {
        self.excused.insert(pid);
        let children: Vec<u32> = self.processes.iter().filter(|(_, p)| p.parent == pid).map(|(pid, _)| *pid).collect();
        for child in children {
            self.excuse(child);
        }
    }

    /// The process and, killed with it, its descendants.
    fn exit(&mut self, pid: u32) {
        let Some(mut process) = self.processes.remove(&pid) else { return };
        while let Some((_, slots)) = process.threads.pop_first() {
            let others: Vec<Slots> = process.threads.values().copied().collect();
            self.gone(pid, &slots, &others);
        }
        let children: Vec<u32> = self.processes.iter().filter(|(_, p)| p.parent == pid).map(|(pid, _)| *pid).collect();
        for child in children {
            // Most have been by the kernel.
            self.to_kill.push(child);
            self.exit(child);
        }
    }
}
