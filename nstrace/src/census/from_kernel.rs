//! Facts from the kernel's own objects, by the census iterators.

use super::{
    Descriptor, Holder,
    build::{Builder, HolderFact, NamespaceFact, Object, TaskFact},
};
use crate::{
    event::Comm,
    kernel::census_iterators::{CensusIterators, Record, records},
    ns::{NsName, NsType},
};
use nstrace_common::{
    census::{File, Namespace, Task, what},
    task::PF_KTHREAD,
};

/// What the files said that only user space can finish.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Descriptors of io_uring instances.
    pub io_urings: Vec<Descriptor>,
}

/// Adds every task and the namespaces they refer to.
pub(super) fn tasks(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<()> {
    let bytes = iterators.tasks()?;
    let mut leads = Leads::default();
    add(&bytes, builder, &mut leads);
    Ok(())
}

/// Adds the holders among open files.
pub(super) fn files(iterators: &mut CensusIterators, builder: &mut Builder) -> anyhow::Result<Leads> {
    let bytes = iterators.files()?;
    let mut leads = Leads::default();
    add(&bytes, builder, &mut leads);
    Ok(leads)
}

fn add(bytes: &[u8], builder: &mut Builder, leads: &mut Leads) {
    for record in records(bytes) {
        match record {
            Record::Namespace(record) => builder.namespace_record(&record),
            Record::Task(record) => builder.task(task(&record)),
            Record::File(record) => file(&record, builder, leads),
            Record::Mount(_) => {}
        }
    }
}

impl Builder {
    /// A namespace of unknown type, which a newer kernel may have, is left out.
    fn namespace_record(&mut self, record: &Namespace) {
        let Some(ns_type) = NsType::from_clone_flag(record.clone_flag.into()) else { return };
        let nests = matches!(ns_type, NsType::Pid | NsType::User);
        self.namespace(NamespaceFact {
            key: record.key,
            name: NsName { ns_type, inum: record.inum, id: Some(record.id).filter(|&id| id != 0) },
            owner: record.owner,
            parent: record.parent,
            level: nests.then_some(record.level),
            owner_uid: (ns_type == NsType::User).then_some(record.owner_uid),
            refs: Some(record.refs).filter(|&refs| refs != u32::MAX),
        });
    }
}

fn task(record: &Task) -> TaskFact {
    TaskFact {
        tid: record.tid,
        tgid: record.tgid,
        ppid: Some(record.ppid),
        uid: record.uid,
        comm: Comm::new(&record.comm),
        dead: record.exit_state != 0,
        kernel_thread: record.flags & PF_KTHREAD != 0,
        cgroup: record.cgroup,
        slots: record.slots,
        nsproxy: record.nsproxy,
        real_cred: record.real_cred,
        cred: record.cred,
        pid: record.pid,
    }
}

fn file(record: &File, builder: &mut Builder, leads: &mut Leads) {
    let at = Descriptor { pid: record.tgid, tid: record.tid, fd: record.fd };
    let (holder, object) = match record.what {
        what::NSFS => (Holder::Fd(at), Object::Nsfs),
        what::IN_FLIGHT => (Holder::InFlight(at), Object::Nsfs),
        what::SOCKET => {
            // skc_family has sixteen bits.
            let family = u16::try_from(record.detail).unwrap_or(0);
            (Holder::Socket { at, family }, Object::Sock(record.object))
        }
        what::TUN => (Holder::Tun(at), Object::Sock(record.object)),
        what::PIDFD => (Holder::Pidfd(at), Object::Pid(record.object)),
        what::CRED => (Holder::Cred(at), Object::Cred(record.object)),
        what::IO_URING => {
            leads.io_urings.push(at);
            return;
        }
        _ => return,
    };
    builder.holder(HolderFact { ns: record.ns, holder, object });
}
