//! NST-004: a contained task looks into, or controls, a task outside its home.

use super::{Direction, Found, Severity, Sight, catalogue::TASK_ACCESS, homes::HomeId, lineage::seen_in, words};
use crate::{
    deed::{Act, Deed},
    event::Via,
    ns::NsType,
};

/// `PTRACE_MODE_*` (linux/ptrace.h).
const ATTACH: u32 = 0x02;
const NOAUDIT: u32 = 0x04;
const FSCREDS: u32 = 0x08;

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let Sight { world, lineage } = sight;
    // Programs that list tasks ask without audit.
    if deed.act != Act::Access || deed.flags & NOAUDIT != 0 {
        return;
    }
    let Some((other, slots)) = &deed.other else { return };
    let (own, theirs) = (lineage.home(&deed.task), lineage.home(other));
    if theirs == own || lineage.homes.is_inside(theirs, own) {
        return;
    }
    let pid = seen_in(world, slots, NsType::Pid);
    let direction = if lineage.homes.is_inside(own, theirs) { Direction::Leave } else { Direction::Lateral };
    // Whoever was made to share a pid namespace with another container was made to see its tasks.
    let is_shared = |key| lineage.homes.get(own).is_some_and(|home| home.set.contains(&key)) && theirs != HomeId::HOST;
    if pid.as_ref().is_some_and(|pid| !pid.initial && is_shared(pid.key)) {
        return;
    }
    // What is opened by way of /proc and lies elsewhere is told when it is opened (NST-003). Without that a call that opens, reads or
    // asks for names learns no more than what programs that list tasks show: environment, program, what it waits for.
    let is_look = deed.flags & (ATTACH | FSCREDS) == FSCREDS
        && matches!(deed.call.via, Via::Open | Via::Read | Via::Stat | Via::Close);
    let how = match deed.flags {
        flags if flags & ATTACH != 0 => "may attach to, or take descriptors from,",
        flags if flags & FSCREDS != 0 => "looked through /proc into",
        _ => "referred to",
    };
    let explain = format!("{} {how} {}", words::who(world, &deed.task), words::who(world, other));
    let mut one = Found::new(&TASK_ACCESS, &deed.task, explain);
    // One that looks at all of them is one finding, not one for each.
    let whom = if is_look { u64::from(u32::MAX) + theirs.0 } else { u64::from(other.tgid) };
    if is_look {
        one = one.with_severity(Severity::Low);
    }
    if let Some(pid) = pid {
        one = one.about(pid);
    }
    one.direction = Some(direction);
    found.push(one.with_object(whom << 32 | u64::from(deed.flags)));
}
