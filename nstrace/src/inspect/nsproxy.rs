//! Who shares a task's `struct nsproxy`: fork and threads do, and go on until one of them makes or enters a namespace. Equal
//! namespaces are no proof of it, so only the kernel's own objects tell.

use serde::Serialize;

use crate::census::Census;

/// The tasks that refer to one nsproxy, the one asked about included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sharing {
    pub threads: usize,
    /// With at least one of these threads.
    pub processes: usize,
}

impl Sharing {
    /// Of a thread. None: it is not in the census, or that was not read from the kernel.
    pub fn of(census: &Census, tgid: u32, tid: u32) -> Option<Self> {
        let own = census.threads(tgid).iter().find(|task| task.tid == tid)?.nsproxy?;
        let sharers = || census.tasks.iter().filter(|task| task.nsproxy == Some(own));
        let mut processes: Vec<u32> = sharers().map(|task| task.tgid).collect();
        // Threads of a process stand together.
        processes.dedup();
        Some(Self { threads: sharers().count(), processes: processes.len() })
    }
}
