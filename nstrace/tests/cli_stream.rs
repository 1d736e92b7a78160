//! The pipeline with a scripted source and model: order, selection, limits, endings, and each way the output can fail.

mod cli_common;

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Duration,
};

use nstrace::{
    cli::{
        exit::Failure,
        output::Sink,
        selection::Selection,
        shutdown::Shutdown,
        stream::{End, Limits, Model, Summary, run_stream},
    },
    container::ContainerFacts,
    event::{Event, Stamp, Stamped},
    filter::{CHANGE_FIELDS, Filter},
    model::Change,
    ns::{NsName, NsType},
    source::Source,
    view::{View, columns::Column, text::TextView},
};

/// Batches of events; each event's sequence number is the number of the change that the model makes of it.
struct Script {
    batches: VecDeque<Vec<u64>>,
    /// What follows the last batch: nothing for now, or the end.
    ends: bool,
    /// Requested once this many batches are out.
    shutdown_after: Option<(usize, Shutdown)>,
    awaited: Vec<NsName>,
    /// What engines tell before the batch with this number, the first being 0.
    told: Option<(usize, ContainerFacts)>,
    /// What it says when it is told to finish.
    last: Vec<u64>,
}

fn stamped(seq: u64) -> Stamped {
    Stamped { stamp: Stamp { boot_ns: 1, cpu: 0, seq }, event: Event::SnapshotEnd }
}

impl Script {
    fn new(batches: &[&[u64]]) -> Self {
        let batches = batches.iter().map(|batch| batch.to_vec()).collect();
        Self { batches, ends: true, shutdown_after: None, awaited: Vec::new(), told: None, last: Vec::new() }
    }
}

impl Source for Script {
    fn next(&mut self, _wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>> {
        if let Some((left, shutdown)) = &mut self.shutdown_after {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => shutdown.request(),
            }
        }
        if let Some((batches, facts)) = self.told.take() {
            match batches.checked_sub(1) {
                Some(left) => self.told = Some((left, facts)),
                None => {
                    let told = Event::Container(Box::new(facts));
                    return Ok(Some(vec![Stamped { event: told, ..stamped(0) }]));
                }
            }
        }
        match self.batches.pop_front() {
            Some(batch) => Ok(Some(batch.into_iter().map(stamped).collect())),
            None if self.ends => Ok(None),
            None => Ok(Some(vec![])),
        }
    }

    fn await_end(&mut self, suspects: &[NsName]) {
        self.awaited.extend(suspects);
    }

    fn finish(&mut self) -> anyhow::Result<Vec<Stamped>> {
        Ok(self.last.drain(..).map(stamped).collect())
    }

    fn skipped(&self) -> u64 {
        4
    }
}

struct Canned(Vec<NsName>);

impl Model for Canned {
    fn apply(&mut self, event: &Stamped, changes: &mut Vec<Change>) {
        changes.extend(cli_common::all().into_iter().filter(|change| change.seq == event.stamp.seq));
    }

    fn take_suspects(&mut self) -> Vec<NsName> {
        std::mem::take(&mut self.0)
    }
}

/// Keeps every write apart.
#[derive(Default)]
struct Writes {
    writes: Vec<Vec<u8>>,
    /// Fails with this from this write on.
    fails: Option<(usize, io::ErrorKind)>,
    gone: bool,
}

impl Sink for Writes {
    fn is_gone(&self) -> bool {
        self.gone
    }
}

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((after, kind)) = self.fails
            && self.writes.len() >= after
        {
            return Err(kind.into());
        }
        self.writes.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn seqs(out: &Writes) -> Vec<u64> {
    let line = |write: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(write).expect("a whole line a write");
    out.writes.iter().map(|write| line(write)["seq"].as_u64().expect("a number")).collect()
}

fn stream(source: &mut Script, selection: &Selection, limits: Limits, out: &mut Writes) -> Result<Summary, Failure> {
    let shutdown = source.shutdown_after.as_ref().map(|(_, shutdown)| shutdown.clone()).unwrap_or_default();
    run_stream(source, &mut Canned(vec![]), selection, &View::Json, true, limits, &shutdown, out)
}

fn selected(selection: &Selection) -> Vec<u64> {
    let (mut source, mut out) =
        (Script::new(&[&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]]), Writes::default());
    stream(&mut source, selection, Limits::default(), &mut out).expect("nothing fails");
    seqs(&out)
}

#[test]
fn everything_in_order_a_line_a_write() {
    let (mut source, mut out) = (Script::new(&[&[1, 2], &[], &[3], &[7, 10]]), Writes::default());
    let summary = stream(&mut source, &Selection::default(), Limits::default(), &mut out).expect("nothing fails");
    assert_eq!(seqs(&out), [1, 2, 3, 7, 10]);
    assert!(out.writes.iter().all(|write| write.ends_with(b"\n")));
    assert_eq!(summary, Summary { events: 3, lost: 0, findings: 0, worst: None, skipped: 0, end: End::Source });
    assert_eq!(summary.to_string(), "events 3, lost 0, findings 0");
}

#[test]
fn a_count_is_exact_and_leaves_the_snapshot_out() {
    let (mut source, mut out) = (Script::new(&[&[1, 2, 3, 4, 5], &[6]]), Writes::default());
    let limits = Limits { count: Some(2), ..Limits::default() };
    let summary = stream(&mut source, &Selection::default(), limits, &mut out).expect("nothing fails");
    assert_eq!(seqs(&out), [1, 2, 3, 4]);
    assert_eq!((summary.events, summary.end), (2, End::Limit));
}

#[test]
fn a_duration_ends_a_silent_stream_and_still_takes_what_is_there() {
    let mut source = Script { ends: false, ..Script::new(&[&[3], &[4]]) };
    let mut out = Writes::default();
    let limits = Limits { duration: Some(Duration::ZERO), ..Limits::default() };
    let summary = stream(&mut source, &Selection::default(), limits, &mut out).expect("nothing fails");
    assert_eq!(seqs(&out), [3, 4]);
    assert_eq!(summary.end, End::Limit);
}

#[test]
fn a_request_ends_the_stream_after_what_was_on_its_way() {
    let shutdown = Shutdown::default();
    let mut source =
        Script { ends: false, shutdown_after: Some((1, shutdown)), ..Script::new(&[&[3], &[4], &[5, 6], &[], &[7]]) };
    source.last = vec![8];
    let mut out = Writes::default();
    let summary = stream(&mut source, &Selection::default(), Limits::default(), &mut out).expect("nothing fails");
    assert_eq!(seqs(&out), [3, 4, 5, 6, 8], "drained up to the first moment of silence, and what was begun is ended");
    assert_eq!((summary.events, summary.end), (5, End::Requested));
    assert_eq!(
        summary.to_string(),
        "events 5, lost 0, findings 0; 4 program runs skipped that had next to nothing to tell"
    );
}

#[test]
fn a_reader_that_leaves_is_no_error_message() {
    for (fails, lines) in [(0, 0), (2, 2)] {
        let mut out = Writes { fails: Some((fails, io::ErrorKind::BrokenPipe)), ..Writes::default() };
        let result = stream(&mut Script::new(&[&[1, 2, 3, 4]]), &Selection::default(), Limits::default(), &mut out);
        assert!(matches!(result, Err(Failure::OutputGone)), "{result:?}");
        assert_eq!(out.writes.len(), lines);
    }
}

#[test]
fn a_reader_that_leaves_a_quiet_stream_ends_it() {
    let mut source = Script { ends: false, ..Script::new(&[&[3]]) };
    let mut out = Writes { gone: true, ..Writes::default() };
    let result = stream(&mut source, &Selection::default(), Limits::default(), &mut out);
    assert!(matches!(result, Err(Failure::OutputGone)), "{result:?}");
    assert_eq!(seqs(&out), [3]);

    // Quiet is also where a filter hides everything.
    let filter = Filter::parse("EVENT == 'created'", &CHANGE_FIELDS).ok();
    let result = stream(
        &mut Script::new(&[&[3], &[6], &[3]]),
        &Selection { filter, ..Selection::default() },
        Limits::default(),
        &mut out,
    );
    assert!(matches!(result, Err(Failure::OutputGone)), "{result:?}");
    assert_eq!(seqs(&out), [3, 3]);
}

#[test]
fn a_full_disk_is_an_error_with_a_remedy() {
    let mut out = Writes { fails: Some((1, io::ErrorKind::StorageFull)), ..Writes::default() };
    let result = stream(&mut Script::new(&[&[1, 2]]), &Selection::default(), Limits::default(), &mut out);
    let message = result.expect_err("the disk is full").to_string();
    assert!(message.starts_with("cannot write the output: ") && message.contains("free some space"), "{message}");
}

#[test]
fn losses_are_counted_even_where_no_line_shows_them() {
    let filter = Filter::parse("EVENT == 'created'", &CHANGE_FIELDS).ok();
    let mut out = Writes::default();
    let selection = Selection { filter, ..Selection::default() };
    let summary =
        stream(&mut Script::new(&[&[15, 3, 15]]), &selection, Limits::default(), &mut out).expect("no failure");
    assert_eq!(seqs(&out), [3]);
    assert_eq!(summary.lost, 24);
}

#[test]
fn selections() {
    assert_eq!(selected(&Selection::default()).len(), 17);
    // The failed attempt of a known type belongs to it; the accounting lines to every selection.
    let types = Selection { types: vec![NsType::User, NsType::Cgroup], ..Selection::default() };
    assert_eq!(selected(&types), [11, 13, 15, 16, 17]);
    let some = Selection { only_containers: true, ..Selection::default() };
    assert_eq!(selected(&some), [7, 10, 12, 15, 16, 17]);
    for (name, seqs) in [("3f2a", &[7, 15, 16, 17][..]), ("we\x1b[1mb", &[12, 15, 16, 17]), ("f2a", &[15, 16, 17])] {
        let one = Selection { containers: vec![name.to_owned()], ..Selection::default() };
        assert_eq!(selected(&one), seqs, "{name:?}");
    }
    let both = Selection {
        containers: vec!["3f".to_owned(), "cd".to_owned()],
        types: vec![NsType::Net],
        ..Selection::default()
    };
    assert_eq!(selected(&both), [7, 10, 15, 16, 17]);
}

/// What an engine tells.
fn facts(id: &str, name: &str) -> ContainerFacts {
    ContainerFacts { id: id.to_owned(), name: Some(name.to_owned()), ..ContainerFacts::default() }
}

fn named(told: Option<(usize, ContainerFacts)>, limits: Limits) -> (Vec<u64>, Summary) {
    let seven = cli_common::all().into_iter().find(|change| change.seq == 7).and_then(|change| change.container);
    let id = seven.expect("a change of a container").id.clone();
    let told = told.map(|(batches, facts)| (batches, ContainerFacts { id, ..facts }));
    let mut source = Script { told, ends: false, ..Script::new(&[&[1, 7], &[15], &[7], &[16]]) };
    let selection = Selection { containers: vec!["shop".to_owned()], names_come: true, ..Selection::default() };
    let mut out = Writes::default();
    let summary = stream(&mut source, &selection, limits, &mut out).expect("nothing fails");
    (seqs(&out), summary)
}

#[test]
fn lines_wait_for_the_name_of_their_container() {
    let brief = Limits { duration: Some(Duration::from_millis(1)), ..Limits::default() };
    let told = |batches, name| Some((batches, facts("", name)));
    // Told at once, told late, told at the end; nobody tells; it is another.
    assert_eq!(named(told(0, "shop"), brief).0, [7, 15, 7, 16]);
    assert_eq!(named(told(2, "shop"), brief).0, [15, 7, 7, 16]);
    assert_eq!(named(told(4, "shop"), brief).0, [15, 16, 7, 7]);
    for nobody in [None, told(2, "other")] {
        assert_eq!(named(nobody, brief).0, [15, 16]);
    }
    let (seqs, summary) = named(told(4, "shop"), Limits { count: Some(3), ..Limits::default() });
    assert_eq!((seqs, summary.events, summary.end), (vec![15, 16, 7], 3, End::Limit));
}

#[test]
fn the_heading_waits_for_the_first_event() {
    let view = View::Text(TextView { columns: vec![Column::Event], colour: false, zone: jiff::tz::TimeZone::UTC });
    let run = |batches: &[&[u64]], heading| {
        let mut out = Writes::default();
        let (selection, limits, shutdown) = (Selection::default(), Limits::default(), Shutdown::default());
        let mut model = Canned(vec![]);
        run_stream(&mut Script::new(batches), &mut model, &selection, &view, heading, limits, &shutdown, &mut out)
            .expect("nothing fails");
        String::from_utf8(out.writes.concat()).expect("UTF-8")
    };
    assert_eq!(run(&[&[], &[1], &[3]], true), "EVENT\nsnapshot\ncreated\n");
    assert_eq!(run(&[&[1]], false), "snapshot\n");
    assert_eq!(run(&[&[]], true), "", "nothing is attached yet, so nothing says so");
}

#[test]
fn suspects_reach_the_source() {
    let suspect = cli_common::net().name;
    let (mut source, mut out) = (Script::new(&[&[3], &[4]]), Writes::default());
    let (selection, limits, shutdown) = (Selection::default(), Limits::default(), Shutdown::default());
    run_stream(&mut source, &mut Canned(vec![suspect]), &selection, &View::Json, true, limits, &shutdown, &mut out)
        .expect("nothing fails");
    assert_eq!(source.awaited, [suspect]);
}
