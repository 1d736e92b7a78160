//! The running kernel as a [`Source`]: records from the ring, and what only user space can tell.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use anyhow::Context;
use nstrace_common::layout::Layout;

use super::{
    Source,
    endings::Endings,
    fact::{Origins, Written},
    losses::{Loss, Losses},
    order::Order,
    places::Places,
    recensus::Recensus,
    recount,
};
use crate::{
    decode::decode,
    discover::{Missed, Proc, clock, liveness::NsHandles, snapshot},
    event::{Event, Stamp, Stamped},
    kernel::{self, Drained, Surroundings, Tracer, report::Report},
    ns::{NsName, NsType, Slot},
};

/// How often the clocks and the loss counters are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// A wall clock that moved by more than this against the boot clock was set: later lines need a new anchor.
const CLOCK_TOLERANCE_NS: u64 = 1_000_000;

/// Attached programs and everything around them. Dropping it detaches.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct Live {
    tracer: Tracer,
    proc: Proc,
    places: Places,
    endings: Option<Endings>,
    losses: Losses,
    order: Order,
    /// Endings that were found wait for this sync of the ring.
    ends_after: Option<u64>,
    /// Somebody wants to know what was lost until this boot time, which is known after this sync of the ring.
    account_after: Option<(u64, u64)>,
    anchor: clock::Anchor,
    housekeeping: Instant,
    /// The first events were handed out.
    started: bool,
    recensus: Recensus,
    /// What the census could not read, for one warning.
    missed: Missed,
    origins: Origins,
}

impl Live {
    /// Attaches everything; the snapshot follows with the first [`Source::next`].
    ///
    /// # Errors
    /// One sentence with its remedy: no privileges, no BTF, no programs in this binary.
    pub fn open(options: &kernel::Options) -> anyhow::Result<Self> {
        let proc = Proc::default();
        let (surroundings, handles) = survey(&proc);
        let tracer = kernel::start(options, &surroundings)?;
        let endings = if tracer.polls_for_destruction() { handles.map(Endings::new) } else { None };
        Ok(Self {
            tracer,
            places: Places::find(&proc),
            proc,
            endings,
            losses: Losses::default(),
            order: Order::default(),
            ends_after: None,
            account_after: None,
            anchor: clock::Anchor::read(),
            housekeeping: Instant::now(),
            started: false,
            recensus: Recensus::default(),
            missed: Missed::default(),
            origins: Origins::default(),
        })
    }

    /// What is seen and what is not.
    pub fn report(&self) -> &Report {
        &self.tracer.report
    }

    /// Where the kernel's structure members lie, as the programs were told.
    pub fn layout(&self) -> &Layout {
        &self.tracer.layout
    }

    /// From now on the bytes behind the events of each [`Source::next`] are there until the following one.
    pub fn keep_origins(&mut self) {
        self.origins.keep = true;
    }

    /// Where the events of the last [`Source::next`] came from.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// What the snapshot could not read.
    pub fn missed(&self) -> &Missed {
        &self.missed
    }

    fn start(&mut self, events: &mut Vec<Stamped>) -> anyhow::Result<()> {
        events.push(self.clock_event());
        events.push(snapshot::initial(&self.proc, None).context("cannot read the initial namespaces")?);
        self.census(events)?;
        events.push(now(Event::SnapshotEnd));
        self.started = true;
        Ok(())
    }

    fn clock_event(&self) -> Stamped {
        let stamp = Stamp { boot_ns: self.anchor.boot_ns, cpu: 0, seq: 0 };
        Stamped { stamp, event: Event::Clock { utc_ns: self.anchor.utc_ns } }
    }

    /// Every task and nsfs holder that exists, to be ended by `SnapshotEnd`. After a loss every namespace, too.
    fn census(&mut self, events: &mut Vec<Stamped>) -> anyhow::Result<()> {
        match self.tracer.read_tasks() {
            Ok(bytes) => {
                for record in kernel::iterator_records(&bytes) {
                    let stamped = decode(record)?;
                    // The tracer's own threads come and go unreported.
                    if !is_own(&stamped.event) {
                        self.places.announce(&self.proc, &stamped, events);
                        self.origins.add(events.len(), Written::Iterator, record);
                        events.push(stamped);
                    }
                }
            }
            Err(_) => {
                let mut sources = self.places.sources();
                let tasks = snapshot::tasks(&self.proc, &mut sources).context("cannot read the tasks of /proc")?;
                events.extend(tasks.events);
                self.missed.add(tasks.missed);
            }
        }
        let holders = snapshot::holders(&self.proc).context("cannot read /proc")?;
        events.extend(holders.events);
        self.missed.add(holders.missed);
        if self.started {
            events.extend(recount::living(&self.proc).unwrap_or_default());
        }
        Ok(())
    }

    /// The namespaces that were found gone.
    fn tell_ends(&mut self, events: &mut Vec<Stamped>) {
        for (NsName { ns_type, inum, id }, boot_ns) in self.endings.iter_mut().flat_map(Endings::gone) {
            let stamp = self.order.record(Stamp { boot_ns, cpu: 0, seq: 0 });
            events.push(Stamped { stamp, event: Event::Freed { inum, id, ns_type: Some(ns_type) } });
        }
    }

    fn housekeeping(&mut self, quiet: bool, events: &mut Vec<Stamped>) {
        let is_due = quiet || self.housekeeping.elapsed() >= HOUSEKEEPING;
        if !is_due && !self.losses.are_untold(&self.tracer.counters) {
            return;
        }
        self.housekeeping = Instant::now();
        let anchor = clock::Anchor::read();
        if anchor.stepped_since(self.anchor, CLOCK_TOLERANCE_NS) {
            self.anchor = anchor;
            events.push(self.clock_event());
        }
        let before = events.len();
        let mut losses = self.losses.check(&mut self.tracer.counters);
        if let Some(unreturned) = &mut self.tracer.unreturned {
            let hooks = unreturned.take(clock::boot_ns(), |tid| self.proc.is_past_namespace_calls(tid));
            losses.extend(hooks.into_iter().map(|hook| Loss { count: 1, hook: Some(hook), cgroup: None }));
        }
        for Loss { count, hook, cgroup } in losses {
            let lost = now(Event::Lost { count, hook: hook.map(Cow::Borrowed), cgroup });
            // Its records may all be among the lost ones.
            if let Some(cgroup) = cgroup {
                self.places.announce_cgroup(cgroup, lost.stamp, events);
            }
            events.push(lost);
        }
        if events.len() > before {
            self.recensus.lost(Instant::now(), || self.tracer.ring.sync());
        }
    }
}

impl Source for Live {
    fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        let mut events = Vec::new();
        self.origins.clear();
        if !self.started {
            self.start(&mut events)?;
            return Ok(Some(events));
        }
        let wait = self.endings.as_ref().map_or(wait, |endings| endings.patience().min(wait));
        let drained = self.tracer.ring.next(wait)?;
        let quiet = drained.is_none();
        let mut accounted = None;
        match drained {
            Some(Drained::Records(batch)) => {
                // What was dropped is told before what follows from that.
                self.housekeeping(false, &mut events);
                for record in batch.records() {
                    let mut stamped = decode(record)?;
                    self.losses.saw(stamped.stamp);
                    stamped.stamp = self.order.record(stamped.stamp);
                    self.places.announce(&self.proc, &stamped, &mut events);
                    self.origins.add(events.len(), Written::Ring, record);
                    events.push(stamped);
                }
            }
            Some(Drained::Until(number)) => {
                if self.recensus.drained(number) {
                    events.push(now(Event::SnapshotEnd));
                }
                if self.ends_after.is_some_and(|after| after <= number) {
                    self.ends_after = None;
                    self.tell_ends(&mut events);
                }
                accounted = self.account_after.take_if(|(after, _)| *after <= number).map(|(_, until)| until);
            }
            None => {}
        }
        self.housekeeping(quiet || accounted.is_some(), &mut events);
        if let Some(until) = accounted {
            events.push(now(Event::Accounted { until }));
        }
        // One round of questions at a time: a later one would have to wait for records that are newer still.
        if self.ends_after.is_none() && self.endings.as_mut().is_some_and(Endings::look) {
            self.ends_after = Some(self.tracer.ring.sync());
        }
        if self.recensus.is_due(Instant::now(), quiet) {
            self.census(&mut events)?;
            // Records that are older than what the census saw are applied before it: it ends when they were read.
            self.recensus.taken(self.tracer.ring.sync());
        }
        Ok(Some(events))
    }

    fn await_end(&mut self, suspects: &[NsName]) {
        if let Some(endings) = &mut self.endings {
            endings.add(suspects);
        }
    }

    fn account(&mut self) {
        if self.account_after.is_none() && self.tracer.sees_switches() {
            // First the time: what the ring held by then comes before the sync.
            let until = clock::boot_ns();
            self.account_after = Some((self.tracer.ring.sync(), until));
        }
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Stamped>> {
        self.origins.clear();
        let mut events = Vec::new();
        if self.recensus.end() {
            events.push(now(Event::SnapshotEnd));
        }
        // What was lost at the last moment is told, and repaired, too.
        self.housekeeping(true, &mut events);
        if self.recensus.forgo() {
            self.census(&mut events)?;
            events.push(now(Event::SnapshotEnd));
        }
        Ok(events)
    }

    fn skipped(&self) -> u64 {
        self.tracer.counters.skipped_in_silence()
    }
}

/// Attaches as [`Live::open`] would, looks, and detaches again.
pub fn doctor(options: &kernel::Options) -> Report {
    kernel::doctor(options, &survey(&Proc::default()).0)
}

fn survey(proc: &Proc) -> (Surroundings, Option<NsHandles>) {
    let slots = proc.initial_slots().unwrap_or_default();
    let initial = NsType::ALL.map(|t| slots.get(Slot::Member(t)).map_or(0, |ns| ns.inum));
    match NsHandles::probe(proc) {
        Ok(handles) => (Surroundings { initial, handles: Ok(()) }, Some(handles)),
        Err(error) => (Surroundings { initial, handles: Err(error.to_string()) }, None),
    }
}

fn now(event: Event) -> Stamped {
    Stamped { stamp: Stamp { boot_ns: clock::boot_ns(), cpu: 0, seq: 0 }, event }
}

fn is_own(event: &Event) -> bool {
    matches!(event, Event::SnapshotTask { task, .. } if task.tgid == std::process::id())
}
