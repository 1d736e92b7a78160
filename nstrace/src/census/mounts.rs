//! nsfs mounts of every mount namespace that can be read, from its mount table.

use std::collections::HashMap;

use super::{
    Descriptor, Holder,
    build::{Builder, HolderFact, Key, Object},
    from_proc::undescribed,
    holder::MountHolder,
};
use crate::{
    discover::{Missed, Proc, ReadError},
    event::PinHolder,
};

/// Adds the bind mounts of the mount namespaces that have a member.
pub(super) fn of_members(proc: &Proc, builder: &mut Builder) -> Result<Missed, ReadError> {
    let scan = proc.nsfs_mounts()?;
    let mut keys = builder.keys();
    for found in scan.holders {
        let PinHolder::Mount { mnt_ns, path } = found.holder else { continue };
        let ns = key(builder, &mut keys, found.ns);
        let mount = MountHolder { mnt_ns: Some(mnt_ns), path: Some(path), hidden: found.hidden };
        builder.holder(HolderFact { ns, holder: Holder::Mount(mount), object: Object::Nsfs });
    }
    Ok(scan.missed)
}

/// Adds the descriptors that `/proc` shows, and the files registered with io_uring.
pub(super) fn descriptors(proc: &Proc, builder: &mut Builder) -> Result<Missed, ReadError> {
    let scan = proc.nsfs_fds()?;
    let mut keys = builder.keys();
    for found in scan.holders {
        let PinHolder::Fd { tgid, fd } = found.holder else { continue };
        let Ok(fd) = u32::try_from(fd) else { continue };
        let ns = key(builder, &mut keys, found.ns);
        let at = Descriptor { pid: tgid, tid: found.tid.unwrap_or(tgid), fd };
        builder.holder(HolderFact { ns, holder: Holder::Fd(at), object: Object::Nsfs });
    }
    for (pid, tid, fd) in scan.rings {
        // A ring that is gone or busy tells nothing.
        for name in proc.io_uring_files(pid, tid, fd).unwrap_or_default() {
            let ns = key(builder, &mut keys, name);
            let holder = Holder::IoUring(Descriptor { pid, tid, fd });
            builder.holder(HolderFact { ns, holder, object: Object::Nsfs });
        }
    }
    Ok(scan.missed)
}

/// The key of a namespace that a link named; described by its name alone when nothing else did.
fn key(builder: &mut Builder, keys: &mut HashMap<u32, Key>, name: crate::ns::NsName) -> Key {
    *keys.entry(name.inum).or_insert_with(|| {
        builder.namespace(undescribed(name));
        name.inum.into()
    })
}
