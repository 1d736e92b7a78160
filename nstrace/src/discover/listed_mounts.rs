//! The mount table of a mount namespace that no process is in, by listmount(2) and statmount(2): nothing is entered or opened.

use std::borrow::Cow;

use super::{
    holders::MountPlace,
    mountinfo::{Mount, hidden},
    raw,
};

/// Most mounts of one namespace that are asked for (`mount-max` of sysctl fs is 100000).
const MAX_MOUNTS: usize = 200_000;
/// Room for `struct statmount` and a path of `PATH_MAX`.
const ROOM: usize = STRINGS + 8192;
/// Where `statmount.str` starts, and the members before it (include/uapi/linux/mount.h).
const STRINGS: usize = 512;
const MNT_ID_OLD: usize = 56;
const MNT_PARENT_ID_OLD: usize = 60;
const MNT_POINT: usize = 108;

/// Where the mounts of the mount namespace with this 64-bit id and inode number are. Empty where the kernel cannot tell
/// (before 6.11, without `CAP_SYS_ADMIN` over it) or the namespace is gone.
pub fn listed_mounts(id: u64, inum: u32) -> Vec<MountPlace> {
    let mut ids: Vec<u64> = Vec::new();
    let mut page = [0; 512];
    while let Ok(count) = raw::listmount(id, ids.last().copied().unwrap_or(0), &mut page)
        && let Some(new) = page.get(..count)
    {
        ids.extend_from_slice(new);
        if count < page.len() || ids.len() > MAX_MOUNTS {
            break;
        }
    }
    let mut room = vec![0; ROOM];
    let table: Vec<Mount<'_>> = ids.into_iter().filter_map(|mount| table_line(id, mount, &mut room)).collect();
    let hidden = hidden(&table);
    table
        .iter()
        .map(|mount| MountPlace {
            id: mount.id,
            mnt_ns: inum,
            path: String::from_utf8_lossy(&mount.point).into_owned(),
            hidden: hidden.contains(&mount.id),
        })
        .collect()
}

fn table_line(id: u64, mount: u64, room: &mut [u8]) -> Option<Mount<'static>> {
    raw::statmount(id, mount, room).ok()?;
    let word = |at: usize| Some(u32::from_ne_bytes(*room.get(at..)?.first_chunk()?));
    let point = room.get(STRINGS + usize::try_from(word(MNT_POINT)?).ok()?..)?;
    let end = point.iter().position(|&b| b == 0)?;
    Some(Mount {
        id: word(MNT_ID_OLD)?.into(),
        parent: word(MNT_PARENT_ID_OLD)?.into(),
        major: 0,
        minor: 0,
        root: Cow::Borrowed(b""),
        point: Cow::Owned(point[..end].to_vec()),
        fstype: b"",
    })
}
