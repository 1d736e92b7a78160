//! From a script that diverges to a short one that still does (Zeller's ddmin).

use std::time::{Duration, Instant};

use nstrace_tests::program::settle;

use crate::{
    Options,
    abilities::Abilities,
    divergence::{Divergence, folder},
    op::Op,
    run::Run,
};

/// A divergence that comes from a race shows in some runs only.
const TRIES: u32 = 2;

/// Prints the shortest script found in the time that the options allow, and leaves it in a file.
pub fn shrink(options: &Options, abilities: Abilities, divergence: &Divergence) {
    let deadline = Instant::now() + Duration::from_secs(options.shrink);
    // Most differences show at once, and each try should not wait as long for the others to go away as the one that was found.
    let mut attempt = Attempt { options, abilities, settle: settle() / 10 };
    let Some(script) = divergence.scripts.iter().find(|script| attempt.diverges(script)) else {
        println!("soak: no worker's script diverges alone");
        return;
    };
    let script = attempt.shorter(script.clone(), deadline);
    attempt.settle = settle() * 2;
    let verdict = if attempt.diverges(&script) { "still diverge" } else { "diverge now and then" };
    let Ok(json) = serde_json::to_string_pretty(&script) else { return };
    println!("soak: {} operations {verdict}; run them by soak --script FILE:\n{json}", script.len());
    if let Ok(folder) = folder() {
        let path = folder.join("shrunk.json");
        match std::fs::write(&path, json) {
            Ok(()) => println!("soak: written to {}", path.display()),
            Err(error) => println!("soak: cannot write {}: {error}", path.display()),
        }
    }
}

/// How scripts are tried.
struct Attempt<'a> {
    options: &'a Options,
    abilities: Abilities,
    settle: Duration,
}

impl Attempt<'_> {
    fn diverges(&self, script: &[Op]) -> bool {
        let once = || Run::start(self.options, self.abilities, self.settle).and_then(|mut run| run.script(script));
        (0..TRIES).any(|_| match once() {
            Ok(divergence) => divergence.is_some(),
            Err(error) => {
                println!("soak: while shrinking: {error:#}");
                false
            }
        })
    }

    /// Leaves out ever smaller parts, then the operations inside operations.
    fn shorter(&self, mut script: Vec<Op>, deadline: Instant) -> Vec<Op> {
        let mut part = script.len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < script.len() && Instant::now() < deadline {
                let mut without = script.clone();
                without.drain(from..(from + part).min(script.len()));
                if self.diverges(&without) {
                    script = without;
                } else {
                    from += part;
                }
            }
            part = if part == 1 { 0 } else { part.div_ceil(2) };
        }
        for index in 0..script.len() {
            let inner = inside(&mut script[index]).map_or(0, |ops| ops.len());
            for at in (0..inner).rev() {
                let mut without = script.clone();
                if let Some(ops) = inside(&mut without[index]) {
                    ops.remove(at);
                }
                if Instant::now() < deadline && self.diverges(&without) {
                    script = without;
                }
            }
        }
        script
    }
}

fn inside(op: &mut Op) -> Option<&mut Vec<Op>> {
    match op {
        Op::Spawn { ops, .. } | Op::Thread { ops, .. } => Some(ops),
        _ => None,
    }
}
