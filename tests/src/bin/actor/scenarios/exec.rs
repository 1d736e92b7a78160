//! execve(2): into the time namespace meant for children (5.6+ says man, 6.12+ does it), and with a new name.

use std::{os::unix::process::CommandExt, process::Command, process::ExitCode};

use nstrace_tests::{
    deed::{TaskTruth, What},
    kinds::kind,
};

use super::Scenario;
use crate::{stage, sys, truth};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("calls", "exec_into_time", || {
            stage::unshare(kind("time").flag).expect("root may");
            again("exec_into_time");
        }),
        Scenario::new("calls", "exec_keeps_the_rest", || {
            stage::unshare(kind("uts").flag | kind("net").flag).expect("root may");
            again("exec_keeps_the_rest");
        }),
    ]
}

/// Executes this program anew; the new image reports the call that made it.
fn again(scenario: &str) {
    let before = serde_json::to_string(&(truth::initial(), truth::task())).expect("plain data");
    let t0 = sys::boot_ns().to_string();
    let program = std::env::current_exe().expect("this program");
    let error = Command::new(program).args(["after-exec", scenario, &t0, &before]).exec();
    panic!("exec of the actor itself failed: {error}");
}

/// The second life of [`again`]'s process.
pub fn after_exec(args: &[&str]) -> ExitCode {
    let t1 = sys::boot_ns();
    let [scenario, t0, before] = args else {
        eprintln!("usage: actor after-exec SCENARIO BOOT_NS STATE");
        return ExitCode::from(2);
    };
    let (initial, before): (_, TaskTruth) = serde_json::from_str(before).expect("what again() wrote");
    truth::resume(initial, before.uid);
    stage::enter(scenario);
    let after = truth::task();
    let t0 = t0.parse().expect("a number");
    stage::say_at(t0, t1, What::Call { call: "exec".to_owned(), flags: 0, errno: None, before, after });
    stage::exit();
}
