//! Lines of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)); pure, over bytes because paths need not be UTF-8.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub id: u64,
    /// Id of the mount it is mounted in.
    pub parent: u64,
    /// Device number of the file system.
    pub major: u32,
    pub minor: u32,
    /// Path within the file system that is the root of this mount; of nsfs `net:[4026532177]`.
    pub root: Cow<'a, [u8]>,
    /// Mount point as seen from the root directory of the process; `//deleted` follows when it was unlinked.
    pub point: Cow<'a, [u8]>,
    pub fstype: &'a [u8],
}

/// The mounts of one file; lines that are not what the kernel writes are left out.
pub(super) fn mounts(text: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    text.split(|&b| b == b'\n').filter_map(mount)
}

fn mount(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|&b| b == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = fields.next()?;
    let colon = device.iter().position(|&b| b == b':')?;
    let (major, minor) = (number(&device[..colon])?, number(&device[colon + 1..])?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let _options = fields.next()?;
    // Any number of optional fields, then a lone dash.
    fields.find(|&field| field == b"-")?;
    Some(Mount { id, parent, major, minor, root, point, fstype: fields.next()? })
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Ids of the mounts of one table that no path leads to: another one is mounted on the same place, or on a directory on the
/// way, in this mount or in one it lies in.
pub(super) fn hidden(table: &[Mount<'_>]) -> HashSet<u64> {
    let mut below: HashMap<u64, Vec<&Mount<'_>>> = HashMap::new();
    let by_id: HashMap<u64, &Mount<'_>> = table.iter().map(|mount| (mount.id, mount)).collect();
    for mount in table {
        below.entry(mount.parent).or_default().push(mount);
    }
    let on = |id: u64| below.get(&id).into_iter().flatten();
    let is_covered = |mount: &Mount<'_>| on(mount.id).any(|other| other.id != mount.id && other.point == mount.point);
    let is_reached = |mount: &Mount<'_>| {
        let mut at = mount;
        // As deep as there are mounts, should a made-up table go in circles.
        for _ in 0..table.len() {
            let Some(parent) = by_id.get(&at.parent).filter(|parent| parent.id != at.id) else { return true };
            let on_the_way = |other: &&&Mount<'_>| other.id != at.id && is_above(&other.point, &at.point);
            if on(parent.id).find(on_the_way).is_some() || (is_covered(parent) && at.point != parent.point) {
                return false;
            }
            at = parent;
        }
        true
    };
    table.iter().filter(|mount| is_covered(mount) || !is_reached(mount)).map(|mount| mount.id).collect()
}

/// `path` lies below the directory `above`.
fn is_above(above: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Undoes the kernel's `mangle`: space, tab, newline, `#` and backslash are written as three octal digits.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let octal = |b: u8| (b'0'..=b'7').contains(&b).then(|| u16::from(b - b'0'));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if let [b'\\', a, b, c, tail @ ..] = rest
            && let (Some(a), Some(b), Some(c)) = (octal(*a), octal(*b), octal(*c))
            && let Ok(byte) = u8::try_from(a * 64 + b * 8 + c)
        {
            bytes.push(byte);
            rest = tail;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let text = b"22 27 0:21 / /proc rw,nosuid shared:5 master:1 - proc proc rw\n\
            44 27 0:4 net:[4026532246] /run/netns/a\\040b rw shared:3 - nsfs nsfs rw\n\
            45 27 0:4 mnt:[4026532300] /x\\134y\\011//deleted rw - nsfs nsfs rw\n\
            broken line\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found: Vec<_> = mounts(text).collect();
        assert_eq!(found.len(), 4);
        assert_eq!((found[0].id, found[0].fstype), (22, &b"proc"[..]));
        assert_eq!(found[1].root.as_ref(), b"net:[4026532246]");
        assert_eq!(found[1].point.as_ref(), b"/run/netns/a b");
        assert_eq!((found[1].major, found[1].minor), (0, 4));
        assert_eq!(found[2].point.as_ref(), b"/x\\y\t//deleted");
        assert_eq!(found[3].fstype, b"cgroup2");
    }

    #[test]
    fn what_is_covered_is_hidden() {
        let text = b"1 0 0:1 / / rw - ext4 d rw\n\
            2 1 0:2 / /run rw - tmpfs t rw\n\
            3 2 0:4 net:[5] /run/a rw - nsfs nsfs rw\n\
            4 2 0:4 net:[6] /run/b rw - nsfs nsfs rw\n\
            5 4 0:3 / /run/b rw - tmpfs t rw\n\
            6 2 0:4 net:[7] /run/deep/x rw - nsfs nsfs rw\n\
            7 2 0:3 / /run/deep rw - tmpfs t rw\n\
            8 1 0:4 net:[8] /mnt/x rw - nsfs nsfs rw\n\
            9 1 0:5 / /srv rw - tmpfs t rw\n\
            10 9 0:4 net:[9] /srv/n rw - nsfs nsfs rw\n\
            11 9 0:5 / /srv rw - tmpfs t rw\n";
        let table: Vec<_> = mounts(text).collect();
        let mut found: Vec<u64> = hidden(&table).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, [4, 6, 9, 10]);
    }

    #[test]
    fn what_is_not_an_escape_stays() {
        assert_eq!(unescape(b"a\\").as_ref(), b"a\\");
        assert_eq!(unescape(b"a\\09").as_ref(), b"a\\09");
        assert_eq!(unescape(b"\\777").as_ref(), b"\\777");
        assert_eq!(unescape(b"\\012\\043").as_ref(), b"\n#");
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), text in "[0-9: /\\\\a-]{0,60}") {
            let _ = mounts(&bytes).count();
            let _ = mounts(text.as_bytes()).count();
        }
    }
}
