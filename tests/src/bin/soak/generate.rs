//! Operations from a seed.

use fastrand::Rng;
use nstrace_tests::kinds::{KINDS, kind};

use crate::op::{How, Nstype, Op, Then, Whose};

/// How deep children make children.
const DEPTH: u32 = 3;

/// Who is going to perform it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It has many operations before it and must go on.
    Worker,
    Child(u32),
    Thread(u32),
}

/// The next operation of a worker.
pub fn operation(rng: &mut Rng) -> Op {
    one(rng, Place::Worker)
}

fn several(rng: &mut Rng, place: Place, most: usize) -> Vec<Op> {
    (0..rng.usize(0..=most)).map(|_| one(rng, place)).collect()
}

fn one(rng: &mut Rng, place: Place) -> Op {
    let worker = place == Place::Worker;
    let byte = |rng: &mut Rng| rng.u8(..);
    match rng.u32(0..100) {
        0..10 => Op::Unshare { flags: flags(rng, worker), map: rng.u32(0..5) > 0 },
        10..28 => spawn(rng, place),
        28..37 => Op::Kill { child: byte(rng) },
        37..49 => {
            Op::Open { whose: whose(rng), slot: byte(rng), path_only: rng.u32(0..8) == 0, close_on_exec: rng.bool() }
        }
        49..52 => Op::Dup { fd: byte(rng) },
        52..61 => Op::Close { fd: byte(rng) },
        61..70 => Op::Setns {
            fd: byte(rng),
            nstype: *rng.choice([Nstype::Zero, Nstype::Right, Nstype::Right, Nstype::Wrong].as_slice()).expect("four"),
        },
        70..75 => Op::SetnsPidfd { whose: whose(rng), flags: flags(rng, false) },
        75..77 => Op::SetnsBad { closed: rng.bool(), flags: flags(rng, false) & if rng.bool() { u64::MAX } else { 0 } },
        77..80 => Op::Send { fd: byte(rng), keep: rng.bool() },
        80..82 => Op::Receive,
        82..83 => Op::Register { fd: byte(rng) },
        83..86 => Op::Mount { whose: whose(rng), slot: byte(rng) },
        86..87 => Op::MountFd { fd: byte(rng) },
        87..88 => Op::Move { mount: byte(rng) },
        88..91 => Op::Umount { mount: byte(rng), lazy: rng.bool() },
        91..94 => match place {
            Place::Child(depth) if depth < DEPTH => {
                Op::Thread { ops: several(rng, Place::Thread(depth + 1), 4), linger: rng.bool() }
            }
            _ => spawn(rng, place),
        },
        94..96 if !worker => Op::BecomeNobody,
        96..98 => Op::Limit { kind: byte(rng), max: rng.u8(0..4) },
        98..99 if worker => Op::Fuzz { children: rng.u8(1..4), millis: rng.u8(0..4), seed: rng.u64(..) },
        _ => Op::Close { fd: byte(rng) },
    }
}

/// A random subset, mostly a small one; sometimes a bit that the call does not take.
fn flags(rng: &mut Rng, sparing: bool) -> u64 {
    let mut flags = 0;
    for _ in 0..*rng.choice([1, 1, 1, 2, 3, 6].as_slice()).expect("six") {
        flags |= KINDS[rng.usize(..KINDS.len())].flag;
    }
    // Too deep in user namespaces, or with a pid namespace whose init was killed, a worker could do nothing any more.
    for name in ["user", "pid"] {
        let flag = kind(name).flag;
        if sparing && rng.u32(0..5) > 0 && flags != flag {
            flags &= !flag;
        }
    }
    if rng.u32(0..40) == 0 {
        flags |= 1;
    }
    flags
}

fn whose(rng: &mut Rng) -> Whose {
    match rng.u32(0..5) {
        0 | 1 => Whose::Own,
        2 | 3 => Whose::Child(rng.u8(..)),
        _ => Whose::Worker(rng.u8(..)),
    }
}

fn spawn(rng: &mut Rng, place: Place) -> Op {
    let depth = match place {
        Place::Worker => 0,
        Place::Child(depth) | Place::Thread(depth) => depth,
    };
    let how = match rng.u32(0..10) {
        0..3 => How::Fork,
        3..6 => How::Clone,
        6..8 => How::Clone3,
        8 => How::Clone3SamePid,
        _ => How::Vfork,
    };
    let flags = if how == How::Fork { 0 } else { flags(rng, false) & !1 };
    let most = if how == How::Vfork { 2 } else { 5 };
    let ops = if depth < DEPTH { several(rng, Place::Child(depth + 1), most) } else { Vec::new() };
    let pause = matches!(place, Place::Worker | Place::Child(_));
    let then = match rng.u32(0..10) {
        0..5 if pause && how != How::Vfork => Then::Pause,
        5 if pause => Then::ExecPause,
        6 if pause => Then::ThreadExecPause,
        7 => Then::ExecExit,
        _ => Then::Exit,
    };
    let then = if how == How::Vfork && then == Then::ThreadExecPause { Then::ExecPause } else { then };
    Op::Spawn { how, flags, ops, then }
}
