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

/// Adds the descriptors that `/proc` shows.
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
    Ok(scan.missed)
}

/// Adds the files registered with these io_uring instances. One that is gone or busy adds nothing.
pub(super) fn io_urings(proc: &Proc, rings: &[Descriptor], builder: &mut Builder) {
    let mut keys = if rings.is_empty() { HashMap::new() } else { builder.keys() };
    for &at in rings {
        for name in proc.io_uring_files(at.pid, at.tid, at.fd).unwrap_or_default() {
            let ns = key(builder, &mut keys, name);
            builder.holder(HolderFact { ns, holder: Holder::IoUring(at), object: Object::Nsfs });
        }
    }
}

/// The key of a namespace that a link named; described by its name alone when nothing else did.
fn key(builder: &mut Builder, keys: &mut HashMap<u32, Key>, name: crate::ns::NsName) -> Key {
    *keys.entry(name.inum).or_insert_with(|| {
        builder.namespace(undescribed(name));
        name.inum.into()
    })
}
