//! unshare, setns, exec, clone and their failures.

use super::book::{Book, Expect, Who};
use crate::{
    deed::{Deed, NsTruth, TaskTruth},
    kinds::{SLOTS, kind, kinds_of, type_of_slot},
};

impl Book {
    /// A call of a living task that went well: created, then left, then joined.
    pub(super) fn changed(&mut self, deed: &Deed, call: &str, flags: u64, before: &TaskTruth, after: &TaskTruth) {
        self.members.place(before);
        let makes = if call == "unshare" { flags } else { 0 };
        let flags_said = if call == "exec" { 0 } else { flags };
        let changes: Vec<(&str, Option<NsTruth>, Option<NsTruth>)> = SLOTS
            .into_iter()
            .map(|slot| (slot, before.ns.get(slot).copied(), after.ns.get(slot).copied()))
            .filter(|(_, old, new)| old != new)
            .collect();
        for &(slot, _, new) in &changes {
            let ns_type = type_of_slot(slot);
            if makes & kind(ns_type).flag != 0 && !self.already_made(deed, ns_type, new) {
                let generation = self.make(deed, ns_type, new);
                if new.is_none() {
                    self.pending_pid.insert(before.tid, generation);
                }
                self.expect("created", deed, generation).by(before).via(call).within(deed).flags = Some(flags_said);
            }
        }
        let members = || changes.iter().filter(|(slot, _, _)| !slot.ends_with("_for_children"));
        for &(slot, old, _) in members() {
            let Some(old) = old else { continue };
            let generation = self.generation(slot, old);
            if !self.members.shared(before, slot, old) {
                self.expect("left", deed, generation).by(before).via(call).within(deed).flags = Some(flags_said);
            }
        }
        for &(slot, _, new) in members() {
            let Some(new) = new else { continue };
            let generation = self.generation(slot, new);
            if !self.members.shared(before, slot, new) {
                self.expect("joined", deed, generation).by(after).via(call).within(deed).flags = Some(flags_said);
            }
        }
        for (slot, old, _) in changes {
            if let Some(old) = old.filter(|&old| !self.is_initial(slot, old)) {
                let generation = self.generation(type_of_slot(slot), old);
                self.release(generation, call, before.pid, deed, false);
            }
        }
        self.members.place(after);
    }

    /// clone and unshare fill two slots with one new namespace (time and `time_for_children`).
    fn already_made(&self, deed: &Deed, ns_type: &str, new: Option<NsTruth>) -> bool {
        new.is_some_and(|new| {
            self.current.get(&(ns_type.to_owned(), new.inum)).is_some_and(|&index| {
                let generation = &self.generations[index];
                generation.made && generation.made_before_ns == deed.after_ns && generation.id == new.id
            })
        })
    }

    /// A child was made, with or without new namespaces.
    pub(super) fn cloned(&mut self, deed: &Deed, call: &str, flags: u64, creator: &TaskTruth, child: &TaskTruth) {
        self.scripted(child.pid);
        self.members.place(creator);
        for kind in kinds_of(flags) {
            let generation = self.make(deed, kind.name, child.ns.get(kind.name).copied());
            self.expect("created", deed, generation).by(creator).via(call).within(deed).flags = Some(flags);
        }
        // The first child after unshare(CLONE_NEWPID) makes the new pid namespace readable.
        if let Some(&pid_ns) = child.ns.get("pid")
            && flags & kind("pid").flag == 0
            && creator.ns.get("pid") != Some(&pid_ns)
            && let Some(generation) = self.pending_pid.remove(&creator.tid)
        {
            let known = &mut self.generations[generation];
            (known.inum, known.id) = (Some(pid_ns.inum), pid_ns.id);
            self.current.insert(("pid".to_owned(), pid_ns.inum), generation);
        }
        for (slot, &ns) in child.ns.iter().filter(|(slot, _)| !slot.ends_with("_for_children")) {
            if !self.is_initial(slot, ns) {
                let generation = self.generation(slot, ns);
                self.expect("joined", deed, generation).by(child).via(call).within(deed).flags = Some(flags);
            }
        }
        self.members.place(child);
    }

    /// One line per type asked for; of setns with nstype 0 one line whose type may be unknown.
    pub(super) fn denied(&mut self, deed: &Deed, call: &str, flags: u64, errno: &str, task: &TaskTruth) {
        let mut types: Vec<Option<String>> = kinds_of(flags).map(|k| Some(k.name.to_owned())).collect();
        if types.is_empty() && call == "setns" {
            types.push(None);
        }
        for ns_type in types {
            self.expects.push(Expect {
                event: "denied",
                generation: None,
                ns_type,
                who: Some(Who { pid: task.pid, tid: Some(task.tid), more: Some(task.clone()) }),
                via: vec![call.to_owned()],
                flags: Some(flags),
                errno: Some(errno.to_owned()),
                from_ns: Some(deed.before_ns),
                to_ns: Some(deed.after_ns),
                origin: format!("{} ({call} {flags:#x} by {}: {errno})", deed.scenario, task.pid),
            });
        }
    }
}
