//! What is known while deeds are read: generations of namespaces, processes, and the expectations so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    deed::{Deed, NsTruth, TaskTruth, What},
    members::Members,
};

/// One life of one namespace. Inode numbers come back; generations do not.
#[derive(Clone, Debug)]
pub struct Generation {
    pub ns_type: String,
    /// None until somebody could read it (a pid namespace without an init).
    pub inum: Option<u32>,
    pub id: Option<u64>,
    pub initial: bool,
    /// Made by a deed: so its creation and its end have to be reported.
    pub made: bool,
    /// CLOCK_BOOTTIME after the call that made it had returned.
    pub made_before_ns: u64,
    /// It was certainly alive at this time.
    pub alive_ns: u64,
    pub releases: Vec<Release>,
    /// Held by a file or mount at some time.
    pub pinned: bool,
    /// Made, entered or held by programs whose calls are not scripted.
    pub foreign: bool,
    pub scenario: String,
}

/// Something let go of a namespace.
#[derive(Clone, Debug)]
pub struct Release {
    pub via: String,
    pub pid: u32,
    /// The release is not older than this.
    pub not_before_ns: u64,
    /// Position among the deeds says nothing about when it happened.
    pub early: bool,
}

/// The task a line has to name.
#[derive(Clone, Debug)]
pub struct Who {
    pub pid: u32,
    pub tid: Option<u32>,
    /// The rest is only known of scripted tasks.
    pub more: Option<TaskTruth>,
}

/// One line that has to come.
#[derive(Clone, Debug)]
pub struct Expect {
    pub event: &'static str,
    /// Index into [`Book::generations`]; None for `denied`.
    pub generation: Option<usize>,
    /// Type asked for, of a `denied`.
    pub ns_type: Option<String>,
    pub who: Option<Who>,
    /// Acceptable `cause.via`; empty = any.
    pub via: Vec<String>,
    /// `CLONE_NEW*` flags of the call.
    pub flags: Option<u64>,
    pub errno: Option<String>,
    /// CLOCK_BOOTTIME between which it happened.
    pub from_ns: Option<u64>,
    pub to_ns: Option<u64>,
    /// For messages: which deed asks for it.
    pub origin: String,
}

/// Everything learned from the deeds.
#[derive(Debug, Default)]
pub struct Book {
    pub generations: Vec<Generation>,
    pub expects: Vec<Expect>,
    /// Processes that the actor scripted: whatever is reported of them has to be expected.
    pub pids: BTreeSet<u32>,
    /// Processes that do more than the deeds tell.
    pub foreign: BTreeSet<u32>,
    /// "scenario: why" of what could not be performed here.
    pub skipped: Vec<String>,
    /// Scenarios that did not end well.
    pub failed: Vec<String>,
    pub first_ns: u64,
    pub(super) current: HashMap<(String, u32), usize>,
    pub(super) members: Members,
    /// tid → pid namespace that its next child will make readable.
    pub(super) pending_pid: HashMap<u32, usize>,
    pub(super) initial: BTreeMap<String, NsTruth>,
}

impl Book {
    /// Takes one deed in.
    pub fn learn(&mut self, deed: &Deed) {
        if self.first_ns == 0 {
            self.first_ns = deed.before_ns;
        }
        match &deed.what {
            What::Begin { initial } => self.begin(initial),
            What::Call { call, flags, errno, before, after } => {
                self.scripted(before.pid);
                match errno {
                    None => self.changed(deed, call, *flags, before, after),
                    Some(errno) => self.denied(deed, call, *flags, errno, before),
                }
            }
            What::Clone { call, flags, errno, creator, child } => {
                self.scripted(creator.pid);
                match (errno, child) {
                    (None, Some(child)) => self.cloned(deed, call, *flags, creator, child),
                    (errno, _) => {
                        let errno = errno.as_deref().unwrap_or("");
                        self.denied(deed, call, *flags, errno, creator);
                    }
                }
            }
            What::Thread { task } => {
                self.scripted(task.pid);
                self.members.place(task);
            }
            What::Exit { task, process, early } => self.exited(deed, task, *process, *early),
            What::Pin { ns_type, ns, via, task, first } => self.pin(deed, ns_type, *ns, via, task, *first),
            What::Unpin { ns_type, ns, via, task, last } => self.unpin(deed, ns_type, *ns, via, task, *last),
            What::Alive { ns_type, ns } => {
                let generation = self.generation(ns_type, *ns);
                self.generations[generation].alive_ns = deed.after_ns;
            }
            What::Foreign { pid, .. } => {
                self.foreign.insert(*pid);
            }
            What::Told { event, ns_type, ns, pid, via } => self.told(deed, event, ns_type, *ns, *pid, via),
            What::Skip { why } => self.skipped.push(format!("{}: {why}", deed.scenario)),
            What::End { ok, detail } => {
                if !ok {
                    self.failed.push(format!("{}: {detail}", deed.scenario));
                }
            }
        }
    }

    pub(super) fn scripted(&mut self, pid: u32) {
        if !self.foreign.contains(&pid) {
            self.pids.insert(pid);
        }
    }

    fn begin(&mut self, initial: &BTreeMap<String, NsTruth>) {
        if !self.initial.is_empty() {
            return;
        }
        self.initial.clone_from(initial);
        for (slot, ns) in initial {
            if !slot.ends_with("_for_children") {
                let index = self.add(slot, Some(*ns), "");
                self.generations[index].initial = true;
            }
        }
    }

    /// A new generation; it takes the inode number over.
    pub(super) fn add(&mut self, ns_type: &str, ns: Option<NsTruth>, scenario: &str) -> usize {
        let index = self.generations.len();
        self.generations.push(Generation {
            ns_type: ns_type.to_owned(),
            inum: ns.map(|n| n.inum),
            id: ns.and_then(|n| n.id),
            initial: false,
            made: false,
            made_before_ns: 0,
            alive_ns: 0,
            releases: Vec::new(),
            pinned: false,
            foreign: false,
            scenario: scenario.to_owned(),
        });
        if let Some(ns) = ns {
            self.current.insert((ns_type.to_owned(), ns.inum), index);
        }
        index
    }

    /// The generation that bears this name now; one that existed before, when no deed made it.
    pub(super) fn generation(&mut self, ns_type: &str, ns: NsTruth) -> usize {
        if let Some(&index) = self.current.get(&(ns_type.to_owned(), ns.inum)) {
            let known = self.generations[index].id;
            if known.is_none() || ns.id.is_none() || known == ns.id {
                self.generations[index].id = known.or(ns.id);
                return index;
            }
        }
        self.add(ns_type, Some(ns), "")
    }

    pub(super) fn make(&mut self, deed: &Deed, ns_type: &str, ns: Option<NsTruth>) -> usize {
        let index = self.add(ns_type, ns, &deed.scenario);
        let generation = &mut self.generations[index];
        generation.made = true;
        generation.made_before_ns = deed.after_ns;
        index
    }

    pub(super) fn is_initial(&self, slot: &str, ns: NsTruth) -> bool {
        self.initial.get(slot).is_some_and(|i| i.inum == ns.inum)
    }

    pub(super) fn release(&mut self, generation: usize, via: &str, pid: u32, deed: &Deed, early: bool) {
        self.generations[generation].releases.push(Release {
            via: via.to_owned(),
            pid,
            not_before_ns: deed.before_ns,
            early,
        });
    }

    pub(super) fn expect(&mut self, event: &'static str, deed: &Deed, generation: usize) -> &mut Expect {
        let origin = format!("{} ({})", deed.scenario, describe(deed));
        self.expects.push(Expect {
            event,
            generation: Some(generation),
            ns_type: None,
            who: None,
            via: Vec::new(),
            flags: None,
            errno: None,
            from_ns: None,
            to_ns: None,
            origin,
        });
        self.expects.last_mut().expect("just pushed")
    }
}

impl Expect {
    pub(super) fn by(&mut self, task: &TaskTruth) -> &mut Self {
        self.who = Some(Who { pid: task.pid, tid: Some(task.tid), more: Some(task.clone()) });
        self
    }

    pub(super) fn via(&mut self, via: &str) -> &mut Self {
        self.via = vec![via.to_owned()];
        self
    }

    pub(super) fn within(&mut self, deed: &Deed) -> &mut Self {
        self.from_ns = Some(deed.before_ns);
        self.to_ns = Some(deed.after_ns);
        self
    }
}

fn describe(deed: &Deed) -> String {
    match &deed.what {
        What::Call { call, flags, before, .. } => format!("{call} {flags:#x} by {}", before.pid),
        What::Clone { call, flags, creator, child, .. } => {
            let child = child.as_ref().map_or(0, |c| c.pid);
            format!("{call} {flags:#x} by {} of {child}", creator.pid)
        }
        What::Exit { task, .. } => format!("exit of {}/{}", task.pid, task.tid),
        What::Pin { via, task, .. } | What::Unpin { via, task, .. } => format!("{via} by {}", task.pid),
        What::Told { event, pid, .. } => format!("told {event} by {pid:?}"),
        _ => String::new(),
    }
}
