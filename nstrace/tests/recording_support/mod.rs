//! Recordings of made-up hosts.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses its part")]

pub mod count;
#[path = "../model_support/mod.rs"]
pub mod model_support;

use std::{path::Path, time::Duration};

use model_support::stream::Stream;
use nstrace::{
    event::{Event, Stamp, Stamped},
    model::World,
    policy::Policy,
    recording::{Options, ReadError, Recording, Writer, chain, document::Session, entry::Span},
    source::{
        Replay, Source,
        fact::{Fact, Facts, Written},
    },
    view::View,
};

/// A fact that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned(pub Option<Written>, pub Vec<u8>);

impl Owned {
    pub fn told(event: &Stamped) -> Self {
        Self(None, serde_json::to_vec(event).unwrap())
    }

    pub fn fact(&self) -> Fact<'_> {
        match self.0 {
            Some(written) => Fact::Record(written, &self.1),
            None => Fact::Told(&self.1),
        }
    }
}

/// A host with some containers, and about this many facts of their life, all from one CPU.
pub fn host(records: usize) -> Vec<Owned> {
    let mut stream = Stream::new();
    let mut start = stream.start();
    stream.fill(3, 4);
    stream.churn(records);
    let end = start.pop().unwrap();
    let path = Event::CgroupPath { cgroup: 16, path: format!("/system.slice/docker-{}.scope", "5".repeat(64)) };
    start.push(Stamped { stamp: end.stamp, event: path });
    start.push(end);
    let mut facts: Vec<Owned> = start.iter().map(Owned::told).collect();
    for mut record in stream.records {
        record[20..24].fill(0); // Header::cpu
        facts.push(Owned(Some(Written::Ring), record));
    }
    // What else user space may tell in the middle of it.
    let stamp = Stamp { boot_ns: 5_000, cpu: 0, seq: 0 };
    let lost = Event::Lost { count: 2, hook: Some("setns".into()), cgroup: None };
    let at = facts.len() / 2;
    facts.insert(at, Owned::told(&Stamped { stamp, event: lost }));
    facts
}

pub fn session() -> Session {
    Session {
        tool: nstrace::recording::document::TOOL.to_owned(),
        abi: nstrace_common::record::ABI,
        kernel: "6.18".to_owned(),
        machine: "x86_64".to_owned(),
        host: "toy".to_owned(),
        boot_id: "b".repeat(36),
        layout: String::new(),
        command: vec!["nstrace".to_owned(), "record".to_owned()],
        report: serde_json::Value::Null,
        configuration: nstrace::recording::document::Configuration::default(),
        exceptions: Vec::new(),
        rules: Vec::new(),
    }
}

pub fn create(path: &Path, options: Options) -> Writer {
    Writer::create(path, &session(), Span::moment(1, 1), options).unwrap()
}

/// What `watch -J` prints of a change, and its time.
pub type Line = (i64, String);

fn lines(world: &mut World, event: &Stamped, all: &mut Vec<Line>) {
    let mut changes = Vec::new();
    world.apply(event, &mut changes);
    for change in changes {
        let mut line = Vec::new();
        View::Json.line(&change, &mut line);
        all.push((change.utc_ns, String::from_utf8(line).unwrap()));
    }
}

/// Records and watches at once, as `nstrace record -J` does; returns the lines.
pub fn record(path: &Path, facts: &[Owned], options: Options) -> Vec<Line> {
    let mut writer = create(path, options);
    let lines = watch(&mut writer, facts);
    writer.end().unwrap();
    lines
}

/// The same, on a recording that is not ended.
pub fn watch(writer: &mut Writer, facts: &[Owned]) -> Vec<Line> {
    watch_under(writer, facts, Policy::default())
}

/// The same with rules and exceptions in force.
pub fn watch_under(writer: &mut Writer, facts: &[Owned], policy: Policy) -> Vec<Line> {
    let mut world = World::new(nstrace::container::from_cgroup_path);
    world.set_policy(policy);
    let mut all = Vec::new();
    let mut events = Facts::default();
    for fact in facts {
        let event = events.event(fact.fact()).unwrap();
        writer.fact(fact.fact(), &event).unwrap();
        lines(&mut world, &event, &mut all);
        if writer.wants_keyframe()
            && let Some(world) = world.checkpoint()
        {
            let latest = events.latest();
            writer.keyframe(&nstrace::recording::document::Keyframe { latest, world }).unwrap();
        }
    }
    all
}

/// Somebody who has write access makes the chain anew over what the rows say now.
pub fn rechain(path: &Path) {
    let mut all = Vec::new();
    let mut last = (0, chain::START);
    let cut = {
        let recording = Recording::open(path).unwrap();
        recording
            .each(|entry, _| {
                all.push(entry);
                Ok::<(), ReadError>(())
            })
            .unwrap();
        recording.last_cut().ok().flatten()
    };
    let database = rusqlite::Connection::open(path).unwrap();
    let transaction = database.unchecked_transaction().unwrap();
    for entry in all {
        if let Some(cut) = cut.as_ref().filter(|cut| cut.before == entry.id) {
            last.1 = chain::from_hex(&cut.hash).unwrap_or(chain::START);
        }
        last = (entry.id, chain::hash(&last.1, &entry));
        database
            .execute("UPDATE entry SET hash = ? WHERE id = ?", rusqlite::params![last.1.as_slice(), last.0])
            .unwrap();
    }
    database.execute("UPDATE head SET id = ?, hash = ?", rusqlite::params![last.0, last.1.as_slice()]).unwrap();
    transaction.commit().unwrap();
}

/// Puts other content into a row.
pub fn replace(path: &Path, id: i64, raw: &[u8]) {
    let database = rusqlite::Connection::open(path).unwrap();
    let data = zstd::bulk::compress(raw, 1).unwrap();
    let raw_bytes = i64::try_from(raw.len()).unwrap();
    let row = rusqlite::params![data, raw_bytes, id];
    assert_eq!(database.execute("UPDATE entry SET data = ?, raw_bytes = ? WHERE id = ?", row).unwrap(), 1);
}

/// What `nstrace replay -J` prints, and how it ended.
pub fn replay(path: &Path, since: Option<i64>) -> (Vec<Line>, Result<(), String>) {
    let mut all = Vec::new();
    let opened = Recording::open(path)
        .and_then(|recording| Replay::start(recording, since, nstrace::container::from_cgroup_path));
    let (mut source, mut world) = match opened {
        Ok(opened) => opened,
        Err(error) => return (all, Err(error.to_string())),
    };
    loop {
        match source.next(Duration::ZERO) {
            Ok(Some(events)) => events.iter().for_each(|event| lines(&mut world, event, &mut all)),
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(format!("{error:#}"))),
        }
    }
}
