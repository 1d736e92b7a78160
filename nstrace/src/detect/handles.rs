//! NST-002: a contained task opens, receives or mounts the nsfs file of a namespace that is not of its home.

use super::{Found, Sight, catalogue::FOREIGN_HANDLE, leave, lineage::seen, words};
use crate::deed::{Act, Deed};

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let how = match deed.act {
        Act::Open | Act::HandleOpen => "opened",
        Act::Receive => "received",
        Act::Bind => "bind-mounted",
        _ => return,
    };
    let Some(ns) = deed.ns.and_then(|name| seen(sight.world, name)) else { return };
    let Some(direction) = leave::direction(sight, &deed.task, &ns) else { return };
    let explain = format!("{} {how} {}", words::who(sight.world, &deed.task), words::which(&ns));
    let mut one = Found::new(&FOREIGN_HANDLE, &deed.task, explain).about(ns);
    one.direction = Some(direction);
    found.push(one);
}
