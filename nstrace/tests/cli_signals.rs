//! Being asked to stop. One test in a process of its own: signals are for all of a process.

use std::time::{Duration, Instant};

use nstrace::cli::shutdown::Shutdown;
use rustix::process::{Signal, getpid, kill_process};

#[test]
fn a_signal_is_a_request_and_a_hangup_says_so() {
    let shutdown = Shutdown::on_signals().expect("handlers can be installed");
    // From here on the grace period of a blocked output does not end this process.
    shutdown.finish();
    assert!(!shutdown.requested());
    kill_process(getpid(), Signal::HUP).expect("a process may signal itself");
    let start = Instant::now();
    while !shutdown.requested() {
        assert!(start.elapsed() < Duration::from_secs(10), "the signal was not noticed");
        std::thread::yield_now();
    }
    assert!(shutdown.hung_up());
}
