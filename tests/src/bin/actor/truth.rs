//! What the kernel says about the calling thread: `/proc/thread-self` of the initial pid namespace's procfs.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use nstrace_tests::{
    deed::{NsTruth, TaskTruth},
    kinds::SLOTS,
};

use crate::sys;

/// The namespaces of the actor itself, the initial ones.
static INITIAL: OnceLock<BTreeMap<String, NsTruth>> = OnceLock::new();

/// Real uid in the initial user namespace: `/proc/self/status` shows it in the reader's own one, so the actor
/// remembers what it made of it. Changed only by [`set_uid`].
static UID: AtomicU32 = AtomicU32::new(0);

/// To be called first, in the initial namespaces.
pub fn begin() {
    let uid = rustix::process::getuid().as_raw();
    UID.store(uid, Ordering::Relaxed);
    let initial = slots(&format!("/proc/{}/ns", std::process::id()), false);
    INITIAL.set(initial).expect("begin is called once");
}

pub fn initial() -> &'static BTreeMap<String, NsTruth> {
    INITIAL.get().expect("begin was called")
}

/// Takes over what another process image knew about this process.
pub fn resume(initial: BTreeMap<String, NsTruth>, uid: u32) {
    UID.store(uid, Ordering::Relaxed);
    INITIAL.set(initial).expect("resume is called once");
}

/// Becomes `uid` (seen from the initial user namespace) without any capability.
pub fn set_uid(uid: u32) {
    sys::become_uid(uid);
    UID.store(uid, Ordering::Relaxed);
}

/// The calling thread.
pub fn task() -> TaskTruth {
    let status = fs::read("/proc/thread-self/status").expect("procfs is mounted");
    let numbers = |key: &str| -> Vec<u32> {
        status
            .split(|&b| b == b'\n')
            .find_map(|line| line.strip_prefix(key.as_bytes()))
            .map(|rest| String::from_utf8_lossy(rest).split_whitespace().filter_map(|n| n.parse().ok()).collect())
            .unwrap_or_default()
    };
    let pids = numbers("NSpid:");
    let pid = numbers("Tgid:").first().copied().expect("status has Tgid");
    let tid = numbers("Pid:").first().copied().expect("status has Pid");
    let mut comm = fs::read("/proc/thread-self/comm").expect("comm is readable");
    comm.pop();
    TaskTruth { pid, tid, pids, uid: UID.load(Ordering::Relaxed), comm, ns: slots("/proc/thread-self/ns", true) }
}

/// Another thread of this process, by its tid in the initial pid namespace.
pub fn thread(tid: u32) -> TaskTruth {
    let mut task = task();
    let folder = format!("/proc/self/task/{tid}");
    let mut comm = fs::read(format!("{folder}/comm")).unwrap_or_default();
    comm.pop();
    task.tid = tid;
    task.comm = comm;
    task.ns = slots(&format!("{folder}/ns"), true);
    task
}

/// The namespace behind one link of a `/proc/PID/ns` folder.
pub fn ns(path: &str, with_id: bool) -> Option<NsTruth> {
    let link = fs::read_link(path).ok()?;
    let inum = link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()?;
    Some(NsTruth { inum, id: with_id.then(|| id_of(path)).flatten() })
}

/// Opens, asks, closes: makes a short-lived pin of its own, which the expectations know.
pub fn id_of(path: &str) -> Option<u64> {
    let fd = sys::open(path).ok()?;
    let id = nstrace_tests::nsfs::id_of_fd(fd);
    sys::close(fd);
    id
}

fn slots(folder: &str, with_ids: bool) -> BTreeMap<String, NsTruth> {
    SLOTS
        .into_iter()
        .filter_map(|slot| {
            let path = format!("{folder}/{slot}");
            let plain = ns(&path, false)?;
            let initial = INITIAL.get().and_then(|all| all.get(slot)).is_none_or(|i| i.inum == plain.inum);
            let truth = if initial || !with_ids { plain } else { ns(&path, true)? };
            Some((slot.to_owned(), truth))
        })
        .collect()
}
