//! NST-010: a contained task talks to a privileged service of the host through a unix socket.

use super::{Direction, Found, Sight, catalogue::HOST_SOCKET, homes::HomeId, lineage::seen_in, words};
use crate::{
    deed::{Act, Deed},
    ns::NsType,
};

pub(super) fn deed(sight: Sight<'_>, deed: &Deed, found: &mut Vec<Found>) {
    let Sight { world, lineage } = sight;
    if deed.act != Act::Connect {
        return;
    }
    let Some((other, slots)) = &deed.other else { return };
    let is_initial = |t| seen_in(world, slots, t).is_some_and(|ns| ns.initial);
    // root of the host: what it does for its clients it does with all of the host.
    let is_privileged = other.euid == 0 && is_initial(NsType::User) && is_initial(NsType::Mnt);
    if lineage.home(other) != HomeId::HOST || !is_privileged {
        return;
    }
    let explain = format!(
        "{} connected to the socket '{}' of {}, which is root on the host",
        words::who(world, &deed.task),
        deed.name,
        words::who(world, other)
    );
    let mut one = Found::new(&HOST_SOCKET, &deed.task, explain).with_object(other.tgid.into());
    one.direction = Some(Direction::Leave);
    found.push(one);
}
