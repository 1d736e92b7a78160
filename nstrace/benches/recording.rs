//! The flight recorder: facts written, replayed and verified a second, and bytes a fact. `cargo bench -p nstrace --bench recording`
//!
//! The facts are those of a made-up busy container host; with `NSTRACE_BENCH_RECORDING=FILE`, those of a real recording.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run may say so any way it likes")]

#[path = "../tests/recording_support/mod.rs"]
mod recording_support;

use std::{hint::black_box, path::Path, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nstrace::{
    event::Stamped,
    recording::{
        Options, Recording, block,
        entry::Kind,
        verify::{Depth, verify},
    },
    source::{
        Replay, Source as _,
        fact::{Fact, Facts},
    },
};
use recording_support::{Owned, create, host, record};

const FACTS: usize = 200_000;

fn facts() -> Vec<Owned> {
    let Some(path) = std::env::var_os("NSTRACE_BENCH_RECORDING") else { return host(FACTS) };
    let recording = Recording::open(Path::new(&path)).unwrap();
    let mut facts = Vec::new();
    recording
        .each(|entry, _| {
            if entry.kind == Kind::Facts {
                for fact in block::facts(&recording.raw(&entry)?) {
                    facts.push(match fact.unwrap() {
                        Fact::Record(written, bytes) => Owned(Some(written), bytes.to_vec()),
                        Fact::Told(bytes) => Owned(None, bytes.to_vec()),
                    });
                }
            }
            Ok::<(), nstrace::recording::ReadError>(())
        })
        .unwrap();
    facts
}

fn recorder(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let facts = facts();
    let mut events = Facts::default();
    let events: Vec<Stamped> = facts.iter().map(|fact| events.event(fact.fact()).unwrap()).collect();
    let mut group = c.benchmark_group("recording");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    group.throughput(Throughput::Elements(facts.len() as u64));
    let mut number = 0;
    group.bench_function("record", |b| {
        b.iter_batched(
            || {
                number += 1;
                create(&folder.path().join(format!("{number}.nst")), Options::default())
            },
            |mut writer| {
                for (fact, event) in facts.iter().zip(&events) {
                    writer.fact(fact.fact(), event).unwrap();
                }
                writer.end().unwrap();
            },
            BatchSize::PerIteration,
        );
    });
    let path = folder.path().join("all.nst");
    record(&path, &facts, Options::default());
    let length = path.metadata().unwrap().len();
    println!("{length} bytes for {} facts: {} bytes a fact", facts.len(), length as f64 / facts.len() as f64);
    group.bench_function("replay", |b| {
        b.iter(|| {
            let recording = Recording::open(&path).unwrap();
            let (mut source, mut world) = Replay::start(recording, None, nstrace::container::from_cgroup_path).unwrap();
            let mut changes = Vec::new();
            while let Some(events) = source.next(Duration::ZERO).unwrap() {
                for event in &events {
                    world.apply(event, &mut changes);
                    black_box(&changes);
                    changes.clear();
                }
            }
        });
    });
    let raw: usize = facts.iter().map(|fact| fact.1.len() + 5).sum();
    group.throughput(Throughput::Bytes(raw as u64));
    group.bench_function("verify (bytes of facts)", |b| b.iter(|| verify(&path, None, Depth::All).unwrap()));
    group.throughput(Throughput::Bytes(length));
    for (name, depth) in
        [("verify (bytes of the file)", Depth::All), ("verify --chain (bytes of the file)", Depth::Chain)]
    {
        group.bench_function(name, |b| b.iter(|| verify(&path, None, depth).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, recorder);
criterion_main!(benches);
