//! Output of the programs' own logging (aya-log), for whoever debugs them: only in objects built with
//! `cargo xtask ebpf --log`; shipped objects have no such map and nothing here runs.

use std::thread;

use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, poll};

/// Prints each line on stderr.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        anstream::eprintln!("nstrace-ebpf: {}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Starts printing when the object logs. Ends with the process.
pub fn start(ebpf: &mut Ebpf) {
    let Ok(mut logger) = EbpfLogger::init_with_logger(ebpf, Stderr) else { return };
    // A thread of its own, because the ring of the records must never wait for a terminal.
    let spawned = thread::Builder::new().name("ebpf-log".to_owned()).spawn(move || {
        loop {
            let mut fds = [PollFd::new(&logger, PollFlags::IN)];
            if !matches!(poll(&mut fds, None), Ok(_) | Err(rustix::io::Errno::INTR)) {
                return;
            }
            logger.flush();
        }
    });
    if let Err(error) = spawned {
        anstream::eprintln!("nstrace: no output of the programs' log: {error}");
    }
}
