//! What a `deed` and a `finding` say, as objects of an event line and as text.

use serde::Serialize;

use super::{
    escape::escaped,
    json::{Name, Safe},
};
use crate::{
    deed::{Deed, Mounted, Place, device},
    detect::Finding,
    event::TaskInfo,
    ns::NsName,
};

#[derive(Serialize)]
pub(super) struct DeedOut<'a> {
    act: &'static str,
    name: &'a str,
    detail: &'a str,
    /// `0x…`: meaning by act.
    flags: String,
    number: Safe,
    ns: Option<Name>,
    place: Option<PlaceOut>,
    other: Option<OtherOut<'a>>,
    caller: Vec<Name>,
}

#[derive(Serialize)]
struct PlaceOut {
    dev: String,
    ino: Safe,
    mode: String,
    rdev: String,
    magic: String,
    mnt_ns: Option<Name>,
    /// `attached`, `detached`, `internal`, `unknown`.
    mount: &'static str,
    host_root: bool,
    host_file_system: bool,
    outside_mount: bool,
    initial_user: bool,
    read_only: bool,
}

#[derive(Serialize)]
struct OtherOut<'a> {
    pid: u32,
    tid: u32,
    comm: std::borrow::Cow<'a, str>,
    uid: u32,
    namespaces: Vec<Name>,
}

impl<'a> DeedOut<'a> {
    pub fn of(deed: &'a Deed) -> Self {
        Self {
            act: deed.act.name(),
            name: &deed.name,
            detail: &deed.detail,
            flags: format!("{:#x}", deed.flags),
            number: Safe(deed.number),
            ns: deed.ns.map(Name::from),
            place: deed.place.as_ref().map(PlaceOut::of),
            other: deed.other.as_ref().map(|(task, slots)| OtherOut::of(task, slots.iter().map(|(_, ns)| ns))),
            caller: deed.slots.iter().map(|(_, ns)| ns.into()).collect(),
        }
    }
}

impl PlaceOut {
    fn of(place: &Place) -> Self {
        let (mount, mnt_ns) = match place.mounted {
            Mounted::In(ns) => ("attached", Some(ns.into())),
            Mounted::Detached => ("detached", None),
            Mounted::Internal => ("internal", None),
            Mounted::Unknown => ("unknown", None),
        };
        Self {
            dev: device(place.dev),
            ino: Safe(place.ino),
            mode: format!("{:#o}", place.mode),
            rdev: device(place.rdev),
            magic: format!("{:#x}", place.magic),
            mnt_ns,
            mount,
            host_root: place.host_root,
            host_file_system: place.host_file_system,
            outside_mount: place.outside_mount,
            initial_user: place.initial_user,
            read_only: place.read_only,
        }
    }
}

impl<'a> OtherOut<'a> {
    fn of(task: &'a TaskInfo, namespaces: impl Iterator<Item = NsName>) -> Self {
        Self {
            pid: task.tgid,
            tid: task.key.tid,
            comm: task.comm.to_string_lossy(),
            uid: task.uid,
            namespaces: namespaces.map(Name::from).collect(),
        }
    }
}

/// `critical NST-001: …`, with `(10 times)` from the second line on. Escaped.
pub(super) fn finding(finding: &Finding) -> String {
    let times = if finding.count > 1 { format!(" ({} times)", finding.count) } else { String::new() };
    let suppressed = finding.suppressed.as_deref().map(|reason| format!(" [suppressed: {reason}]"));
    let text =
        format!("{} {}: {}{times}{}", finding.severity, finding.rule, finding.explain, suppressed.unwrap_or_default());
    escaped(text.as_bytes()).to_string()
}

/// `open 'core_pattern' of net:[…]`. Escaped.
pub(super) fn deed(deed: &Deed) -> String {
    let mut text = deed.act.to_string();
    if !deed.name.is_empty() {
        text = format!("{text} '{}'", deed.name);
    }
    if !deed.detail.is_empty() {
        text = format!("{text} ('{}')", deed.detail);
    }
    if let Some(ns) = deed.ns {
        text = format!("{text} {ns}");
    }
    if let Some((other, _)) = &deed.other {
        text = format!("{text} {} (pid {})", other.comm.to_string_lossy(), other.tgid);
    }
    escaped(text.as_bytes()).to_string()
}
