//! Bytes of a record → [`Stamped`]. Total: any input gives an event or an error, at any alignment.

mod deed;
mod syscall;

use nstrace_common::{
    record::{self, Header, NsRef, hook, kind},
    slots::{CLONE_NEW_ANY, Slots},
    task::{PF_EXITING, PID_LEVELS, Task},
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    event::{Call, Comm, Event, NsFacts, Pids, SlotSet, Stamp, Stamped, TaskInfo, TaskKey, TransitionAt, Via},
    ns::{NsName, NsType, Slot},
};

/// Why bytes are not a record. Always a disagreement between the eBPF object and this collector, or a damaged recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("a record of {size} bytes is too short for the {} bytes of a header", size_of::<Header>())]
    Header { size: usize },
    #[error("a record of {size} bytes has the unknown kind {kind}; this nstrace knows ABI {}", record::ABI)]
    Kind { kind: u16, size: usize },
    #[error("a {kind} record has {size} bytes instead of {expected}")]
    Size { kind: &'static str, size: usize, expected: usize },
    #[error("a {kind} record of {size} bytes names no namespace: inode number {inum}, type flag {clone_flag:#x}")]
    Namespace { kind: &'static str, size: usize, inum: u32, clone_flag: u32 },
    #[error("a {kind} record of {size} bytes comes from hook {hook}, which writes none")]
    Hook { kind: &'static str, size: usize, hook: u16 },
    #[error("a deed record of {size} bytes says the unknown {what} was done")]
    Act { what: u32, size: usize },
}

/// Decodes one record of the ring buffer or of an iterator.
///
/// An iterator's task ([`kind::TASK`]) becomes [`Event::SnapshotTask`].
pub fn decode(bytes: &[u8]) -> Result<Stamped, DecodeError> {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else {
        return Err(DecodeError::Header { size: bytes.len() });
    };
    let stamp = Stamp { boot_ns: header.boot_ns, cpu: header.cpu, seq: header.seq };
    let size = bytes.len();
    let event = match header.kind {
        kind::FORK => {
            let r: record::Fork = body("fork", bytes)?;
            let creator = task(&r.creator);
            Event::Fork { call: fork_call(&r.call), creator, child: task(&r.child), slots: slots(&r.slots) }
        }
        kind::TRANSITION => {
            let r: record::Transition = body("transition", bytes)?;
            let at =
                transition_at(header.hook).ok_or(DecodeError::Hook { kind: "transition", size, hook: header.hook })?;
            let task = task(&r.task);
            Event::Transition {
                at,
                call: call(&r.call, &task),
                task,
                before: slots(&r.before),
                after: slots(&r.after),
                entered_boot_ns: some(r.entered_boot_ns),
            }
        }
        kind::RETURN => {
            let r: record::Return = body("return", bytes)?;
            let task = task(&r.task);
            Event::Return { call: call(&r.call, &task), task }
        }
        kind::EXEC => {
            let r: record::TaskState = body("exec", bytes)?;
            Event::Exec {
                task: task(&r.task),
                slots: slots(&r.slots),
                former_tid: (r.task.former_tid != 0).then_some(r.task.former_tid),
            }
        }
        kind::EXIT => {
            let r: record::TaskState = body("exit", bytes)?;
            Event::Exit { task: task(&r.task), slots: slots(&r.slots) }
        }
        kind::NAMESPACE => {
            let r: record::Namespace = body("namespace", bytes)?;
            Event::Namespace(facts(&r, name("namespace", size, &r.ns)?))
        }
        kind::FREED => {
            let r: record::Freed = body("freed", bytes)?;
            let NsRef { id, inum, clone_flag } = r.ns;
            if inum == 0 {
                return Err(DecodeError::Namespace { kind: "freed", size, inum, clone_flag });
            }
            Event::Freed { inum, id: some(id), ns_type: NsType::from_clone_flag(u64::from(clone_flag)) }
        }
        kind::PINNED => {
            let r: record::Pin = body("pinned", bytes)?;
            let task = task(&r.task);
            Event::Pinned { call: call(&r.call, &task), task, ns: name("pinned", size, &r.ns)? }
        }
        kind::UNPINNED => {
            let r: record::Pin = body("unpinned", bytes)?;
            let task = task(&r.task);
            Event::Unpinned { call: call(&r.call, &task), task, ns: name("unpinned", size, &r.ns)? }
        }
        kind::INSTALL => {
            let r: record::Install = body("install", bytes)?;
            let task = task(&r.task);
            Event::Install { call: call(&r.call, &task), task, ns: name("install", size, &r.ns)? }
        }
        kind::TASK => {
            let r: record::TaskState = body("task", bytes)?;
            Event::SnapshotTask { task: task(&r.task), slots: slots(&r.slots) }
        }
        kind::PLACED => Event::Placed(Box::new(deed::placed(&body("placed", bytes)?))),
        kind::DEED => Event::Deed(Box::new(deed::deed(&body("deed", bytes)?, size)?)),
        kind => return Err(DecodeError::Kind { kind, size }),
    };
    Ok(Stamped { stamp, event })
}

/// The whole record, of exactly its size.
fn body<T: FromBytes + KnownLayout + Immutable>(kind: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::Size { kind, size: bytes.len(), expected: size_of::<T>() })
}

const fn transition_at(hook: u16) -> Option<TransitionAt> {
    Some(match hook {
        hook::SWITCH_TASK_NAMESPACES => TransitionAt::Switch,
        hook::COMMIT_CREDS => TransitionAt::Creds,
        hook::UNSHARE | hook::SETNS => TransitionAt::Return,
        hook::COPY_NAMESPACES => TransitionAt::Copy,
        _ => return None,
    })
}

const fn some(id: u64) -> Option<u64> {
    if id == 0 { None } else { Some(id) }
}

fn task(t: &Task) -> TaskInfo {
    let levels = usize::try_from(t.level).unwrap_or(PID_LEVELS).saturating_add(1).min(PID_LEVELS);
    TaskInfo {
        key: TaskKey { tid: t.tid, start_boottime: t.start_boottime },
        tgid: t.tgid,
        uid: t.uid,
        euid: t.euid,
        cap_effective: t.cap_effective,
        cgroup: t.cgroup,
        flags: t.flags,
        pids: Pids::new(&t.pids[..levels]),
        comm: Comm::new(&t.comm),
    }
}

fn slots(s: &Slots) -> SlotSet {
    let mut set = SlotSet::default();
    for (slot, (&inum, &id)) in Slot::ALL.into_iter().zip(s.inum.iter().zip(&s.id)) {
        if inum != 0 {
            set.set(slot, Some(NsName { ns_type: slot.ns_type(), inum, id: some(id) }));
        }
    }
    set
}

/// The call that `current` is in: what it is part of, when it is none of its own.
fn call(c: &record::Call, current: &TaskInfo) -> Call {
    let nr = syscall::via(c.nr, c.compat == 1);
    let via = if current.is_kernel_thread() {
        Via::Kernel
    } else if current.flags & PF_EXITING != 0 {
        Via::Exit
    } else {
        nr.unwrap_or(Via::Unknown)
    };
    finish_call(c, via)
}

/// The call that made a task: [`Via::Fork`] when it asked for no namespace, by whichever call; otherwise clone or clone3.
fn fork_call(c: &record::Call) -> Call {
    let mut call = finish_call(c, syscall::via(c.nr, c.compat == 1).unwrap_or(Via::Unknown));
    if call.flags & CLONE_NEW_ANY == 0 {
        call.via = Via::Fork;
    }
    call
}

fn finish_call(c: &record::Call, via: Via) -> Call {
    Call {
        via,
        flags: syscall::flags(via, c.flags),
        errno: (-4095..0).contains(&c.ret).then(|| -c.ret), // MAX_ERRNO, include/linux/err.h
        fd: (via == Via::Setns).then_some(c.fd),
    }
}

fn name(kind: &'static str, size: usize, ns: &NsRef) -> Result<NsName, DecodeError> {
    match NsType::from_clone_flag(u64::from(ns.clone_flag)) {
        Some(ns_type) if ns.inum != 0 => Ok(NsName { ns_type, inum: ns.inum, id: some(ns.id) }),
        _ => Err(DecodeError::Namespace { kind, size, inum: ns.inum, clone_flag: ns.clone_flag }),
    }
}

/// An owner is always a user namespace and a parent of its child's type, so their flag may be missing.
fn facts(r: &record::Namespace, ns: NsName) -> NsFacts {
    let related = |ns_type, r: &NsRef| (r.inum != 0).then(|| NsName { ns_type, inum: r.inum, id: some(r.id) });
    let nested = matches!(ns.ns_type, NsType::Pid | NsType::User);
    NsFacts {
        ns,
        owner: related(NsType::User, &r.owner),
        parent: related(ns.ns_type, &r.parent).filter(|_| nested),
        level: nested.then_some(r.level),
        owner_uid: (ns.ns_type == NsType::User && r.owner_uid != u32::MAX).then_some(r.owner_uid),
    }
}

#[cfg(test)]
mod tests;
