//! Between the live source and the model: what is applied is what is recorded.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::{
    naming::{self, Naming},
    stream::Model,
    unseen::Unseen,
};
use crate::{
    detect::Severity,
    event::{Event, Stamped},
    model::{Change, What, World},
    ns::NsName,
    recording::{WriteError, Writer, document::Keyframe, entry::Kind},
    source::{
        Live, Source,
        fact::{Fact, Written},
    },
};

/// A fact on its way from the source to the model.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    written: Option<Written>,
    /// End of its bytes.
    end: usize,
}

#[derive(Debug)]
struct Desk {
    writer: Writer,
    /// The facts of the last batch, and which of them is applied next.
    waiting: Vec<Waiting>,
    bytes: Vec<u8>,
    next: usize,
    /// The time of the latest record, as [`crate::source::fact::Facts::latest`].
    latest: u64,
    naming: Naming,
    failed: Option<WriteError>,
}

impl Desk {
    fn take_in(&mut self, live: &Live, events: &[Stamped]) -> anyhow::Result<()> {
        self.waiting.clear();
        self.bytes.clear();
        self.next = 0;
        for (event, origin) in events.iter().zip(live.origins().of(events.len())) {
            match origin {
                Some((_, bytes)) => self.bytes.extend_from_slice(bytes),
                None => serde_json::to_writer(&mut self.bytes, event)?,
            }
            self.waiting.push(Waiting { written: origin.map(|(written, _)| written), end: self.bytes.len() });
        }
        Ok(())
    }

    fn record(&mut self, event: &Stamped) {
        let Some(&Waiting { written, end }) = self.waiting.get(self.next) else { return };
        let start = self.next.checked_sub(1).and_then(|i| self.waiting.get(i)).map_or(0, |before| before.end);
        self.next += 1;
        let bytes = &self.bytes[start..end];
        let fact = match written {
            Some(written) => Fact::Record(written, bytes),
            None => Fact::Told(bytes),
        };
        if written == Some(Written::Ring) || matches!(event.event, Event::Freed { .. }) {
            self.latest = event.stamp.boot_ns;
        }
        if self.failed.is_none() {
            self.failed = self.writer.fact(fact, event).err();
        }
        self.naming.meet(&event.event);
    }

    fn keyframe(&mut self, world: &World) -> Result<(), WriteError> {
        let Some(world) = world.checkpoint() else { return Ok(()) };
        if self.writer.keyframe(&Keyframe { latest: self.latest, world })?
            && let Some(all) = self.naming.all()
        {
            self.writer.document(Kind::Container, &all)?;
        }
        Ok(())
    }
}

/// The source.
pub(super) struct Recorder {
    live: Live,
    unseen: Unseen,
    desk: Rc<RefCell<Desk>>,
}

/// The model.
#[derive(Debug)]
pub(super) struct Recorded {
    world: World,
    desk: Rc<RefCell<Desk>>,
}

/// Both, on one writer.
pub(super) fn recorder(mut live: Live, world: World, writer: Writer, naming: Naming) -> (Recorder, Recorded) {
    live.keep_origins();
    let desk = Desk { writer, waiting: Vec::new(), bytes: Vec::new(), next: 0, latest: 0, naming, failed: None };
    let desk = Rc::new(RefCell::new(desk));
    (Recorder { live, unseen: Unseen::default(), desk: Rc::clone(&desk) }, Recorded { world, desk })
}

impl Recorder {
    /// The end of the recording. Facts that were not applied are none of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&self) -> Result<u64, WriteError> {
        let mut desk = self.desk.borrow_mut();
        match desk.failed.take() {
            Some(error) => Err(error),
            None => {
                if let Some(news) = desk.naming.last_news() {
                    desk.writer.document(Kind::Container, &news)?;
                }
                desk.writer.end().map(|()| desk.writer.facts())
            }
        }
    }
}

impl Source for Recorder {
    fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        let mut desk = self.desk.borrow_mut();
        if let Some(error) = desk.failed.take() {
            return Err(error.into());
        }
        desk.writer.tick()?;
        let news = desk.naming.news();
        if let Some(news) = &news {
            desk.writer.document(Kind::Container, news)?;
        }
        let mut events = self.live.next(wait)?;
        if let (Some(events), Some(news)) = (&mut events, &news) {
            events.extend(naming::told(news));
        }
        self.unseen.tell(&self.live);
        if let Some(events) = &events {
            desk.take_in(&self.live, events)?;
        }
        Ok(events)
    }

    fn await_end(&mut self, suspects: &[NsName]) {
        self.live.await_end(suspects);
    }

    fn account(&mut self) {
        self.live.account();
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Stamped>> {
        let events = self.live.finish()?;
        self.desk.borrow_mut().take_in(&self.live, &events)?;
        Ok(events)
    }

    fn skipped(&self) -> u64 {
        self.live.skipped()
    }
}

/// What must not be lost with a machine that goes down with it: a finding that somebody has to act upon.
fn is_urgent(change: &Change) -> bool {
    match &change.what {
        What::Finding(finding) => finding.severity >= Severity::High && finding.suppressed.is_none(),
        _ => false,
    }
}

impl Model for Recorded {
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>) {
        let mut desk = self.desk.borrow_mut();
        desk.record(event);
        let told = changes.len();
        self.world.apply(event, changes);
        if desk.failed.is_none() && changes[told..].iter().any(is_urgent) {
            desk.failed = desk.writer.flush().err();
        }
        if desk.failed.is_none() && desk.writer.wants_keyframe() {
            desk.failed = desk.keyframe(&self.world).err();
        }
    }

    fn take_suspects(&mut self) -> Vec<NsName> {
        self.world.take_suspects()
    }

    fn take_doubt(&mut self) -> bool {
        self.world.take_doubt()
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.world.take_notices()
    }
}
