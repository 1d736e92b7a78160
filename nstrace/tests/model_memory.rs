//! Memory of a full model. A test binary of its own: it measures the whole process.
#![expect(clippy::unwrap_used, reason = "tests")]

mod model_support;

use model_support::stream::Stream;
use nstrace::{decode::decode, model::World};

fn resident_kib() -> u64 {
    procfs::process::Process::myself().unwrap().status().unwrap().vmrss.unwrap()
}

/// The goal of issue 2: 64 MiB with 10,000 live namespaces and 50,000 tasks.
#[test]
fn ten_thousand_namespaces_and_fifty_thousand_tasks_fit_into_64_mib() {
    let mut stream = Stream::new();
    let mut world = World::new(|_| None);
    let mut out = Vec::new();
    for event in stream.start() {
        world.apply(&event, &mut out);
    }
    let before = resident_kib();
    for _ in 0..1430 {
        stream.fill(1, 35);
        for record in stream.records.drain(..) {
            world.apply(&decode(&record).unwrap(), &mut out);
            out.clear();
        }
    }
    let full = resident_kib() - before;
    assert_eq!(world.namespaces().len(), 8 + 7 * 1430);
    assert_eq!(world.tasks().len(), 35 * 1430);
    let before_churn = resident_kib();
    for _ in 0..50 {
        stream.churn(10_000);
        for record in stream.records.drain(..) {
            world.apply(&decode(&record).unwrap(), &mut out);
            out.clear();
        }
    }
    let churned = resident_kib().saturating_sub(before_churn);
    println!("full: {full} KiB, after 500,000 more records: {churned} KiB more");
    assert!(full + churned < 64 * 1024, "{full} KiB + {churned} KiB");
    assert_eq!(world.namespaces().len(), 8 + 7 * 1430, "what ended is forgotten");
    assert_eq!(world.tasks().len(), 35 * 1430, "who ended is forgotten");
}
