//! Tries, inside whatever container it is started in, techniques by which containers are left, and prints as JSON Lines
//! what came of each. The same program is the host's victim, a container runtime of few words (`contain`), and honest
//! work that looks like an attack (`benign`).
//!
//! Nothing is destroyed: sinks are opened for writing and not written to; where a helper of the kernel has to run, what was
//! set before is set again.

mod access;
mod attempt;
mod benign;
mod cgroups;
mod contain;
mod devices;
mod executables;
mod extensions;
mod file_handles;
mod filesystems;
mod forged;
mod handles;
mod helpers;
mod id_maps;
mod locations;
mod outlived;
mod roots;
mod setns;
mod sinks;
mod sockets;
mod subsystems;
mod uring;
mod victim;

use std::process::ExitCode;

use attempt::{Technique, perform};

const FAMILIES: &[&[Technique]] = &[
    setns::ALL,
    handles::ALL,
    locations::ALL,
    access::ALL,
    sinks::ALL,
    helpers::ALL,
    devices::ALL,
    filesystems::ALL,
    file_handles::ALL,
    sockets::ALL,
    extensions::ALL,
    executables::ALL,
    subsystems::ALL,
    id_maps::ALL,
    cgroups::ALL,
    roots::ALL,
    outlived::ALL,
    forged::ALL,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            FAMILIES.iter().flat_map(|family| family.iter()).for_each(|(name, _)| println!("{name}"));
            ExitCode::SUCCESS
        }
        ["run", names @ ..] if !names.is_empty() => run(names),
        ["contain", stage, needs, program @ ..] if !program.is_empty() => contain::contain(stage, needs, program),
        ["victim", stage] => victim::serve(stage),
        ["idle"] => victim::idle(),
        ["benign", name] => benign::run(name),
        _ => {
            eprintln!(
                "usage: escape list | run TECHNIQUE… | contain STAGE NEEDS PROGRAM… | victim STAGE | idle | benign NAME"
            );
            ExitCode::from(2)
        }
    }
}

fn run(names: &[&str]) -> ExitCode {
    let mut wanted = Vec::new();
    for name in names {
        let Some(technique) = FAMILIES.iter().flat_map(|family| family.iter()).find(|(known, _)| known == name) else {
            eprintln!("escape: no technique {name:?}; see `escape list`");
            return ExitCode::from(2);
        };
        wanted.push(*technique);
    }
    // A single one is tried by the container's first process itself.
    if let [technique] = wanted[..] {
        perform(technique);
        return ExitCode::SUCCESS;
    }
    let mut code = ExitCode::SUCCESS;
    for technique in wanted {
        match nstrace_tests::sys::fork() {
            Ok(0) => {
                perform(technique);
                nstrace_tests::sys::exit(0);
            }
            Ok(child) if nstrace_tests::sys::wait(child) == Ok(0) => {}
            Ok(_) | Err(_) => code = ExitCode::FAILURE,
        }
    }
    code
}
