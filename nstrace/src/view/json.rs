//! Event lines: one JSON object per change, its keys in the order of the contract. `schema/nstrace.schema.json` describes
//! them; `tests/cli_schema.rs` holds the two together.

use std::io;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::ser::{CompactFormatter, Formatter};

use super::{clone_flags, deed::DeedOut, errno, escape, time};
use crate::{
    detect::{Direction, Finding},
    event::{PinHolder, TaskInfo},
    model::{Cause, Change, NsSeen, What},
    ns::{NsName, NsType},
};

/// Appends one line, its newline included. Always valid JSON in UTF-8: bytes of names that are none become U+FFFD.
/// Characters that a terminal would act upon are written as `\u` escapes, which mean the same to a JSON reader.
pub fn line(change: &Change, out: &mut Vec<u8>) {
    object(&Line(change), out);
}

/// The line as a value.
pub fn value(change: &Change) -> serde_json::Value {
    serde_json::to_value(Line(change)).expect("a line has only string keys")
}

/// Appends one object as one line, as safe for terminals as an event line.
pub(super) fn object(object: &impl Serialize, out: &mut Vec<u8>) {
    // Writing into memory cannot fail, and no key of what is written here is anything but a string.
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Safely(CompactFormatter));
    object.serialize(&mut serializer).expect("a line has only string keys");
    out.push(b'\n');
}

/// Compact JSON that a terminal can be shown: C1 controls, bidirectional overrides and the like escaped too.
struct Safely(CompactFormatter);

impl Formatter for Safely {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let is_deceptive = |c: char| c == '\x7f' || escape::is_deceptive(c);
        let mut rest = fragment;
        while let Some((before, c)) =
            rest.find(is_deceptive).and_then(|at| Some((&rest[..at], rest[at..].chars().next()?)))
        {
            self.0.write_string_fragment(writer, before)?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[before.len() + c.len_utf8()..];
        }
        self.0.write_string_fragment(writer, rest)
    }
}

/// A 64-bit number that JavaScript readers get right: a JSON number as far as a double holds every integer (2^53 - 1),
/// beyond that a string of decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safe(pub u64);

impl Serialize for Safe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const MAX_SAFE: u64 = (1 << 53) - 1;
        if self.0 <= MAX_SAFE { serializer.serialize_u64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

struct Line<'a>(&'a Change);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change { stamp, utc_ns, seq, what, task, cause, container } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", what.event())?;
        map.serialize_entry("time", &time::rfc3339(*utc_ns))?;
        map.serialize_entry("boot_ns", &Safe(stamp.boot_ns))?;
        map.serialize_entry("seq", &Safe(*seq))?;
        map.serialize_entry("ns", &Ns::of(what))?;
        map.serialize_entry("task", &task.as_ref().map(Task::of))?;
        map.serialize_entry("cause", &cause.as_ref().map(CauseOut::of))?;
        map.serialize_entry("container", &container.as_deref())?;
        match what {
            What::Snapshot { ns: _, nprocs, holders } => {
                map.serialize_entry("nprocs", nprocs)?;
                map.serialize_entry("holders", &holders.iter().map(Holder::of).collect::<Vec<_>>())?;
            }
            What::Created { ns: _, owner, parent } => {
                map.serialize_entry("owner", &owner.map(Name::from))?;
                map.serialize_entry("parent", &parent.map(Name::from))?;
            }
            What::Destroyed { ns: _, lifetime_ns } => {
                map.serialize_entry("lifetime_ns", &lifetime_ns.map(Safe))?;
            }
            What::Lost { count, hook } => {
                map.serialize_entry("count", &Safe(*count))?;
                map.serialize_entry("hook", hook)?;
            }
            What::Joined { ns: _ }
            | What::Left { ns: _ }
            | What::Pinned { ns: _ }
            | What::Unpinned { ns: _ }
            | What::Denied { ns_type: _, ns: _ }
            | What::Resynced => {}
            What::Deed(deed) => map.serialize_entry("deed", &DeedOut::of(deed))?,
            What::Finding(finding) => self.finding(finding, &mut map)?,
        }
        map.end()
    }
}

impl Line<'_> {
    fn finding<M: SerializeMap>(&self, finding: &Finding, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("rule", &finding.rule)?;
        map.serialize_entry("severity", &finding.severity)?;
        map.serialize_entry("title", &finding.title)?;
        map.serialize_entry("mitre", &finding.mitre)?;
        map.serialize_entry("explain", &finding.explain)?;
        map.serialize_entry("evidence", &finding.evidence.iter().copied().map(Safe).collect::<Vec<_>>())?;
        map.serialize_entry("count", &Safe(finding.count))?;
        map.serialize_entry("direction", &finding.direction.map(Direction::name))?;
        map.serialize_entry("from", &finding.from.map(Name::from))?;
        map.serialize_entry("suppressed", &finding.suppressed)
    }
}

/// Of a failed attempt that named no namespace, only the type may be known.
#[derive(Serialize)]
struct Ns {
    #[serde(rename = "type")]
    ns_type: NsType,
    inum: Option<u32>,
    id: Option<Safe>,
    initial: Option<bool>,
}

impl Ns {
    fn of(what: &What) -> Option<Self> {
        let ns: Option<&NsSeen> = what.ns();
        Some(Self {
            ns_type: what.ns_type()?,
            inum: ns.map(|ns| ns.name.inum),
            id: ns.and_then(|ns| ns.name.id).map(Safe),
            initial: ns.map(|ns| ns.initial),
        })
    }
}

/// A namespace that a line mentions besides its own.
#[derive(Serialize)]
pub(super) struct Name {
    #[serde(rename = "type")]
    ns_type: NsType,
    inum: u32,
    id: Option<Safe>,
}

impl From<NsName> for Name {
    fn from(name: NsName) -> Self {
        Self { ns_type: name.ns_type, inum: name.inum, id: name.id.map(Safe) }
    }
}

#[derive(Serialize)]
struct Task<'a> {
    pid: u32,
    tid: u32,
    comm: std::borrow::Cow<'a, str>,
    uid: u32,
    pids: &'a [u32],
}

impl<'a> Task<'a> {
    fn of(task: &'a TaskInfo) -> Self {
        Self {
            pid: task.tgid,
            tid: task.key.tid,
            comm: task.comm.to_string_lossy(),
            uid: task.uid,
            pids: task.pids.as_slice(),
        }
    }
}

#[derive(Serialize)]
struct CauseOut {
    via: &'static str,
    flags: Vec<std::borrow::Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<std::borrow::Cow<'static, str>>,
}

impl CauseOut {
    fn of(cause: &Cause) -> Self {
        Self {
            via: cause.via.name(),
            flags: clone_flags::names(cause.via, cause.flags),
            errno: cause.errno.map(errno::name),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Holder<'a> {
    Fd { pid: u32, fd: i32 },
    Mount { mnt_ns: Option<u32>, path: &'a str },
}

impl<'a> Holder<'a> {
    pub(super) fn of(holder: &'a PinHolder) -> Self {
        match holder {
            PinHolder::Fd { tgid, fd } => Self::Fd { pid: *tgid, fd: *fd },
            PinHolder::Mount { mnt_ns, path } => Self::Mount { mnt_ns: Some(*mnt_ns).filter(|&inum| inum != 0), path },
        }
    }
}

/// A whole document, its newline included; as safe for terminals as a line.
pub fn document(document: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    object(document, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::Safe;

    #[test]
    fn numbers_beyond_a_double_become_strings() {
        let json = |number| serde_json::to_string(&Safe(number)).expect("a number is serialisable");
        assert_eq!(json(0), "0");
        assert_eq!(json((1 << 53) - 1), "9007199254740991");
        assert_eq!(json(1 << 53), "\"9007199254740992\"");
        assert_eq!(json(u64::MAX), "\"18446744073709551615\"");
    }
}
