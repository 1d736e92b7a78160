//! Children and threads.

use std::{
    ffi::CString,
    os::fd::RawFd,
    sync::{atomic::AtomicU64, mpsc},
};

use nstrace_tests::{
    kinds::{ALL_FLAGS, kind},
    sys,
};

use crate::{
    actor::{Actor, Child, say},
    op::{How, Op, Then},
    record::Record,
};

/// Makes a child and waits until it has done its operations: it ended, or pauses.
pub fn child(actor: &mut Actor, how: How, flags: u64, ops: &[Op], then: Then) {
    let flags = match how {
        How::Fork => 0,
        // The bit of CLONE_NEWTIME belongs to the exit signal there.
        How::Clone | How::Vfork => flags & !kind("time").flag,
        How::Clone3 | How::Clone3SamePid => flags,
    } & ALL_FLAGS;
    let parent = actor.pid;
    let (reader, writer) = sys::pipe();
    let (call, result) = match how {
        How::Fork => ("fork", sys::fork()),
        How::Clone => ("clone", sys::clone(flags)),
        How::Vfork => ("clone", sys::clone(flags | libc::CLONE_VFORK as u64)),
        How::Clone3 => ("clone3", sys::clone3(flags, &[])),
        How::Clone3SamePid => {
            let wanted: Vec<i32> = actor.last_reaped.iter().filter_map(|&pid| i32::try_from(pid).ok()).collect();
            ("clone3", sys::clone3(flags, &wanted))
        }
    };
    match result {
        Ok(0) => {
            sys::close(reader);
            actor.reborn(writer);
            let call = if flags == 0 { "fork" } else { call }.to_owned();
            say(&Record::Born { pid: actor.pid, parent, call, flags, slots: actor.slots });
            sys::write_number(writer, actor.pid);
            actor.settle_in(flags, true);
            actor.perform_all(ops);
            go_on(actor, then);
        }
        Ok(local) => {
            sys::close(writer);
            let born = sys::read_number(reader);
            match sys::read_number(reader) {
                Some(pid) => actor.children.push(Child { local, pid }),
                None if actor.reap(local) => say(&Record::Killed { pid: born, parent }),
                None => {}
            }
            sys::close(reader);
        }
        Err(errno) => {
            sys::close(reader);
            sys::close(writer);
            if flags != 0 {
                actor.called(call, flags, Err(errno));
            }
        }
    }
}

fn go_on(actor: &mut Actor, then: Then) -> ! {
    match then {
        Then::Exit => {}
        Then::Pause => pause(actor),
        Then::ExecExit => exec(actor, false),
        Then::ExecPause => exec(actor, true),
        Then::ThreadExecPause => {
            let mut in_thread = actor.clone();
            let thread = std::thread::Builder::new().spawn(move || {
                in_thread.in_thread();
                let Actor { pid, tid, slots, .. } = in_thread;
                say(&Record::Thread { pid, tid, slots });
                exec(&in_thread, true);
                say(&Record::Exit { pid });
                sys::exit(0);
            });
            if let Ok(thread) = thread {
                let _ = thread.join();
            }
        }
    }
    say(&Record::Exit { pid: actor.pid });
    sys::exit(0)
}

/// Waits to be killed: by the parent, or with it.
fn pause(actor: &mut Actor) -> ! {
    sys::die_with_parent();
    if let Some(ready) = actor.ready.take() {
        sys::write_number(ready, actor.pid);
        sys::close(ready);
    }
    actor.pause()
}

/// First argument of a program that is a process of a worker after execve.
const AFTER_EXEC: &str = "after-exec";

/// Goes on as [`AfterExec`]; returns when that fails.
fn exec(actor: &Actor, pause: bool) {
    let ready = actor.ready.filter(|_| pause).map_or_else(|| "none".to_owned(), |fd| fd.to_string());
    let mut words = vec!["soak".to_owned(), AFTER_EXEC.to_owned()];
    words.extend([actor.pid.to_string(), actor.tid.to_string(), ready]);
    words.extend(actor.children.iter().map(|child| format!("{}:{}", child.local, child.pid)));
    let words: Vec<CString> = words.into_iter().map(|word| CString::new(word).expect("no NUL")).collect();
    let mut argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    // SAFETY: NUL-terminated strings in a null-terminated array.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr()) };
}

/// What the new program was told: `tid` made the call.
#[derive(Debug)]
pub struct AfterExec {
    pid: u32,
    tid: u32,
    ready: Option<RawFd>,
    children: Vec<Child>,
}

impl AfterExec {
    /// What [`exec`] wrote, if this program was started by it. Not by clap: it takes longer than all the rest of the program,
    /// which in an emulated guest is a quarter of a run.
    pub fn told() -> Option<Self> {
        let mut words = std::env::args().skip(1);
        words.next().filter(|word| word == AFTER_EXEC)?;
        let (pid, tid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let ready = words.next()?.parse().ok();
        let child = |word: String| {
            let (local, pid) = word.split_once(':')?;
            Some(Child { local: local.parse().ok()?, pid: pid.parse().ok()? })
        };
        Some(Self { pid, tid, ready, children: words.filter_map(child).collect() })
    }

    pub fn go_on(self) -> ! {
        let Self { pid, tid, ready, children } = self;
        sys::set_comm(crate::Comms::of_this_run().actor.as_bytes());
        // This program performs none.
        static OPERATIONS: AtomicU64 = AtomicU64::new(0);
        let mut actor = Actor::new(String::new(), &OPERATIONS);
        say(&Record::Exec { pid, tid, after: actor.slots });
        if ready.is_some() {
            (actor.ready, actor.children) = (ready, children);
            pause(&mut actor);
        }
        say(&Record::Exit { pid });
        sys::exit(0)
    }
}

/// A thread that performs operations while the others of its process wait.
pub fn thread(actor: &mut Actor, ops: &[Op], linger: bool) {
    let (sender, receiver) = mpsc::channel();
    let (mut in_thread, ops) = (actor.clone(), ops.to_vec());
    let thread = std::thread::Builder::new().spawn(move || {
        in_thread.in_thread();
        let Actor { pid, tid, slots, .. } = in_thread;
        say(&Record::Thread { pid, tid, slots });
        in_thread.perform_all(&ops);
        if !linger {
            say(&Record::ThreadExit { pid, tid });
        }
        let _ = sender.send(in_thread);
        if linger {
            sys::pause();
        }
    });
    // EINVAL: not with a pid namespace for children that is not the own one.
    let Ok(thread) = thread else { return };
    let Ok(after) = receiver.recv() else {
        say(&Record::Trouble { what: format!("a thread of {} ended badly", actor.pid) });
        return;
    };
    let ended = after.tid;
    // What belongs to the whole process; slots are each thread's own.
    *actor = Actor { tid: actor.tid, slots: actor.slots, ..after };
    if !linger {
        let _ = thread.join();
        // The library is told before the kernel is done with it.
        let folder = format!("/proc/self/task/{ended}");
        while std::path::Path::new(&folder).exists() {
            std::thread::yield_now();
        }
    }
}
