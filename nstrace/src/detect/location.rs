//! NST-003, NST-014, NST-020: files on mounts of another mount namespace.

use nstrace_common::file::mode::S_IFREG;

use super::{
    Direction, Found, Sight,
    catalogue::{FOREIGN_CODE, HOST_EXECUTABLE, LOCATION, Severity},
    homes::HomeId,
    lineage::seen,
    words,
};
use crate::{
    deed::{Act, Deed, Mounted, Place, Placed, device},
    event::TaskInfo,
    model::NsSeen,
    ns::{NsType, Slot},
};

/// Of the mounts in `place`'s mount namespace the task has no business: it is neither its own nor one of its home's.
fn foreign(sight: Sight<'_>, task: &TaskInfo, place: &Place) -> Option<NsSeen> {
    let Mounted::In(name) = place.mounted else { return None };
    let ns = seen(sight.world, name)?;
    (!sight.lineage.has_been_in(task, ns.key, ns.initial)).then_some(ns)
}

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let how = match deed.act {
        Act::Open => "opened",
        Act::Receive => "received",
        Act::WorkingDirectory => "changed its working directory to",
        Act::Root => "changed its root directory to",
        _ => return,
    };
    let Some(place) = deed.place.as_ref().filter(|_| deed.ns.is_none()) else { return };
    let who = || words::who(sight.world, &deed.task);
    let what = || format!("'{}' (inode {} of device {})", deed.name, place.ino, device(place.dev));
    if place.outside_mount {
        let explain = format!("{} {how} {}, which is not below the root of its mount", who(), what());
        found.push(Found::new(&LOCATION, &deed.task, explain).with_object(place.ino));
    } else if place.mounted == Mounted::Detached {
        let explain = format!("{} {how} {} on a mount that is attached nowhere", who(), what());
        let object = u64::from(place.dev);
        found.push(Found::new(&LOCATION, &deed.task, explain).with_severity(Severity::Low).with_object(object));
    } else if let Some(ns) = foreign(sight, &deed.task, place) {
        let explain = format!("{} {how} {} on a mount of {}", who(), what(), words::which(&ns));
        let mut one = Found::new(&LOCATION, &deed.task, explain).about(ns);
        one.direction = Some(Direction::Leave);
        one.from = deed.slots.get(Slot::Member(NsType::Mnt));
        found.push(one);
        if deed.is_for_writing() && place.is(S_IFREG) && place.mode & 0o111 != 0 {
            let explain = format!("{} opened the executable {} of {} for writing", who(), what(), words::which(&ns));
            found.push(Found::new(&HOST_EXECUTABLE, &deed.task, explain).with_object(place.ino));
        }
    }
}

/// Where a task stands when it has executed a program; `is_new`: the first one of its container.
pub(super) fn placed(sight: Sight<'_>, placed: &Placed, is_new: bool, found: &mut Vec<Found>) {
    if !placed.executed {
        return;
    }
    let task = &placed.task;
    let who = || words::who(sight.world, task);
    if sight.lineage.is_contained(task) {
        for (place, what) in
            [(&placed.root, "root directory"), (&placed.pwd, "working directory"), (&placed.exe, "program")]
        {
            let Some(ns) = place.as_ref().and_then(|place| foreign(sight, task, place)) else { continue };
            let explain = format!("the {what} with which {} starts lies on a mount of {}", who(), words::which(&ns));
            let mut one = Found::new(&LOCATION, task, explain).about(ns);
            one.direction = Some(Direction::Leave);
            one.from = placed.slots.get(Slot::Member(NsType::Mnt));
            // With which program a container starts is the choice of who starts it.
            let is_chosen = is_new && what == "program";
            found.push(if is_chosen { one.with_severity(Severity::Low) } else { one });
        }
    } else if sight.lineage.home(task) == HomeId::HOST
        && let Some(Mounted::In(name)) = placed.exe.map(|exe| exe.mounted)
        && placed.slots.get(Slot::Member(NsType::Mnt)).is_some_and(|own| own.inum != name.inum)
        && let Some(ns) = seen(sight.world, name)
        && sight.lineage.homes.sealed_with(ns.key).is_some()
    {
        let explain = format!("{} is of the host and executed a file on a mount of {}", who(), words::which(&ns));
        let one = Found::new(&FOREIGN_CODE, task, explain).about(ns);
        // Whoever makes the container's root directory its own before, means to run what is there.
        let means_it = placed.root.is_some_and(|root| root.mounted == Mounted::In(name));
        found.push(if means_it { one.with_severity(Severity::Low) } else { one });
    }
}
