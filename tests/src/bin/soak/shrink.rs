//! From a script that diverges to a short one that still does (Zeller's ddmin).

use std::time::{Duration, Instant};

use crate::{
    Options,
    op::Op,
    run::{self, Divergence, Run},
};

/// A divergence that comes from a race shows in some runs only.
const TRIES: u32 = 2;

/// Prints the shortest script found in the time that the options allow, and leaves it in a file.
pub fn shrink(options: &Options, divergence: &Divergence) {
    let deadline = Instant::now() + Duration::from_secs(options.shrink);
    let Some(script) = divergence.scripts.iter().find(|script| diverges(options, script)) else {
        println!("soak: no worker's script diverges alone");
        return;
    };
    let script = shorter(options, script.clone(), deadline);
    let Ok(json) = serde_json::to_string_pretty(&script) else { return };
    println!("soak: {} operations still diverge; run them by soak --script FILE:\n{json}", script.len());
    if let Ok(folder) = run::folder() {
        let path = folder.join("shrunk.json");
        match std::fs::write(&path, json) {
            Ok(()) => println!("soak: written to {}", path.display()),
            Err(error) => println!("soak: cannot write {}: {error}", path.display()),
        }
    }
}

fn diverges(options: &Options, script: &[Op]) -> bool {
    (0..TRIES).any(|_| match Run::start(options).and_then(|mut run| run.script(script)) {
        Ok(divergence) => divergence.is_some(),
        Err(error) => {
            println!("soak: while shrinking: {error:#}");
            false
        }
    })
}

/// Leaves out ever smaller parts, then the operations inside operations.
fn shorter(options: &Options, mut script: Vec<Op>, deadline: Instant) -> Vec<Op> {
    let mut part = script.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < script.len() && Instant::now() < deadline {
            let mut without = script.clone();
            without.drain(from..(from + part).min(script.len()));
            if diverges(options, &without) {
                script = without;
            } else {
                from += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    for index in 0..script.len() {
        let inner = match &script[index] {
            Op::Spawn { ops, .. } | Op::Thread { ops, .. } => ops.len(),
            _ => 0,
        };
        for at in (0..inner).rev() {
            let mut without = script.clone();
            if let Op::Spawn { ops, .. } | Op::Thread { ops, .. } = &mut without[index] {
                ops.remove(at);
            }
            if Instant::now() < deadline && diverges(options, &without) {
                script = without;
            }
        }
    }
    script
}
