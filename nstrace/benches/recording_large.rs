//! A recording of ten million facts: the time and the memory that a moment of it, a query and a check take.
//!
//! `NSTRACE_BENCH_LARGE=10000000 cargo bench -p nstrace --bench recording_large`; `NSTRACE_BENCH_RECORDING=FILE` asks that file.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run may say so any way it likes")]

#[path = "../tests/recording_support/mod.rs"]
mod recording_support;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use nstrace::{
    census::from_world,
    container,
    engine::Engines,
    inspect::recorded::Scene,
    model::World,
    ns::NsType,
    query::Query,
    recording::{
        Options, Recording,
        document::Keyframe,
        verify::{Depth, verify},
    },
    source::{
        fact::{Fact, Facts, Written},
        world_at,
    },
};
use recording_support::{count::Count, create, host, model_support::stream::Stream};

/// A host with a hundred containers.
fn generate(path: &Path, facts: u64) {
    let mut writer = create(path, Options::default());
    let (mut world, mut events) = (World::new(container::from_cgroup_path), Facts::default());
    let mut changes = Vec::new();
    let mut stream = Stream::new();
    let mut keep = |fact: Fact<'_>| {
        let event = events.event(fact).unwrap();
        writer.fact(fact, &event).unwrap();
        world.apply(&event, &mut changes);
        changes.clear();
        if writer.wants_keyframe() {
            writer.keyframe(&Keyframe { latest: events.latest(), world: world.checkpoint().unwrap() }).unwrap();
        }
        writer.facts()
    };
    for owned in host(0) {
        keep(owned.fact());
    }
    stream.fill(100, 8);
    loop {
        for mut record in stream.records.drain(..) {
            record[20..24].fill(0); // Header::cpu: its numbers are those of one CPU.
            if keep(Fact::Record(Written::Ring, &record)) >= facts {
                writer.end().unwrap();
                return;
            }
        }
        stream.churn(10_000);
    }
}

/// One question, in a process of its own.
fn ask(path: &Path, question: &str) -> String {
    let span = || Recording::open(path).unwrap().span().unwrap().unwrap();
    let at = |part: i64| {
        let (first, last) = span();
        first + (last - first) / 100 * part
    };
    let scene = |at| {
        let recording = Recording::open(path).unwrap();
        let engines = Engines::of(recording.containers(Some(at)).unwrap());
        (world_at(recording, Some(at), container::from_cgroup_path).unwrap(), engines)
    };
    let sql = |sql: &str| {
        let mut count = Count::default();
        Query::prepare(path, sql, || false).unwrap().run(&mut count).unwrap();
        format!("{} row(s)", count.0)
    };
    match question.split_once(' ').unwrap_or((question, "")) {
        ("ls", part) => {
            let (world, _) = scene(at(part.parse().unwrap()));
            format!("{} namespaces", from_world::census(&world, "").namespaces.len())
        }
        ("map", part) => {
            let (world, engines) = scene(at(part.parse().unwrap()));
            format!("{} pid namespaces", Scene::new(&world, &engines).map(NsType::Pid).len())
        }
        ("verify", depth) => {
            let depth = if depth == "--chain" { Depth::Chain } else { Depth::All };
            format!("{} facts", verify(path, None, depth).unwrap().facts)
        }
        ("query", text) => sql(text),
        other => panic!("{other:?}"),
    }
}

fn main() {
    if let Some(question) = std::env::var_os("NSTRACE_BENCH_QUESTION") {
        let path = PathBuf::from(std::env::var_os("NSTRACE_BENCH_RECORDING").unwrap());
        let begun = Instant::now();
        let answer = ask(&path, question.to_str().unwrap());
        let took = begun.elapsed();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
        println!("{:>9.3} s  {peak:>12}  {answer}", took.as_secs_f64());
        return;
    }
    let Some(facts) = std::env::var("NSTRACE_BENCH_LARGE").ok().and_then(|text| text.parse().ok()) else {
        println!("NSTRACE_BENCH_LARGE=10000000 makes it run");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = match std::env::var_os("NSTRACE_BENCH_RECORDING") {
        Some(path) => PathBuf::from(path),
        None => {
            let path = folder.path().join("large.nst");
            let begun = Instant::now();
            generate(&path, facts);
            println!("made in {:.1} s, keyframes and all", begun.elapsed().as_secs_f64());
            path
        }
    };
    println!("{} bytes", path.metadata().unwrap().len());
    for question in [
        "ls 1",
        "ls 50",
        "ls 99",
        "map 77",
        "verify --chain",
        "verify",
        "query SELECT count(*) FROM events",
        "query SELECT event, count(*) FROM events GROUP BY event",
        "query SELECT type, state, count(*) FROM namespaces GROUP BY 1, 2",
        "query SELECT count(*) FROM memberships",
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .env("NSTRACE_BENCH_QUESTION", question)
            .env("NSTRACE_BENCH_RECORDING", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{question:<70} {}{}", said.trim_end(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
}
