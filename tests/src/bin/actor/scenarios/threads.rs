//! Threads with namespaces of their own, and an io_uring worker that nobody forked.

use nstrace_tests::{deed::What, kinds::kind};

use super::Scenario;
use crate::{
    stage::{self, Gate},
    sys, truth,
};

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("threads", "thread_unshares", thread_unshares),
        Scenario::new("threads", "thread_stays", thread_stays),
        Scenario::new("threads", "thread_born_inside", thread_born_inside),
        Scenario::new("threads", "io_uring_sqpoll", io_uring_sqpoll),
    ]
}

/// The calling thread has just started.
pub fn say_thread() {
    stage::say(What::Thread { task: truth::task() });
}

/// The calling thread is about to end.
pub fn say_thread_exit() {
    stage::say(What::Exit { task: truth::task(), process: false, early: false });
}

/// A thread goes into a namespace of its own; its process stays in the old one too.
fn thread_unshares() {
    std::thread::spawn(|| {
        say_thread();
        stage::unshare(kind("net").flag | kind("uts").flag).expect("root may");
        say_thread_exit();
        sys::exit_thread();
    });
    wait_alone();
    stage::unshare(kind("ipc").flag).expect("root may");
}

/// The leader goes; a thread stays behind, so the process is still in the old namespace.
fn thread_stays() {
    stage::unshare(kind("uts").flag).expect("root may");
    let (ready, go) = (Gate::new(), Gate::new());
    let (thread_ready, thread_go) = (&ready, &go);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            say_thread();
            thread_ready.open();
            thread_go.wait();
            // Now the last thread follows nobody: it leaves by its own end.
            say_thread_exit();
        });
        ready.wait();
        stage::unshare(kind("uts").flag).expect("root may");
        go.open();
    });
    wait_alone();
}

/// A thread shares what its process is in: nothing to report.
fn thread_born_inside() {
    stage::unshare(kind("net").flag).expect("root may");
    std::thread::spawn(|| {
        say_thread();
        say_thread_exit();
    })
    .join()
    .expect("the thread");
    wait_alone();
}

/// Waits until `/proc/self/task` has one entry: join returns before the kernel has taken the thread away.
fn wait_alone() {
    while std::fs::read_dir("/proc/self/task").expect("procfs").count() > 1 {
        std::thread::yield_now();
    }
}

/// The worker appears without any clone call; it is a thread of this process (a kernel thread on 5.10).
fn io_uring_sqpoll() {
    stage::unshare(kind("uts").flag).expect("root may");
    let ring = match sys::io_uring_sqpoll() {
        Ok(ring) => ring,
        Err(errno) => {
            stage::skip(format!("io_uring_setup: {}", errno.name()));
            return;
        }
    };
    let own = truth::task().tid;
    let threads = std::fs::read_dir("/proc/self/task").expect("procfs");
    for entry in threads {
        let tid = entry.expect("an entry").file_name().to_string_lossy().parse().expect("a tid");
        if tid != own {
            stage::say(What::Thread { task: truth::thread(tid) });
        }
    }
    stage::unshare(kind("net").flag).expect("root may");
    // Exits with the ring open: the kernel ends the worker.
    let _ = ring;
}
