//! A host full of containers, as records: for measuring. Numbers are made up, the mix is that of a busy container host:
//! processes come and go inside of containers, now and then a container does, and somebody enters one.

use std::collections::VecDeque;

use nstrace::{
    event::{Event, SlotSet, Stamp, Stamped},
    ns::{NsName, NsType, Slot},
};
use nstrace_common::{
    record::{self, Header, NsRef, hook, kind},
    slots::{CLONE_FLAG, Slots},
    task::{PF_EXITING, PID_LEVELS, Task},
};
use zerocopy::IntoBytes;

/// What runc asks for: all types but user.
const FLAGS: u64 =
    CLONE_FLAG[0] | CLONE_FLAG[1] | CLONE_FLAG[2] | CLONE_FLAG[3] | CLONE_FLAG[4] | CLONE_FLAG[6] | CLONE_FLAG[7];

#[derive(Clone, Debug)]
struct Container {
    slots: Slots,
    /// (tid, start)
    tasks: VecDeque<(u32, u64)>,
}

#[derive(Debug)]
pub struct Stream {
    pub records: Vec<Vec<u8>>,
    now: u64,
    seq: u64,
    tid: u32,
    inum: u32,
    initial: Slots,
    containers: VecDeque<Container>,
    random: u64,
}

impl Stream {
    pub fn new() -> Self {
        let mut initial = Slots::default();
        for (i, slot) in Slot::ALL.into_iter().enumerate() {
            let n = slot.ns_type().index() + 1;
            (initial.inum[i], initial.id[i]) = (4_026_531_834 + u32::try_from(n).unwrap(), n as u64);
        }
        Self {
            records: Vec::new(),
            now: 1_000_000_000,
            seq: 0,
            tid: 1000,
            inum: 4_026_532_000,
            initial,
            containers: VecDeque::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The events of user space that every stream begins with.
    pub fn start(&self) -> Vec<Stamped> {
        let mut slots = SlotSet::default();
        for (i, slot) in Slot::ALL.into_iter().enumerate() {
            let (inum, id) = (self.initial.inum[i], Some(self.initial.id[i]));
            slots.set(slot, Some(NsName { ns_type: slot.ns_type(), inum, id }));
        }
        [Event::Clock { utc_ns: 1 }, Event::Initial { slots }, Event::SnapshotEnd]
            .into_iter()
            .map(|event| Stamped { stamp: Stamp { boot_ns: 1, cpu: 0, seq: 0 }, event })
            .collect()
    }

    /// xorshift64*: the same stream in every run.
    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        usize::try_from(self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    }

    fn header(&mut self, kind: u16, hook: u16) -> Header {
        self.seq += 1;
        self.now += 700;
        Header { seq: self.seq, boot_ns: self.now, kind, hook, cpu: u32::try_from(self.seq % 8).unwrap() }
    }

    fn task((tid, start_boottime): (u32, u64), level: u32, flags: u32) -> Task {
        let mut pids = [0; PID_LEVELS];
        (pids[0], pids[1]) = (tid, if level > 0 { tid % 1000 } else { 0 });
        Task {
            start_boottime,
            cgroup: u64::from(tid / 64),
            cap_effective: 0xa804_25fb,
            tid,
            tgid: tid,
            uid: 0,
            euid: 0,
            flags,
            level,
            pids,
            former_tid: 0,
            comm: *b"worker/0\0\0\0\0\0\0\0\0",
        }
    }

    fn next_task(&mut self) -> (u32, u64) {
        self.tid += 1;
        (self.tid, self.now + 300)
    }

    fn push(&mut self, record: &(impl IntoBytes + zerocopy::Immutable)) {
        self.records.push(record.as_bytes().to_vec());
    }

    fn call(nr: i32, flags: u64) -> record::Call {
        record::Call { flags, nr, ret: 0, fd: -1, compat: 0 }
    }

    pub fn start_container(&mut self) {
        let runc = (999, 5_000);
        let child = self.next_task();
        let mut slots = self.initial;
        for ns_type in NsType::ALL.into_iter().filter(|t| FLAGS & t.clone_flag() != 0) {
            self.inum += 1;
            let ns = NsRef {
                id: u64::from(self.inum) * 3,
                inum: self.inum,
                clone_flag: u32::try_from(ns_type.clone_flag()).unwrap(),
            };
            for (i, slot) in Slot::ALL.into_iter().enumerate() {
                if slot.ns_type() == ns_type {
                    (slots.inum[i], slots.id[i]) = (ns.inum, ns.id);
                }
            }
            let user = NsType::User.index();
            let owner = NsRef { id: self.initial.id[user], inum: self.initial.inum[user], clone_flag: 0x1000_0000 };
            let header = self.header(kind::NAMESPACE, hook::NS_TREE_ADD);
            let parent = NsRef::default();
            self.push(&record::Namespace { header, ns, owner, parent, level: 1, owner_uid: u32::MAX });
        }
        let header = self.header(kind::FORK, hook::TASK_NEWTASK);
        let (creator, child_task) = (Self::task(runc, 0, 0), Self::task(child, 1, 0));
        self.push(&record::Fork { header, call: Self::call(435, FLAGS), creator, child: child_task, slots });
        self.containers.push_back(Container { slots, tasks: VecDeque::from([child]) });
        self.exec(self.containers.len() - 1);
    }

    pub fn fork(&mut self, container: usize) {
        let child = self.next_task();
        let header = self.header(kind::FORK, hook::TASK_NEWTASK);
        let container = &mut self.containers[container];
        let (creator, child_task) = (Self::task(container.tasks[0], 1, 0), Self::task(child, 1, 0));
        let slots = container.slots;
        container.tasks.push_back(child);
        self.push(&record::Fork { header, call: Self::call(435, 0x100), creator, child: child_task, slots });
    }

    fn exec(&mut self, container: usize) {
        let header = self.header(kind::EXEC, hook::SCHED_PROCESS_EXEC);
        let container = &self.containers[container];
        let task = Self::task(*container.tasks.back().unwrap(), 1, 0);
        self.push(&record::TaskState { header, task, slots: container.slots });
    }

    fn exit(&mut self, container: usize) {
        let header = self.header(kind::EXIT, hook::SCHED_PROCESS_EXIT);
        let container = &mut self.containers[container];
        let task = if container.tasks.len() > 1 { container.tasks.remove(1) } else { container.tasks.pop_front() };
        let slots = container.slots;
        self.push(&record::TaskState { header, task: Self::task(task.unwrap(), 1, PF_EXITING), slots });
    }

    /// nsenter: setns into the net namespace, a child there, and back.
    fn enter(&mut self, container: usize) {
        let visitor = (998, 4_000);
        let net = NsType::Net.index();
        let mut inside = self.initial;
        let slots = self.containers[container].slots;
        (inside.inum[net], inside.id[net]) = (slots.inum[net], slots.id[net]);
        for (before, after) in [(self.initial, inside), (inside, self.initial)] {
            let header = self.header(kind::TRANSITION, hook::SWITCH_TASK_NAMESPACES);
            let (call, task) = (Self::call(308, CLONE_FLAG[net]), Self::task(visitor, 0, 0));
            self.push(&record::Transition { header, call, task, before, after, entered_boot_ns: 0 });
            let header = self.header(kind::RETURN, hook::SETNS);
            self.push(&record::Return { header, call, task });
        }
    }

    fn stop_container(&mut self) {
        while !self.containers[0].tasks.is_empty() {
            self.exit(0);
        }
        let gone = self.containers.pop_front().unwrap();
        for ns_type in NsType::ALL.into_iter().filter(|t| FLAGS & t.clone_flag() != 0) {
            let header = self.header(kind::FREED, hook::PROC_FREE_INUM);
            let ns = NsRef { id: 0, inum: gone.slots.inum[ns_type.index()], clone_flag: 0 };
            self.push(&record::Freed { header, ns });
        }
    }

    /// Containers with this many tasks each.
    pub fn fill(&mut self, containers: usize, tasks: usize) {
        for _ in 0..containers {
            self.start_container();
            for _ in 1..tasks {
                self.fork(self.containers.len() - 1);
            }
        }
    }

    /// Life goes on for about this many records; then the stream could go on for ever with as many tasks as now.
    pub fn churn(&mut self, records: usize) {
        let end = self.records.len() + records;
        while self.records.len() < end {
            let container = self.random(self.containers.len());
            match self.random(400) {
                0 => {
                    let tasks = self.containers[0].tasks.len();
                    self.stop_container();
                    self.start_container();
                    for _ in 1..tasks {
                        self.fork(self.containers.len() - 1);
                    }
                }
                1..10 => self.enter(container),
                _ => {
                    self.fork(container);
                    self.exec(container);
                    self.exit(container);
                }
            }
        }
    }
}
