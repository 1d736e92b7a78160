//! Many in a row: reused inode numbers, reused pids, busy rings.

use nstrace_tests::kinds::kind;

use super::Scenario;
use crate::stage::{self, How};

/// Enough for every inode number to come back several times; small enough for an emulated CPU.
const ROUNDS: u32 = 100;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("storms", "storm_inodes", storm_inodes),
        Scenario::new("storms", "storm_inodes_across_types", storm_inodes_across_types),
        Scenario::new("storms", "storm_clones", storm_clones),
        Scenario::new("storms", "storm_forks_inside", storm_forks_inside),
    ]
}

fn storm_inodes() {
    for _ in 0..ROUNDS {
        stage::unshare(kind("uts").flag).expect("root may");
    }
}

/// The lowest free number is handed out, whatever the type.
fn storm_inodes_across_types() {
    for _ in 0..ROUNDS / 4 {
        for name in ["uts", "cgroup", "mnt", "ipc"] {
            let child = stage::spawn(How::Clone, kind(name).flag, || {}).expect("root may");
            stage::reap(child);
        }
    }
}

fn storm_clones() {
    for _ in 0..ROUNDS {
        let child = stage::spawn(How::Clone3, kind("cgroup").flag | kind("pid").flag, || {}).expect("root may");
        stage::reap(child);
    }
}

fn storm_forks_inside() {
    stage::unshare(kind("uts").flag).expect("root may");
    let children: Vec<u32> = (0..ROUNDS).map(|_| stage::spawn(How::Fork, 0, || {}).expect("a child")).collect();
    for child in children {
        stage::reap(child);
    }
}
