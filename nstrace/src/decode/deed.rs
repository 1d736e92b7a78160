//! Records of [`nstrace_common::deed`].

use nstrace_common::deed;

use super::{DecodeError, call, name, slots, task};
use crate::{
    deed::{Act, Deed, Place, Placed},
    ns::{NsName, NsType},
};

pub(super) fn deed(record: &deed::Deed, size: usize) -> Result<Deed, DecodeError> {
    let what = record.what;
    let act = Act::ALL.into_iter().find(|act| act.wire() == what).ok_or(DecodeError::Act { what, size })?;
    let doer = task(&record.task);
    Ok(Deed {
        act,
        call: call(&record.call, &doer),
        task: doer,
        slots: slots(&record.slots),
        other: (record.other.tid != 0).then(|| (task(&record.other), slots(&record.other_slots))),
        place: place(&record.place),
        ns: match record.ns.inum {
            0 => None,
            _ => Some(name("deed", size, &record.ns)?),
        },
        number: record.number,
        flags: record.flags,
        name: text(&record.name),
        detail: text(&record.detail),
    })
}

pub(super) fn placed(record: &deed::Placed) -> Placed {
    let known = |number: u32| (number != u32::MAX).then_some(number);
    Placed {
        task: task(&record.task),
        slots: slots(&record.slots),
        root: place(&record.root),
        pwd: place(&record.pwd),
        exe: place(&record.exe),
        cap_permitted: record.cap_permitted,
        cap_bounding: record.cap_bounding,
        seccomp: known(record.seccomp),
        no_new_privs: known(record.no_new_privs).map(|on| on != 0),
        loginuid: known(record.loginuid),
        executed: record.executed != 0,
    }
}

fn place(wire: &deed::Place) -> Option<Place> {
    let id = wire.mnt_ns.id;
    let mounted = (wire.mnt_ns.inum != 0).then_some(NsName {
        ns_type: NsType::Mnt,
        inum: wire.mnt_ns.inum,
        id: (id != 0).then_some(id),
    });
    Place::of(wire, mounted)
}

/// Up to the first NUL; an abstract socket's name keeps the one it starts with, as `@`.
fn text(bytes: &[u8]) -> String {
    let (at, rest) = match bytes.split_first() {
        Some((0, rest)) if rest.first().is_some_and(|&b| b != 0) => ("@", rest),
        _ => ("", bytes),
    };
    let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
    format!("{at}{}", String::from_utf8_lossy(&rest[..len]))
}
