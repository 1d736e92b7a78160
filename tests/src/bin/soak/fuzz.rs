//! Children that change namespaces as fast as they can and are killed in the middle of it. Nobody knows what exactly they
//! did, so only the lives of their namespaces and the state afterwards are compared.

use fastrand::Rng;
use nstrace_tests::{
    kinds::{KINDS, SLOTS, kind},
    sys,
};

use crate::{Comms, actor::Actor};

pub fn run(actor: &mut Actor, children: u8, millis: u8, seed: u64) {
    let comms = Comms::of_this_run();
    // Inherited, so that already the child's first line has it.
    sys::set_comm(comms.fuzz.as_bytes());
    let pids: Vec<u32> = (0..children).filter_map(|n| fork(seed.wrapping_add(n.into()))).collect();
    std::thread::sleep(std::time::Duration::from_millis(millis.into()));
    for &pid in &pids {
        sys::kill(pid, libc::SIGKILL);
    }
    for pid in pids {
        actor.reap(pid);
    }
    sys::set_comm(comms.actor.as_bytes());
}

fn fork(seed: u64) -> Option<u32> {
    match sys::fork() {
        Ok(0) => {
            sys::die_with_parent();
            let mut rng = Rng::with_seed(seed);
            loop {
                step(&mut rng);
            }
        }
        Ok(pid) => Some(pid),
        Err(_) => None,
    }
}

fn step(rng: &mut Rng) {
    let flag = KINDS[rng.usize(..KINDS.len())].flag;
    match rng.u32(0..6) {
        0..2 => drop(sys::unshare(flag)),
        2 => {
            let slot = SLOTS[rng.usize(..SLOTS.len())];
            if let Ok(fd) = sys::open(&format!("/proc/self/ns/{slot}")) {
                let _ = sys::setns(fd, 0);
                sys::close(fd);
            }
        }
        3 => {
            if let Ok(0) = sys::fork() {
                sys::exit(0);
            }
        }
        4 => {
            if let Ok(0) = sys::clone(flag & !kind("time").flag) {
                sys::exit(0);
            }
        }
        _ => {
            if let Ok(0) = sys::clone3(flag, &[]) {
                let _ = sys::unshare(KINDS[rng.usize(..KINDS.len())].flag);
                sys::exit(0);
            }
        }
    }
    // Zombies count against the limit of processes.
    while sys::reap_any().is_some() {}
}
