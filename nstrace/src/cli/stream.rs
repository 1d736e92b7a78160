//! The pipeline of every verb that streams: source → world → selection → view → output.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    exit::Failure,
    held::{Held, Line},
    output::Sink,
    selection::{Admission, Selection},
    shutdown::Shutdown,
};
use crate::{
    detect::Severity,
    event::{Event, Stamped},
    model::{Change, What},
    ns::NsName,
    source::Source,
    view::View,
};

/// Longest wait for events between two looks at the clock and the shutdown request.
const WAIT: Duration = Duration::from_millis(100);
/// When the end is due, a source may take this long to hand over what it has seen before.
const DRAIN: Duration = Duration::from_millis(500);
const DRAIN_WAIT: Duration = Duration::from_millis(50);
/// And this long where lines wait for the name of their container: engines are first asked 300 ms after it was met.
const DRAIN_NAMES: Duration = Duration::from_secs(1);

/// What turns events into changes: the world, or a script in tests.
pub trait Model {
    /// Takes in one event and appends what it changed.
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>);

    /// Namespaces without any known member since the last call, for [`Source::await_end`].
    fn take_suspects(&mut self) -> Vec<NsName>;

    /// Whether there is something to [`Source::account`] for since the last call.
    fn take_doubt(&mut self) -> bool {
        false
    }

    /// What is to be said on stderr since the last call.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// When a stream ends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub duration: Option<Duration>,
    /// Printed changes; those of the start-up snapshot do not count.
    pub count: Option<u64>,
    /// A fact whose first changes reach the count is printed to its last one: what is printed is what is recorded.
    pub whole_facts: bool,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its source has no more.
    Source,
    Limit,
    Requested,
}

/// What a stream says of itself at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Printed changes, those of the start-up snapshot left out.
    pub events: u64,
    /// Records lost, whether or not a line said so.
    pub lost: u64,
    /// Findings, printed or not, suppressed ones left out.
    pub findings: u64,
    /// The highest severity among them.
    pub worst: Option<Severity>,
    /// Skipped runs of programs that, but for chance, had nothing to say: see [`Source::skipped`].
    pub skipped: u64,
    pub end: End,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events {}, lost {}, findings {}", self.events, self.lost, self.findings)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, "; {skipped} program runs skipped that had next to nothing to tell"),
        }
    }
}

/// Prints what `source` brings, as `view` shows it, until a limit is reached, `shutdown` is requested or `source` ends.
/// Each line is one write. Lines come in the order of their `seq`, but for those of a container whose name was asked for and
/// was told only later.
///
/// # Errors
/// [`Failure::OutputGone`] when the reader has left, else what the output or the source failed of.
#[expect(clippy::too_many_arguments, reason = "the pipeline's parts, each named once")]
pub fn run_stream(
    source: &mut dyn Source,
    world: &mut dyn Model,
    selection: &Selection,
    view: &View,
    heading: bool,
    limits: Limits,
    shutdown: &Shutdown,
    out: &mut dyn Sink,
) -> Result<Summary, Failure> {
    let summary = Summary { events: 0, lost: 0, findings: 0, worst: None, skipped: 0, end: End::Limit };
    let mut stream = Stream {
        world,
        selection: selection.clone(),
        view,
        heading,
        count: limits.count,
        whole_facts: limits.whole_facts,
        out,
        summary,
        written: 0,
        changes: Vec::new(),
        line: Vec::new(),
        held: Held::default(),
    };
    let deadline = limits.duration.and_then(|duration| Instant::now().checked_add(duration));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if shutdown.requested() {
            return stream.drain(source, End::Requested);
        }
        if left == Some(Duration::ZERO) {
            return stream.drain(source, End::Limit);
        }
        match source.next(left.map_or(WAIT, |left| left.min(WAIT)))? {
            None => return Ok(Summary { end: End::Source, ..stream.summary }),
            Some(events) => {
                let written = stream.written;
                if stream.take(source, &events)? == Reached::Limit {
                    return Ok(stream.summary);
                }
                if stream.written == written && stream.out.is_gone() {
                    return Err(Failure::OutputGone);
                }
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Reached {
    Nothing,
    Limit,
}

struct Stream<'a> {
    world: &'a mut dyn Model,
    selection: Selection,
    view: &'a View,
    /// Still to be printed.
    heading: bool,
    count: Option<u64>,
    whole_facts: bool,
    out: &'a mut dyn Sink,
    summary: Summary,
    /// Lines of changes, those of the start-up snapshot included.
    written: u64,
    /// Reused.
    changes: Vec<Change>,
    /// Reused.
    line: Vec<u8>,
    held: Held,
}

impl Stream<'_> {
    /// What happened before the end shall be in the output though its records are still on their way.
    fn drain(mut self, source: &mut dyn Source, end: End) -> Result<Summary, Failure> {
        let start = Instant::now();
        while start.elapsed() < if self.held.is_empty() { DRAIN } else { DRAIN_NAMES } {
            match source.next(DRAIN_WAIT)? {
                Some(events) if !events.is_empty() => {
                    if self.take(source, &events)? == Reached::Limit {
                        break;
                    }
                }
                Some(_) if !self.held.is_empty() => {}
                _ => break,
            }
        }
        let last = source.finish()?;
        self.take(source, &last)?;
        Ok(Summary { end, skipped: source.skipped(), ..self.summary })
    }

    fn take(&mut self, source: &mut dyn Source, events: &[Stamped]) -> Result<Reached, Failure> {
        // A first event means that everything is attached: whatever happens after the heading has been read is seen.
        if self.heading && !events.is_empty() {
            self.heading = false;
            self.line.clear();
            self.view.heading(&mut self.line);
            self.out.write_all(&self.line)?;
        }
        for event in events {
            let mut changes = std::mem::take(&mut self.changes);
            self.world.apply(event, &mut changes);
            let mut reached = self.release(&event.event)?;
            for change in changes.drain(..) {
                if self.print(&change)? == Reached::Limit {
                    reached = Reached::Limit;
                    if !self.whole_facts {
                        break;
                    }
                }
            }
            self.changes = changes;
            if reached == Reached::Limit {
                self.notices();
                return Ok(reached);
            }
        }
        self.notices();
        let suspects = self.world.take_suspects();
        if !suspects.is_empty() {
            source.await_end(&suspects);
        }
        if self.world.take_doubt() {
            source.account();
        }
        Ok(Reached::Nothing)
    }

    fn notices(&mut self) {
        for notice in self.world.take_notices().into_iter().chain(self.held.complaint()) {
            super::say(&super::one_line(&notice));
        }
    }

    fn print(&mut self, change: &Change) -> Result<Reached, Failure> {
        if let What::Lost { count, .. } = change.what {
            self.summary.lost = self.summary.lost.saturating_add(count);
        }
        if let What::Finding(finding) = &change.what
            && finding.suppressed.is_none()
            && self.selection.is_in_time(change)
        {
            self.summary.findings += 1;
            self.summary.worst = self.summary.worst.max(Some(finding.severity));
        }
        let admission = self.selection.admits(change);
        if admission == Admission::No {
            return Ok(Reached::Nothing);
        }
        let mut line =
            Line { bytes: std::mem::take(&mut self.line), is_snapshot: matches!(change.what, What::Snapshot { .. }) };
        line.bytes.clear();
        self.view.line(change, &mut line.bytes);
        match (admission, &change.container) {
            (Admission::IfNamed, Some(container)) => {
                self.held.hold(&container.id, line);
                Ok(Reached::Nothing)
            }
            _ => {
                let reached = self.write(&line);
                self.line = line.bytes;
                reached
            }
        }
    }

    fn write(&mut self, line: &Line) -> Result<Reached, Failure> {
        self.out.write_all(&line.bytes)?;
        self.written += 1;
        if !line.is_snapshot {
            self.summary.events += 1;
        }
        Ok(if self.count.is_some_and(|count| self.summary.events >= count) { Reached::Limit } else { Reached::Nothing })
    }

    /// What an engine told may let lines go.
    fn release(&mut self, event: &Event) -> Result<Reached, Failure> {
        let Event::Container(facts) = event else { return Ok(Reached::Nothing) };
        let is_wanted = self.selection.know(&facts.id, facts.name.as_deref());
        let lines = self.held.take(&facts.id);
        let mut reached = Reached::Nothing;
        for line in lines.iter().filter(|_| is_wanted) {
            if self.write(line)? == Reached::Limit {
                reached = Reached::Limit;
                if !self.whole_facts {
                    break;
                }
            }
        }
        Ok(reached)
    }
}
