//! nsfs files and bind mounts: what holds a namespace without being in it.

use super::{Cause, Change, What, World, lifetimes::Maker};
use crate::{
    event::{Call, Stamp, TaskInfo, Via},
    ns::{NsName, NsType},
};

impl World {
    pub(super) fn pinned(&mut self, stamp: Stamp, call: &Call, task: &TaskInfo, name: NsName, out: &mut Vec<Change>) {
        if call.via == Via::Stat {
            return; // gone before anybody could look
        }
        // open_tree(2) and fsmount(2) make a mount namespace that nobody is in: its first file publishes it.
        let maker = Maker { task, call, since: stamp.boot_ns };
        let made_here =
            call.via == Via::Mount && name.ns_type == NsType::Mnt && self.namespaces.is_announced_anew(name);
        let Some(ns) = self.resolve(stamp, name, made_here.then_some(&maker), out) else { return };
        let entry = self.namespaces.get_mut(ns);
        if stamp.boot_ns < entry.pin_boot_ns {
            return;
        }
        entry.pin_boot_ns = stamp.boot_ns;
        if !std::mem::replace(&mut entry.pinned, true) {
            let seen = entry.seen();
            self.log.write(out, stamp, What::Pinned { ns: seen }, Some(task), Some(call.into()));
        }
    }

    pub(super) fn unpinned(&mut self, stamp: Stamp, call: &Call, task: &TaskInfo, name: NsName, out: &mut Vec<Change>) {
        let Some(ns) = self.namespaces.find(name) else { return };
        let entry = self.namespaces.get_mut(ns);
        if stamp.boot_ns < entry.pin_boot_ns || stamp.boot_ns < entry.first_seen {
            return;
        }
        entry.pin_boot_ns = stamp.boot_ns;
        let was_pinned = std::mem::replace(&mut entry.pinned, false);
        if !was_pinned && call.via == Via::Stat {
            return;
        }
        let seen = entry.seen();
        self.released(stamp, ns, Some(task), Cause::from(call));
        if was_pinned {
            self.log.write(out, stamp, What::Unpinned { ns: seen }, Some(task), Some(call.into()));
        }
    }
}
