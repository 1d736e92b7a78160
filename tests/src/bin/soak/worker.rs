//! A worker: performs one round of operations after the other, as the coordinator sends them.

use std::{
    io::{self, Read},
    sync::atomic::Ordering::Relaxed,
};

use nstrace_tests::sys;
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, say},
    op::Op,
    record::Record,
};

/// One round; on the pipe its JSON comes after its length in four bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Round {
    pub workers: Vec<u32>,
    pub ops: Vec<Op>,
}

/// Works until the coordinator hangs up.
pub fn work(folder: String) -> ! {
    // A panic in one of the many processes must not unwind into somebody else's code.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        say(&Record::Trouble { what: info.to_string() });
        sys::exit(101);
    }));
    sys::block_child_signal();
    sys::become_subreaper();
    let mut actor = Actor::new(folder, sys::shared_counter());
    say(&Record::Worker { pid: actor.pid, slots: actor.slots });
    while let Some(round) = next(&mut actor) {
        actor.family.workers = round.workers;
        actor.perform_all(&round.ops);
        // The others of the family stand still.
        let operations = actor.family.operations.swap(0, Relaxed);
        say(&Record::Barrier { operations, own: round.ops.len() as u64 });
    }
    actor.kill_all();
    actor.reap_the_dead();
    say(&Record::Exit { pid: actor.pid });
    sys::exit(0)
}

fn next(actor: &mut Actor) -> Option<Round> {
    // Another worker may wait for a zombie of this one.
    loop {
        actor.reap_the_dead();
        let stdin = rustix::stdio::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        if poll(&mut fds, Some(&pause)).is_ok_and(|ready| ready > 0) {
            break;
        }
    }
    let mut stdin = io::stdin().lock();
    let mut length = [0; 4];
    stdin.read_exact(&mut length).ok()?;
    let mut json = vec![0; u32::from_le_bytes(length) as usize];
    stdin.read_exact(&mut json).ok()?;
    Some(serde_json::from_slice(&json).expect("the coordinator writes rounds"))
}
