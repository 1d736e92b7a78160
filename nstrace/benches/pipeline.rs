//! Records → events → changes: how many a second on one core. `cargo bench -p nstrace --bench pipeline`
#![expect(clippy::unwrap_used, reason = "a bench that cannot run may say so any way it likes")]

#[path = "../tests/model_support/mod.rs"]
mod model_support;

use std::{hint::black_box, time::Duration};

use criterion::{
    BatchSize, Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use model_support::stream::Stream;
use nstrace::{decode::decode, event::Stamped, model::World};

const RECORDS: usize = 100_000;

/// CPU time of the thread: what others do on the machine costs the caches only.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A world that has seen a host with this many containers start, and the records of what happens next.
fn host(containers: usize, tasks: usize) -> (impl Fn() -> World, Vec<Vec<u8>>) {
    let mut stream = Stream::new();
    let mut history = stream.start();
    stream.fill(containers, tasks);
    history.extend(stream.records.drain(..).map(|r| decode(&r).unwrap()));
    stream.churn(RECORDS);
    let world = move || {
        let mut world = World::new(|_| None);
        let mut out = Vec::new();
        for event in &history {
            world.apply(event, &mut out);
            out.clear();
        }
        world
    };
    (world, stream.records)
}

fn pipeline(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("pipeline");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    for (name, containers, tasks) in [("20 containers", 20, 10), ("1430 containers", 1430, 35)] {
        let (world, records) = host(containers, tasks);
        let events: Vec<Stamped> = records.iter().map(|r| decode(r).unwrap()).collect();
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                for record in &records {
                    black_box(decode(record).unwrap());
                }
            });
        });
        let mut out = Vec::with_capacity(1024);
        group.bench_function(format!("apply/{name}"), |b| {
            b.iter_batched(
                &world,
                |mut world| {
                    for event in &events {
                        world.apply(event, &mut out);
                        black_box(&out);
                        out.clear();
                    }
                    world
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("decode+apply/{name}"), |b| {
            b.iter_batched(
                &world,
                |mut world| {
                    for record in &records {
                        world.apply(&decode(record).unwrap(), &mut out);
                        black_box(&out);
                        out.clear();
                    }
                    world
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = pipeline
}
criterion_main!(benches);
