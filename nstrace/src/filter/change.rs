//! The fields of an event line.

use std::borrow::Cow;

use super::{Field, Kind, Row, Value};
use crate::{
    model::{Change, What},
    view::{clone_flags, errno, time},
};

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

/// What expressions over events may name. lsns(8)'s names mean what they mean there (`NS` is the inode number).
pub const FIELDS: [Field; 30] = [
    field("EVENT", Kind::String),
    field("TIME", Kind::String),
    field("SEQ", Kind::Number),
    field("NS", Kind::Number),
    field("TYPE", Kind::String),
    field("NSID", Kind::Number),
    field("INITIAL", Kind::Boolean),
    field("PNS", Kind::Number),
    field("ONS", Kind::Number),
    field("NPROCS", Kind::Number),
    field("HOLDERS", Kind::Number),
    field("PID", Kind::Number),
    field("TID", Kind::Number),
    field("COMM", Kind::String),
    field("UID", Kind::Number),
    field("EUID", Kind::Number),
    field("KTHREAD", Kind::Boolean),
    field("VIA", Kind::String),
    field("FLAGS", Kind::String),
    field("ERRNO", Kind::String),
    field("CONTAINER", Kind::String),
    field("RUNTIME", Kind::String),
    field("POD", Kind::String),
    // Seconds.
    field("LIFETIME", Kind::Float),
    field("COUNT", Kind::Number),
    field("HOOK", Kind::String),
    field("CPU", Kind::Number),
    field("RULE", Kind::String),
    field("SEVERITY", Kind::String),
    field("ACT", Kind::String),
];

impl Row for Change {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        let text = |text: &'static str| Value::String(Cow::Borrowed(text));
        let number = |number: u32| Value::Number(number.into());
        let (ns, task, cause) = (self.what.ns(), self.task.as_ref(), self.cause.as_ref());
        let container = self.container.as_deref();
        match name {
            "EVENT" => Some(text(self.what.event())),
            "TIME" => Some(Value::String(Cow::Owned(time::rfc3339(self.utc_ns)))),
            "SEQ" => Some(Value::Number(self.seq)),
            "CPU" => Some(number(self.stamp.cpu)),
            "NS" => ns.map(|ns| number(ns.name.inum)),
            "TYPE" => self.what.ns_type().map(|t| text(t.name())),
            "NSID" => ns?.name.id.map(Value::Number),
            "INITIAL" => ns.map(|ns| Value::Boolean(ns.initial)),
            "PID" => task.map(|task| number(task.tgid)),
            "TID" => task.map(|task| number(task.key.tid)),
            "COMM" => task.map(|task| Value::String(task.comm.to_string_lossy())),
            "UID" => task.map(|task| number(task.uid)),
            "EUID" => task.map(|task| number(task.euid)),
            "KTHREAD" => task.map(|task| Value::Boolean(task.is_kernel_thread())),
            "VIA" => cause.map(|cause| text(cause.via.name())),
            "FLAGS" => {
                cause.map(|cause| Value::String(Cow::Owned(clone_flags::names(cause.via, cause.flags).join("|"))))
            }
            "ERRNO" => cause?.errno.map(|errno| Value::String(errno::name(errno))),
            "CONTAINER" => container.map(|c| Value::String(Cow::Borrowed(&c.id))),
            "RUNTIME" => container.map(|c| text(c.runtime)),
            "POD" => container?.pod.as_deref().map(|pod| Value::String(Cow::Borrowed(pod))),
            _ => self.detail(name),
        }
    }
}

impl Change {
    /// Fields that only some events have.
    fn detail(&self, name: &str) -> Option<Value<'_>> {
        match (&self.what, name) {
            (What::Created { owner: Some(owner), .. }, "ONS") => Some(Value::Number(owner.inum.into())),
            (What::Created { parent: Some(parent), .. }, "PNS") => Some(Value::Number(parent.inum.into())),
            (What::Snapshot { nprocs, .. }, "NPROCS") => Some(Value::Number((*nprocs).into())),
            (What::Snapshot { holders, .. }, "HOLDERS") => u64::try_from(holders.len()).ok().map(Value::Number),
            (What::Destroyed { lifetime_ns: Some(ns), .. }, "LIFETIME") => {
                Some(Value::Float(std::time::Duration::from_nanos(*ns).as_secs_f64()))
            }
            (What::Finding(finding), "RULE") => Some(Value::String(Cow::Borrowed(&finding.rule))),
            (What::Finding(finding), "SEVERITY") => Some(Value::String(Cow::Borrowed(finding.severity.name()))),
            (What::Finding(finding), "COUNT") => Some(Value::Number(finding.count)),
            (What::Deed(deed), "ACT") => Some(Value::String(Cow::Borrowed(deed.act.name()))),
            (What::Lost { count, .. }, "COUNT") => Some(Value::Number(*count)),
            (What::Lost { hook: Some(hook), .. }, "HOOK") => Some(Value::String(Cow::Borrowed(hook))),
            _ => None,
        }
    }
}
