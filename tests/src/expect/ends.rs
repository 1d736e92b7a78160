//! Exits, holders, what foreign programs did, and the end of every namespace that was made.

use std::collections::BTreeSet;

use super::book::{Book, Expect, Who};
use crate::{
    deed::{Deed, NsTruth, TaskTruth},
    kinds::type_of_slot,
};

impl Book {
    /// Reported for namespaces that are not initial, once per process and namespace.
    pub(super) fn exited(&mut self, deed: &Deed, task: &TaskTruth, process: bool, early: bool) {
        self.scripted(task.pid);
        self.members.place(task);
        let slots: BTreeSet<(String, NsTruth)> = if process {
            self.members.remove_process(task.pid).into_values().flatten().collect()
        } else {
            self.members.remove_thread(task);
            task.ns.iter().map(|(slot, ns)| (slot.clone(), *ns)).collect()
        };
        // Which of several threads goes last is not told.
        let several = process && slots.iter().any(|(slot, ns)| task.ns.get(slot) != Some(ns));
        for (slot, ns) in slots {
            if self.is_initial(&slot, ns) {
                continue;
            }
            let generation = self.generation(type_of_slot(&slot), ns);
            self.release(generation, "exit", task.pid, deed, early);
            if slot.ends_with("_for_children") || (!process && self.members.shared(task, &slot, ns)) {
                continue;
            }
            let expect = self.expect("left", deed, generation).by(task).via("exit");
            expect.from_ns = Some(deed.before_ns);
            if several {
                expect.who = Some(Who { pid: task.pid, tid: None, more: None });
            }
        }
        if let Some(generation) = self.pending_pid.remove(&task.tid) {
            self.release(generation, "exit", task.pid, deed, early);
        }
    }

    pub(super) fn pin(&mut self, deed: &Deed, ns_type: &str, ns: NsTruth, via: &str, task: &TaskTruth, first: bool) {
        self.scripted(task.pid);
        let generation = self.generation(ns_type, ns);
        self.generations[generation].pinned = true;
        self.generations[generation].alive_ns = deed.after_ns;
        if first {
            self.expect("pinned", deed, generation).by(task).via(via).within(deed);
        }
    }

    pub(super) fn unpin(&mut self, deed: &Deed, ns_type: &str, ns: NsTruth, via: &str, task: &TaskTruth, last: bool) {
        self.scripted(task.pid);
        let generation = self.generation(ns_type, ns);
        self.generations[generation].pinned = true;
        self.release(generation, via, task.pid, deed, false);
        if last {
            let expect = self.expect("unpinned", deed, generation).by(task).via(via).within(deed);
            if via == "exit" {
                expect.to_ns = None;
            }
        }
    }

    pub(super) fn told(
        &mut self,
        deed: &Deed,
        event: &str,
        ns_type: &str,
        ns: NsTruth,
        pid: Option<u32>,
        via: &[String],
    ) {
        // Nothing was said of it before it was made: an older owner of its number is another life.
        let generation =
            if event == "created" { self.make(deed, ns_type, Some(ns)) } else { self.generation(ns_type, ns) };
        let event = match event {
            "created" => "created",
            "joined" => "joined",
            "left" => "left",
            "pinned" => "pinned",
            "unpinned" => "unpinned",
            other => panic!("the actor tells of an unknown event {other:?}"),
        };
        let life = &mut self.generations[generation];
        life.foreign = true;
        if event.ends_with("pinned") {
            life.pinned = true;
        }
        if let Some(pid) = pid {
            self.foreign.insert(pid);
            self.pids.remove(&pid);
        }
        let expect = self.expect(event, deed, generation);
        expect.who = pid.map(|pid| Who { pid, tid: None, more: None });
        expect.via = via.to_vec();
    }

    /// All deeds are known: every namespace they made has ended.
    pub(super) fn close(&mut self) {
        for index in 0..self.generations.len() {
            let life = &self.generations[index];
            if !life.made {
                continue;
            }
            // Credentials and struct pid outlive their task by an RCU period and more, so the last release of these
            // two types is not always a member's.
            let exact = !life.foreign && !matches!(life.ns_type.as_str(), "user" | "pid");
            let last = life.releases.last().filter(|last| exact && !last.early);
            let from_ns = life.releases.iter().map(|r| r.not_before_ns).chain([life.alive_ns]).max();
            self.expects.push(Expect {
                event: "destroyed",
                generation: Some(index),
                ns_type: None,
                who: None,
                via: last.map(|last| vec![last.via.clone()]).unwrap_or_default(),
                flags: None,
                errno: None,
                from_ns,
                to_ns: None,
                origin: format!("{} (end of a {} namespace)", life.scenario, life.ns_type),
            });
        }
    }
}
