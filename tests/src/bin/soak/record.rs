//! The log of a worker and its descendants: what they did and what the kernel answered, one JSON object per line.
//!
//! Within one worker's family one process acts at a time, so its log is in order.

use std::path::Path;

use nstrace_tests::{kinds, nsfs};
use serde::{Deserialize, Serialize};

/// Inode numbers in the order of [`kinds::SLOTS`]; 0: could not be read.
pub type Slots = [u32; kinds::SLOTS.len()];

/// The slots of a task by its folder `…/ns`.
pub fn slots(folder: &str) -> Slots {
    kinds::SLOTS.map(|slot| nsfs::inum_of_link(Path::new(&format!("{folder}/{slot}"))).unwrap_or(0))
}

/// The calling thread's.
pub fn own_slots() -> Slots {
    let slots = slots("/proc/thread-self/ns");
    if slots[index("uts")] == 0 {
        let error = std::fs::read_link("/proc/thread-self/ns/uts").err();
        crate::actor::say(&Record::Trouble { what: format!("cannot read the own namespaces: {error:?}") });
    }
    slots
}

/// The place of a type or slot in [`Slots`].
pub fn index(slot: &str) -> usize {
    kinds::SLOTS.iter().position(|name| *name == slot).expect("a slot of kinds::SLOTS")
}

/// One line. All pids are those of the initial pid namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The first line of a worker.
    Worker {
        pid: u32,
        slots: Slots,
    },
    /// A child was made; said by itself.
    Born {
        pid: u32,
        parent: u32,
        call: String,
        flags: u64,
        slots: Slots,
    },
    /// A thread was made.
    Thread {
        pid: u32,
        tid: u32,
        slots: Slots,
    },
    /// unshare or setns came back; clone when it failed.
    Call {
        pid: u32,
        tid: u32,
        call: String,
        flags: u64,
        errno: Option<String>,
        after: Slots,
    },
    /// execve by the thread `tid`; every other thread of the process is gone.
    Exec {
        pid: u32,
        tid: u32,
        after: Slots,
    },
    /// The process ended, or was killed; its living descendants go with it.
    Exit {
        pid: u32,
    },
    /// A signal ended the process in the middle of its operations, or before it could say that it was born. It was in a pid
    /// namespace whose init was about to die when it was made: the end of the init's parent comes to the init as a signal, and
    /// from there to all others in there, while the rest of the family goes on.
    Killed {
        pid: Option<u32>,
        parent: u32,
    },
    ThreadExit {
        pid: u32,
        tid: u32,
    },
    /// A message with a namespace file waits to be received by this process, from which only it can take it.
    Sent {
        pid: u32,
        ns_type: String,
        inum: u32,
    },
    /// The oldest message was received.
    Received {
        pid: u32,
    },
    /// An io_uring of this process keeps the file.
    Registered {
        pid: u32,
        ns_type: String,
        inum: u32,
    },
    /// All operations of the round are done.
    Barrier {
        /// Of the whole family.
        operations: u64,
        /// Of the worker itself.
        own: u64,
    },
    /// The actor itself has a problem: no result counts.
    Trouble {
        what: String,
    },
}
