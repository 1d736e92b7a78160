//! `actor keep`: namespaces kept alive in odd ways, each by processes of its own, until standard input ends.
//!
//! Every one is alive by construction; what else the kernel says of it is in [`nstrace_tests::held::Held`].

mod files;
mod flight;
mod kernel;
mod mounts;
mod tasks;
mod tools;

use std::process::ExitCode;

use nstrace_tests::held::Line;

use crate::sys;
use tools::SKIPPED;

/// A way of holding: its name, and what makes it. It returns when all is made; the process stays.
type Keeper = (&'static str, fn());

fn all() -> Vec<Keeper> {
    [tasks::ALL, files::ALL, flight::ALL, mounts::ALL, kernel::ALL].concat()
}

/// Makes those of these names, or all, says so, and keeps them until standard input ends.
pub fn keep(names: &[&str]) -> ExitCode {
    crate::truth::begin();
    let mut chosen = all();
    if let Some(unknown) = names.iter().find(|name| !chosen.iter().any(|keeper| keeper.0 == **name)) {
        eprintln!("actor: no way of holding {unknown:?}");
        return ExitCode::from(2);
    }
    chosen.retain(|keeper| names.is_empty() || names.contains(&keeper.0));
    // A mount namespace can be mounted in older ones only, and 6.18 goes by ids that each CPU counts for itself.
    let mut first = rustix::thread::CpuSet::new();
    first.set(0);
    rustix::thread::sched_setaffinity(None, &first).expect("one's own");
    let life = tools::begin();
    let mut keepers = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for (name, make) in chosen {
        let ready = crate::stage::Gate::new();
        let pid = match sys::fork().expect("fork") {
            0 => {
                drop(life);
                let _ = std::panic::catch_unwind(|| {
                    tools::enter(name);
                    make();
                    ready.send(b"+");
                    ready.close();
                    tools::stay();
                });
                sys::exit(1);
            }
            pid => pid,
        };
        // The keeper's end is the end of the pipe, when it does not say that it is ready.
        let ended = ready.close_writer_and_wait().is_err() && sys::wait(pid).is_ok_and(|status| status != SKIPPED << 8);
        if ended {
            eprintln!("actor: {name} failed");
            code = ExitCode::FAILURE;
        }
        keepers.push(pid);
    }
    tools::print(&Line::Ready);
    let mut byte = [0];
    while rustix::io::read(rustix::stdio::stdin(), &mut byte).is_ok_and(|read| read > 0) {}
    drop(life);
    for &pid in &keepers {
        let _ = sys::wait(pid);
    }
    mounts::clean_up();
    for pid in keepers {
        tools::clean_up(pid);
    }
    code
}
