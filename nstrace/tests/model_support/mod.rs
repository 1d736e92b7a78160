//! A toy kernel: it does what Linux does to namespaces and writes the records that nstrace's programs would write, as
//! bytes. Tests compare what the model makes of the records with what the toy really holds.
#![expect(dead_code, reason = "each test target and bench uses its part")]
#![expect(clippy::unwrap_used, reason = "test support: a failing expectation is a broken toy")]

pub mod stream;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use nstrace::{
    decode::decode,
    event::{Event, SlotSet, Stamp, Stamped, TaskInfo},
    ns::{NsName, NsType, Slot},
};
use nstrace_common::{
    deed::{self, Place, place},
    record::{self, Header, NsRef, hook, kind},
    slots::{CLONE_FLAG, CLONE_NEW_ANY, Slots},
    task::{PF_EXITING, PID_LEVELS, Task},
};
use zerocopy::{FromZeros, IntoBytes};

pub const CLONE_THREAD: u64 = 0x0001_0000;
pub const MNT: u64 = CLONE_FLAG[0];
pub const PID: u64 = CLONE_FLAG[1];
pub const NET: u64 = CLONE_FLAG[2];
pub const IPC: u64 = CLONE_FLAG[3];
pub const UTS: u64 = CLONE_FLAG[4];
pub const USER: u64 = CLONE_FLAG[5];
pub const CGROUP: u64 = CLONE_FLAG[6];
pub const TIME: u64 = CLONE_FLAG[7];

/// System call numbers (x86-64).
pub mod nr {
    pub const OPEN: i32 = 257;
    pub const CLOSE: i32 = 3;
    pub const CLONE: i32 = 56;
    pub const CLONE3: i32 = 435;
    pub const FORK: i32 = 57;
    pub const UNSHARE: i32 = 272;
    pub const SETNS: i32 = 308;
    pub const EXECVE: i32 = 59;
    pub const STAT: i32 = 262;
    pub const MOUNT: i32 = 165;
    pub const UMOUNT: i32 = 166;
    pub const OPEN_TREE: i32 = 428;
}

/// Handle of a toy namespace: never used again.
pub type Ns = usize;

#[derive(Clone, Debug)]
pub struct ToyNs {
    pub ns_type: NsType,
    pub inum: u32,
    pub id: u64,
    pub owner: Option<Ns>,
    pub parent: Option<Ns>,
    pub level: u32,
    pub pins: u32,
}

#[derive(Clone, Debug)]
pub struct ToyTask {
    pub tid: u32,
    pub tgid: u32,
    pub start: u64,
    pub slots: [Ns; 10],
    pub pids: Vec<u32>,
    pub cgroup: u64,
}

pub struct Toy {
    pub now: u64,
    /// The kernel has 64-bit namespace ids.
    pub ids: bool,
    pub tasks: BTreeMap<u32, ToyTask>,
    pub spaces: BTreeMap<Ns, ToyNs>,
    inums: BTreeSet<u32>,
    next_ns: Ns,
    next_id: u64,
    next_tid: u32,
    seq: u64,
    /// When the last unshare(2) was entered.
    entered: u64,
    /// Records since the last [`Toy::records`].
    out: Vec<Vec<u8>>,
    /// Like the programs: nothing is said of tasks that are and stay in the initial namespaces.
    pub filter: bool,
    /// Capabilities that execve(2) leaves permitted.
    pub permitted: u64,
}

pub const INIT: u32 = 1;
/// Inode number of the host's root directory.
pub const HOST_ROOT: u64 = 2;
const FIRST_INUM: u32 = 4_026_532_000;

impl Toy {
    pub fn new(ids: bool) -> Self {
        let mut toy = Self {
            now: 1_000_000_000,
            ids,
            tasks: BTreeMap::new(),
            spaces: BTreeMap::new(),
            inums: BTreeSet::new(),
            next_ns: 0,
            next_id: 1,
            next_tid: 2,
            seq: 0,
            entered: 0,
            out: Vec::new(),
            filter: true,
            permitted: 0,
        };
        let initial: Vec<Ns> = NsType::ALL.into_iter().map(|t| toy.make(t, None, None, 0)).collect();
        let slots = std::array::from_fn(|i| initial[Slot::ALL[i].ns_type().index()]);
        toy.tasks.insert(INIT, ToyTask { tid: INIT, tgid: INIT, start: 1_234, slots, pids: vec![1], cgroup: 1 });
        toy.next_ns = 100;
        toy
    }

    fn make(&mut self, ns_type: NsType, owner: Option<Ns>, parent: Option<Ns>, level: u32) -> Ns {
        let inum = (FIRST_INUM..).find(|inum| !self.inums.contains(inum)).unwrap();
        self.inums.insert(inum);
        let id = if self.ids { self.next_id * 7919 } else { 0 };
        self.next_id += 1;
        let ns = self.next_ns;
        self.next_ns += 1;
        self.spaces.insert(ns, ToyNs { ns_type, inum, id, owner, parent, level, pins: 0 });
        ns
    }

    pub fn is_initial(ns: Ns) -> bool {
        ns < 100
    }

    pub fn name(&self, ns: Ns) -> NsName {
        let ns = &self.spaces[&ns];
        NsName { ns_type: ns.ns_type, inum: ns.inum, id: (ns.id != 0).then_some(ns.id) }
    }

    fn reference(&self, ns: Option<Ns>) -> NsRef {
        ns.map_or_else(NsRef::default, |ns| {
            let ns = &self.spaces[&ns];
            NsRef { id: ns.id, inum: ns.inum, clone_flag: u32::try_from(ns.ns_type.clone_flag()).unwrap() }
        })
    }

    pub fn tick(&mut self) -> u64 {
        self.now += 1_000;
        self.now
    }

    fn header(&mut self, kind: u16, hook: u16) -> Header {
        self.seq += 1;
        Header { seq: self.seq, boot_ns: self.tick(), kind, hook, cpu: 0 }
    }

    fn wire_task(task: &ToyTask, flags: u32) -> Task {
        let mut pids = [0; PID_LEVELS];
        pids[..task.pids.len()].copy_from_slice(&task.pids);
        Task {
            start_boottime: task.start,
            cgroup: task.cgroup,
            cap_effective: 0,
            tid: task.tid,
            tgid: task.tgid,
            uid: 0,
            euid: 0,
            flags,
            level: u32::try_from(task.pids.len()).unwrap() - 1,
            pids,
            former_tid: 0,
            comm: *b"toy\0\0\0\0\0\0\0\0\0\0\0\0\0",
        }
    }

    fn wire_slots(&self, slots: &[Ns; 10]) -> Slots {
        let mut wire = Slots::default();
        for (i, ns) in slots.iter().enumerate() {
            (wire.inum[i], wire.id[i]) = (self.spaces[ns].inum, self.spaces[ns].id);
        }
        wire
    }

    pub fn call(nr: i32, flags: u64, ret: i32) -> record::Call {
        record::Call { flags, nr, ret, fd: -1, compat: 0 }
    }

    fn describe(&mut self, ns: Ns) {
        let header = self.header(kind::NAMESPACE, hook::NS_TREE_ADD);
        let toy = &self.spaces[&ns];
        let record = record::Namespace {
            header,
            ns: self.reference(Some(ns)),
            owner: self.reference(toy.owner),
            parent: self.reference(toy.parent),
            level: toy.level,
            owner_uid: if toy.ns_type == NsType::User { 1000 } else { u32::MAX },
        };
        self.out.push(record.as_bytes().to_vec());
    }

    /// New namespaces of the types in `flags`, as `create_new_namespaces` and `create_user_ns` make them: by slot.
    fn make_new(&mut self, from: &ToyTask, flags: u64) -> BTreeMap<NsType, Ns> {
        let mut made = BTreeMap::new();
        let mut owner = from.slots[NsType::User.index()];
        let order = [NsType::User].into_iter().chain(NsType::ALL.into_iter().filter(|t| *t != NsType::User));
        for ns_type in order.filter(|t| flags & t.clone_flag() != 0) {
            let parent = match ns_type {
                NsType::User => Some(owner),
                NsType::Pid => Some(from.slots[NsType::Pid.index()]),
                _ => None,
            };
            let level = parent.map_or(0, |p| self.spaces[&p].level + 1);
            let ns = self.make(ns_type, Some(owner), parent, level);
            if ns_type == NsType::User {
                owner = ns;
            }
            self.describe(ns);
            made.insert(ns_type, ns);
        }
        made
    }

    fn all_initial(slots: &[Ns; 10]) -> bool {
        slots.iter().all(|&ns| Self::is_initial(ns))
    }

    /// clone(2) or clone3(2); the new tid.
    pub fn clone(&mut self, creator: u32, flags: u64) -> u32 {
        let creator = self.tasks[&creator].clone();
        let made = self.make_new(&creator, flags);
        let tid = self.next_tid;
        self.next_tid += 1;
        let mut slots = creator.slots;
        slots[NsType::Pid.index()] = creator.slots[8];
        slots[NsType::Time.index()] = creator.slots[9];
        for (&ns_type, &ns) in &made {
            for (i, slot) in Slot::ALL.into_iter().enumerate() {
                if slot.ns_type() == ns_type {
                    slots[i] = ns;
                }
            }
        }
        let tgid = if flags & CLONE_THREAD != 0 { creator.tgid } else { tid };
        let level = self.spaces[&slots[NsType::Pid.index()]].level as usize;
        let pids = (0..=level).map(|l| if l == 0 { tid } else { 1 }).collect();
        let child = ToyTask { tid, tgid, start: self.tick() + 7, slots, pids, cgroup: creator.cgroup };
        let header = self.header(kind::FORK, hook::TASK_NEWTASK);
        let record = record::Fork {
            header,
            call: Self::call(nr::CLONE3, flags, 0),
            creator: Self::wire_task(&creator, 0),
            child: Self::wire_task(&child, 0),
            slots: self.wire_slots(&slots),
        };
        self.tasks.insert(tid, child);
        if !(self.filter && Self::all_initial(&slots)) {
            self.out.push(record.as_bytes().to_vec());
        }
        tid
    }

    pub fn transition(
        &mut self,
        hook: u16,
        call: record::Call,
        tid: u32,
        before: &[Ns; 10],
        after: &[Ns; 10],
    ) -> Vec<u8> {
        let header = self.header(kind::TRANSITION, hook);
        record::Transition {
            header,
            call,
            task: Self::wire_task(&self.tasks[&tid], 0),
            before: self.wire_slots(before),
            after: self.wire_slots(after),
            entered_boot_ns: if matches!(hook, hook::UNSHARE | hook::SETNS) { self.entered } else { 0 },
        }
        .as_bytes()
        .to_vec()
    }

    fn switch(&mut self, tid: u32, call: record::Call, after: [Ns; 10]) {
        let before = self.tasks[&tid].slots;
        let mut switched = after;
        switched[NsType::User.index()] = before[NsType::User.index()];
        if before != switched {
            let record = self.transition(hook::SWITCH_TASK_NAMESPACES, call, tid, &before, &switched);
            self.out.push(record);
            self.tasks.get_mut(&tid).unwrap().slots = switched;
        }
    }

    fn commit_creds(&mut self, tid: u32, call: record::Call, user: Ns) {
        let before = self.tasks[&tid].slots;
        let mut after = before;
        after[NsType::User.index()] = user;
        if before != after {
            let record = self.transition(hook::COMMIT_CREDS, call, tid, &before, &after);
            self.out.push(record);
            self.tasks.get_mut(&tid).unwrap().slots = after;
        }
    }

    pub fn ret(&mut self, tid: u32, call: record::Call) {
        let header = self.header(kind::RETURN, hook::UNSHARE);
        let record = record::Return { header, call, task: Self::wire_task(&self.tasks[&tid], 0) };
        self.out.push(record.as_bytes().to_vec());
    }

    pub fn unshare(&mut self, tid: u32, flags: u64) {
        self.entered = self.tick();
        let task = self.tasks[&tid].clone();
        let made = self.make_new(&task, flags);
        let mut after = task.slots;
        for (&ns_type, &ns) in &made {
            match ns_type {
                NsType::Pid => after[8] = ns,
                NsType::Time => after[9] = ns,
                t => after[t.index()] = ns,
            }
        }
        let call = Self::call(nr::UNSHARE, flags, 0);
        self.switch(tid, call, after);
        self.commit_creds(tid, call, after[NsType::User.index()]);
        self.ret(tid, call);
        self.collect();
    }

    /// unshare(2) that makes all but the last of its namespaces and then fails.
    pub fn unshare_fails(&mut self, tid: u32, flags: u64, errno: i32) {
        let task = self.tasks[&tid].clone();
        self.make_new(&task, flags);
        self.collect();
        self.ret(tid, Self::call(nr::UNSHARE, flags, -errno));
    }

    pub fn setns(&mut self, tid: u32, ns: Ns) {
        let ns_type = self.spaces[&ns].ns_type;
        let mut after = self.tasks[&tid].slots;
        match ns_type {
            NsType::Pid => after[8] = ns,
            NsType::Time => (after[7], after[9]) = (ns, ns),
            t => after[t.index()] = ns,
        }
        let call = Self::call(nr::SETNS, ns_type.clone_flag(), 0);
        self.install(tid, ns, 0);
        self.commit_creds(tid, call, after[NsType::User.index()]);
        self.switch(tid, call, after);
        self.ret(tid, call);
        self.collect();
    }

    pub fn install(&mut self, tid: u32, ns: Ns, errno: i32) {
        let header = self.header(kind::INSTALL, hook::NS_INSTALL);
        let task = Self::wire_task(&self.tasks[&tid], 0);
        let call = Self::call(nr::SETNS, 0, -errno);
        let record = record::Install { header, call, task, ns: self.reference(Some(ns)) };
        self.out.push(record.as_bytes().to_vec());
    }

    fn state(&mut self, kind: u16, hook: u16, task: &ToyTask, flags: u32) -> Vec<u8> {
        let header = self.header(kind, hook);
        self.wire_state(header, Self::wire_task(task, flags), task)
    }

    fn wire_state(&self, header: Header, wire: Task, task: &ToyTask) -> Vec<u8> {
        record::TaskState { header, task: wire, slots: self.wire_slots(&task.slots) }.as_bytes().to_vec()
    }

    /// execve(2): ends the other threads, takes the leader's place, and moves to the time namespace for children.
    pub fn exec(&mut self, tid: u32) {
        let mut task = self.tasks[&tid].clone();
        let leader = self.tasks.get(&task.tgid).cloned();
        let others: Vec<u32> =
            self.tasks.values().filter(|t| t.tgid == task.tgid && t.tid != tid).map(|t| t.tid).collect();
        for other in others {
            self.die(other);
        }
        if tid != task.tgid {
            self.tasks.remove(&tid);
            task.tid = task.tgid;
            task.pids[0] = task.tgid;
            // The toy ends processes with their leader, so there is one.
            task.start = leader.unwrap().start;
        }
        // exec_task_namespaces: the old time namespace may be freed before the exec is told.
        let mut after = task.slots;
        after[NsType::Time.index()] = task.slots[9];
        let former = if tid == task.tid { 0 } else { tid };
        let tid = task.tid;
        self.tasks.insert(tid, task);
        self.switch(tid, Self::call(nr::EXECVE, 0, 0), after);
        self.collect();
        let task = self.tasks[&tid].clone();
        let header = self.header(kind::EXEC, hook::SCHED_PROCESS_EXEC);
        let record = self.wire_state(header, Task { former_tid: former, ..Self::wire_task(&task, 0) }, &task);
        if !(self.filter && Self::all_initial(&task.slots)) {
            self.out.push(record);
        }
    }

    /// Somebody writes to kernel memory: nothing is said of it, and nobody lets go of what was there.
    pub fn forge(&mut self, tid: u32, slot: usize, ns: Ns) {
        let was = std::mem::replace(&mut self.tasks.get_mut(&tid).unwrap().slots[slot], ns);
        self.spaces.get_mut(&was).unwrap().pins += 1;
    }

    fn die(&mut self, tid: u32) {
        let task = self.tasks[&tid].clone();
        let record = self.state(kind::EXIT, hook::SCHED_PROCESS_EXIT, &task, PF_EXITING);
        if !(self.filter && Self::all_initial(&task.slots)) {
            self.out.push(record);
        }
        self.tasks.remove(&tid);
    }

    /// Ends a thread, or with its leader the process.
    /// What the kernel says after an execve(2): the program lies on a mount of `exe`, the working directory on one of `pwd`, the
    /// root directory (`root`: its inode number, 2 is the host's) on one of the task's own mount namespace.
    pub fn placed(&mut self, tid: u32, root: u64, exe: Ns, pwd: Ns) {
        let header = self.header(kind::PLACED, hook::SCHED_PROCESS_EXEC);
        let task = self.tasks[&tid].clone();
        let host = if root == HOST_ROOT { place::HOST_ROOT | place::HOST_FILE_SYSTEM } else { 0 };
        let at = |toy: &Self, mnt, ino, flags| Place {
            ino,
            mnt_ns: toy.reference(Some(mnt)),
            dev: 7 << 20,
            flags: place::KNOWN | place::MOUNT_KNOWN | flags,
            ..Place::default()
        };
        let record = deed::Placed {
            header,
            task: Self::wire_task(&task, 0),
            slots: self.wire_slots(&task.slots),
            root: at(self, task.slots[0], root, host),
            pwd: at(self, pwd, root, 0),
            exe: at(self, exe, 77, 0),
            cap_permitted: self.permitted,
            cap_bounding: 0,
            seccomp: 0,
            no_new_privs: 0,
            loginuid: u32::MAX,
            executed: 1,
        };
        self.out.push(record.as_bytes().to_vec());
    }

    /// The task executes a program of its own mount namespace, with this root directory.
    pub fn runs(&mut self, tid: u32, root: u64) {
        let mnt = self.tasks[&tid].slots[0];
        self.exec(tid);
        self.placed(tid, root, mnt, mnt);
    }

    /// A deed of the task; `fill` says which.
    pub fn deed(&mut self, tid: u32, what: u32, fill: impl FnOnce(&Self, &mut deed::Deed)) {
        let header = self.header(kind::DEED, hook::FILE_OPEN);
        let task = self.tasks[&tid].clone();
        let mut record = deed::Deed::new_zeroed();
        record.header = header;
        record.call = Self::call(nr::OPEN, 0, 0);
        record.task = Self::wire_task(&task, 0);
        record.slots = self.wire_slots(&task.slots);
        record.what = what;
        fill(self, &mut record);
        self.out.push(record.as_bytes().to_vec());
    }

    /// A file on a mount of `mnt`.
    pub fn place(&self, mnt: Ns, magic: u32) -> Place {
        Place {
            ino: 99,
            mnt_ns: self.reference(Some(mnt)),
            dev: 8 << 20 | 1,
            magic,
            mode: 0o100_755,
            flags: place::KNOWN | place::MOUNT_KNOWN | place::INITIAL_USER,
            ..Place::default()
        }
    }

    /// How records name a namespace.
    pub fn named(&self, ns: Ns) -> NsRef {
        self.reference(Some(ns))
    }

    /// A task and its namespaces, for the other side of a deed.
    pub fn as_other(&self, tid: u32) -> (Task, Slots) {
        let task = &self.tasks[&tid];
        (Self::wire_task(task, 0), self.wire_slots(&task.slots))
    }

    pub fn exit(&mut self, tid: u32) {
        let tgid = self.tasks[&tid].tgid;
        let threads: Vec<u32> = self
            .tasks
            .values()
            .filter(|t| if tid == tgid { t.tgid == tgid } else { t.tid == tid })
            .map(|t| t.tid)
            .collect();
        for tid in threads.into_iter().rev() {
            self.die(tid);
        }
        self.collect();
    }

    pub fn pin_record(&mut self, kind: u16, nr: i32, tid: u32, ns: Ns) -> Vec<u8> {
        let header = self.header(kind, if kind == kind::PINNED { hook::NSFS_INIT } else { hook::NSFS_EVICT });
        let task = Self::wire_task(&self.tasks[&tid], 0);
        record::Pin { header, call: Self::call(nr, 0, 0), task, ns: self.reference(Some(ns)) }.as_bytes().to_vec()
    }

    pub fn pin(&mut self, tid: u32, ns: Ns, nr: i32) {
        if self.spaces[&ns].pins == 0 {
            let record = self.pin_record(kind::PINNED, nr, tid, ns);
            self.out.push(record);
        }
        self.spaces.get_mut(&ns).unwrap().pins += 1;
    }

    pub fn unpin(&mut self, tid: u32, ns: Ns, nr: i32) {
        self.spaces.get_mut(&ns).unwrap().pins -= 1;
        if self.spaces[&ns].pins == 0 {
            let record = self.pin_record(kind::UNPINNED, nr, tid, ns);
            self.out.push(record);
        }
        self.collect();
    }

    pub fn is_held(&self, ns: Ns) -> bool {
        self.spaces[&ns].pins > 0
            || self.tasks.values().any(|t| t.slots.contains(&ns))
            || self.spaces.values().any(|other| other.owner == Some(ns) || other.parent == Some(ns))
    }

    /// Frees what nothing holds.
    fn collect(&mut self) {
        while let Some(ns) = self.spaces.keys().copied().find(|&ns| !Self::is_initial(ns) && !self.is_held(ns)) {
            let header = self.header(kind::FREED, hook::PROC_FREE_INUM);
            let toy = self.spaces.remove(&ns).unwrap();
            self.inums.remove(&toy.inum);
            let ns = NsRef { id: toy.id, inum: toy.inum, clone_flag: 0 };
            self.out.push(record::Freed { header, ns }.as_bytes().to_vec());
        }
    }

    /// What was written since the last call, decoded.
    pub fn records(&mut self) -> Vec<Stamped> {
        std::mem::take(&mut self.out).iter().map(|bytes| decode(bytes).unwrap()).collect()
    }

    pub fn bytes(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    fn user_event(&mut self, event: Event) -> Stamped {
        Stamped { stamp: Stamp { boot_ns: self.tick(), cpu: 0, seq: 0 }, event }
    }

    pub fn start(&mut self) -> Vec<Stamped> {
        let mut slots = SlotSet::default();
        for (i, slot) in Slot::ALL.into_iter().enumerate() {
            slots.set(slot, Some(self.name(self.tasks[&INIT].slots[i])));
        }
        let utc_ns = 1_700_000_000_000_000_000;
        vec![self.user_event(Event::Clock { utc_ns }), self.user_event(Event::Initial { slots })]
    }

    pub fn info(task: &ToyTask) -> TaskInfo {
        let record = record::TaskState {
            header: Header { seq: 0, boot_ns: 0, kind: kind::TASK, hook: 0, cpu: 0 },
            task: Self::wire_task(task, 0),
            slots: Slots::default(),
        };
        match decode(record.as_bytes()).unwrap().event {
            Event::SnapshotTask { task, .. } => task,
            other => panic!("{other:?}"),
        }
    }

    /// A visit of every task and nsfs holder, without the end. `proc`: as /proc tells it, start times to a tick only.
    pub fn visit(&mut self, proc: bool) -> Vec<Stamped> {
        let mut events = Vec::new();
        for ns in self.spaces.keys().copied().collect::<Vec<_>>() {
            if self.spaces[&ns].pins > 0 {
                let holder = nstrace::event::PinHolder::Fd { tgid: 1, fd: 3 };
                let ns = self.name(ns);
                events.push(self.user_event(Event::SnapshotPin { ns, holder }));
            }
        }
        for task in self.tasks.values().cloned().collect::<Vec<_>>() {
            let mut slots = SlotSet::default();
            for (i, slot) in Slot::ALL.into_iter().enumerate() {
                slots.set(slot, Some(self.name(task.slots[i])));
            }
            let mut task = Self::info(&task);
            if proc {
                task.key.start_boottime -= task.key.start_boottime % nstrace::event::TaskKey::TICK_NS;
            }
            events.push(self.user_event(Event::SnapshotTask { task, slots }));
        }
        events
    }

    pub fn snapshot_end(&mut self) -> Stamped {
        self.user_event(Event::SnapshotEnd)
    }

    /// Processes with a thread in `ns`.
    pub fn nprocs(&self, ns: Ns) -> u32 {
        let t = self.spaces[&ns].ns_type.index();
        let processes: BTreeSet<u32> = self.tasks.values().filter(|k| k.slots[t] == ns).map(|k| k.tgid).collect();
        u32::try_from(processes.len()).unwrap()
    }

    pub fn of_type(&self, tid: u32, ns_type: NsType) -> Ns {
        self.tasks[&tid].slots[ns_type.index()]
    }
}

const _: () = assert!(CLONE_NEW_ANY & CLONE_THREAD == 0);
