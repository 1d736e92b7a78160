//! Lines of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)); pure, over bytes because paths need not be UTF-8.

use std::borrow::Cow;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub id: u64,
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
    let _parent = fields.next()?;
    let device = fields.next()?;
    let colon = device.iter().position(|&b| b == b':')?;
    let (major, minor) = (number(&device[..colon])?, number(&device[colon + 1..])?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let _options = fields.next()?;
    // Any number of optional fields, then a lone dash.
    fields.find(|&field| field == b"-")?;
    Some(Mount { id, major, minor, root, point, fstype: fields.next()? })
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
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
