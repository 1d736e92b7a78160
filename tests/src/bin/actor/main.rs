//! Performs namespace scenarios with raw system calls and prints, as JSON Lines, what the kernel says came of them.
//!
//! `actor list` names the scenarios, `actor run NAME|GROUP…` performs them one after the other, each in a process of its
//! own. `actor keep` makes namespaces that are kept in odd ways and keeps them. One thread only (but for the scenarios about threads), pipes instead of sleeps.

mod keep;
mod scenarios;
mod stage;
mod truth;

use std::process::ExitCode;

use nstrace_tests::{deed::What, sys};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            for scenario in scenarios::all() {
                println!("{}\t{}", scenario.group, scenario.name);
            }
            ExitCode::SUCCESS
        }
        ["run", wanted @ ..] if !wanted.is_empty() => run(wanted),
        ["keep", names @ ..] => keep::keep(names),
        ["after-exec", rest @ ..] => scenarios::exec::after_exec(rest),
        ["seen", rest @ ..] => scenarios::programs::seen(rest),
        _ => {
            eprintln!("usage: actor list | actor run NAME|GROUP… | actor keep [NAME…]");
            ExitCode::from(2)
        }
    }
}

fn run(wanted: &[&str]) -> ExitCode {
    truth::begin();
    let mut all = scenarios::all();
    if let Some(unknown) = wanted.iter().find(|w| !all.iter().any(|s| s.name == **w || s.group == **w)) {
        eprintln!("actor: no scenario and no group {unknown:?}; see `actor list`");
        return ExitCode::from(2);
    }
    all.retain(|s| wanted.contains(&s.name.as_str()) || wanted.contains(&s.group));
    let mut code = ExitCode::SUCCESS;
    for scenario in all {
        // The performer is a plain fork in the initial namespaces: nobody reports it.
        match sys::fork().expect("fork") {
            0 => {
                stage::enter(&scenario.name);
                stage::say(What::Begin { initial: truth::initial().clone() });
                // The first thread of the process, which other threads' calls leave where it is.
                stage::say(What::Thread { task: truth::task() });
                (scenario.run)();
                stage::exit();
            }
            performer => {
                let status = sys::wait(performer).expect("the performer is ours");
                if status != 0 {
                    code = ExitCode::FAILURE;
                }
                stage::end(&scenario.name, status);
            }
        }
    }
    code
}
