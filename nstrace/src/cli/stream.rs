//! The pipeline of every verb that streams: source → world → selection → view → output.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{exit::Failure, output::Sink, selection::Selection, shutdown::Shutdown};
use crate::{
    detect::Severity,
    event::Stamped,
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

/// What turns events into changes: the world, or a script in tests.
pub trait Model {
    /// Takes in one event and appends what it changed.
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>);

    /// Namespaces without any known member since the last call, for [`Source::await_end`].
    fn take_suspects(&mut self) -> Vec<NsName>;

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
            skipped => write!(f, "; {skipped} looks for a failed clone skipped"),
        }
    }
}

/// Prints what `source` brings, as `view` shows it, until a limit is reached, `shutdown` is requested or `source` ends.
/// Each line is one write.
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
        selection,
        view,
        heading,
        count: limits.count,
        whole_facts: limits.whole_facts,
        out,
        summary,
        written: 0,
        changes: Vec::new(),
        line: Vec::new(),
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
    selection: &'a Selection,
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
}

impl Stream<'_> {
    /// What happened before the end shall be in the output though its records are still on their way.
    fn drain(mut self, source: &mut dyn Source, end: End) -> Result<Summary, Failure> {
        let start = Instant::now();
        while start.elapsed() < DRAIN {
            match source.next(DRAIN_WAIT)? {
                Some(events) if !events.is_empty() => {
                    if self.take(source, &events)? == Reached::Limit {
                        break;
                    }
                }
                _ => break,
            }
        }
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
            let mut reached = Reached::Nothing;
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
        Ok(Reached::Nothing)
    }

    fn notices(&mut self) {
        for notice in self.world.take_notices() {
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
        if !self.selection.admits(change) {
            return Ok(Reached::Nothing);
        }
        self.line.clear();
        self.view.line(change, &mut self.line);
        self.out.write_all(&self.line)?;
        self.written += 1;
        if !matches!(change.what, What::Snapshot { .. }) {
            self.summary.events += 1;
        }
        Ok(if self.count.is_some_and(|count| self.summary.events >= count) { Reached::Limit } else { Reached::Nothing })
    }
}
