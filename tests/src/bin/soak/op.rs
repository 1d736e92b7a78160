//! What a worker is told to do. Operands are positions in lists that the worker keeps, taken modulo their length, so that
//! a script stays runnable when operations are left out of it; one that finds nothing to act on does nothing.

use serde::{Deserialize, Serialize};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// unshare(2); with `map`, root is mapped to itself in a new user namespace.
    Unshare {
        flags: u64,
        map: bool,
    },
    /// A child that performs `ops`.
    Spawn {
        how: How,
        flags: u64,
        ops: Vec<Op>,
        then: Then,
    },
    /// SIGKILL for a paused child, and the wait for its end.
    Kill {
        child: u8,
    },
    /// open(2) of a link below `/proc/PID/ns`.
    Open {
        whose: Whose,
        slot: u8,
        path_only: bool,
        close_on_exec: bool,
    },
    Dup {
        fd: u8,
    },
    Close {
        fd: u8,
    },
    /// setns(2) by an nsfs file.
    Setns {
        fd: u8,
        nstype: Nstype,
    },
    /// setns(2) by a pidfd.
    SetnsPidfd {
        whose: Whose,
        flags: u64,
    },
    /// setns(2) by something that is no namespace.
    SetnsBad {
        closed: bool,
        flags: u64,
    },
    /// An nsfs file goes into a message to oneself; the descriptor is closed unless `keep`.
    Send {
        fd: u8,
        keep: bool,
    },
    Receive,
    /// io_uring takes a reference of its own.
    Register {
        fd: u8,
    },
    /// Bind mount of a link below `/proc/PID/ns`.
    Mount {
        whose: Whose,
        slot: u8,
    },
    MountFd {
        fd: u8,
    },
    Move {
        mount: u8,
    },
    Umount {
        mount: u8,
        lazy: bool,
    },
    /// A thread that performs `ops`, then ends, or stays to the end of the process.
    Thread {
        ops: Vec<Op>,
        linger: bool,
    },
    /// Drops all capabilities and root for good.
    BecomeNobody,
    /// Sets `user.max_*_namespaces` of an own user namespace.
    Limit {
        kind: u8,
        max: u8,
    },
    /// Children that do whatever they like, unlogged, until they are killed.
    Fuzz {
        children: u8,
        millis: u8,
        seed: u64,
    },
}

/// The call that makes a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Fork,
    Clone,
    Clone3,
    /// clone3 with the pid of the child that was reaped last.
    Clone3SamePid,
    /// clone with `CLONE_VFORK`.
    Vfork,
}

/// How a child goes on when its operations are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    Exit,
    /// Until it is killed.
    Pause,
    ExecExit,
    ExecPause,
    /// execve(2) by a thread that is not the leader.
    ThreadExecPause,
}

/// A process to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    Own,
    Child(u8),
    /// Another worker.
    Worker(u8),
}

/// The second argument of setns(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nstype {
    Zero,
    Right,
    Wrong,
}
