//! The mounts of one mount namespace, with what hides what; pure. Lines are read by the procfs crate.

use std::collections::{HashMap, HashSet};

use procfs::process::{MountInfo, MountOptFields};
use serde::Serialize;

/// One mount. Paths are lossy and hostile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    pub id: i32,
    pub parent: i32,
    /// Mount point, as seen from the root directory of the process that was read.
    pub point: String,
    /// What of the file system is mounted.
    pub root: String,
    /// Device of the file system, `major:minor`.
    pub device: String,
    pub fstype: String,
    pub source: Option<String>,
    pub read_only: bool,
    /// Peer group it shares events with (mount_namespaces(7)).
    pub shared: Option<u32>,
    /// Peer group whose events it receives.
    pub master: Option<u32>,
    /// Nearest peer group below the reader's root that its events come from.
    pub propagate_from: Option<u32>,
    pub unbindable: bool,
    /// Another mount lies on its root.
    pub overmounted: bool,
    /// It cannot be reached by its path: another mount lies over it or over what it is in.
    pub hidden: bool,
    /// Path on the host that is mounted here.
    pub host_path: Option<String>,
    /// Why that is dangerous to have in a container.
    pub sensitive: Option<&'static str>,
}

/// Lines that are not what the kernel writes are left out; how many, comes second.
pub fn parse(text: &[u8]) -> (Vec<Mount>, usize) {
    let text = String::from_utf8_lossy(text);
    let mut broken = 0;
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        match MountInfo::from_line(line) {
            Ok(info) => mounts.push(mount(info)),
            Err(_) => broken += 1,
        }
    }
    mark_hidden(&mut mounts);
    (mounts, broken)
}

fn mount(info: MountInfo) -> Mount {
    let (mut shared, mut master, mut propagate_from, mut unbindable) = (None, None, None, false);
    for field in &info.opt_fields {
        match *field {
            MountOptFields::Shared(group) => shared = Some(group),
            MountOptFields::Master(group) => master = Some(group),
            MountOptFields::PropagateFrom(group) => propagate_from = Some(group),
            MountOptFields::Unbindable => unbindable = true,
        }
    }
    Mount {
        id: info.mnt_id,
        parent: info.pid,
        point: unescape(&info.mount_point.to_string_lossy()),
        root: unescape(&info.root),
        device: info.majmin,
        fstype: info.fs_type,
        source: info.mount_source.as_deref().map(unescape),
        read_only: info.mount_options.contains_key("ro") || info.super_options.contains_key("ro"),
        shared,
        master,
        propagate_from,
        unbindable,
        overmounted: false,
        hidden: false,
        host_path: None,
        sensitive: None,
    }
}

/// The kernel's `mangle` writes space, tab, newline, `#` and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 4).filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)));
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain + rest
}

/// Is `path` at or below `point`?
pub fn is_below(path: &str, point: &str) -> bool {
    let point = point.trim_end_matches('/');
    path.strip_prefix(point).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path walk enters the sibling whose mount point is met first: a mount is hidden when a sibling (a mount on the same
/// parent) lies on the way to it, or when its parent is hidden.
fn mark_hidden(mounts: &mut [Mount]) {
    let index: HashMap<i32, usize> = mounts.iter().enumerate().map(|(at, mount)| (mount.id, at)).collect();
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (at, mount) in mounts.iter().enumerate() {
        if mount.id != mount.parent {
            children.entry(mount.parent).or_default().push(at);
        }
    }
    let mut hidden = HashSet::new();
    let mut overmounted = HashSet::new();
    for siblings in children.values() {
        // Siblings come in the order in which they were mounted; the last one on a point is the one that is met.
        let last: HashMap<&str, usize> = siblings.iter().map(|&at| (mounts[at].point.as_str(), at)).collect();
        for &at in siblings {
            let point = mounts[at].point.as_str();
            if last.get(point) != Some(&at) || ancestors(point).any(|above| last.contains_key(above)) {
                hidden.insert(at);
            }
            if let Some(&parent) = index.get(&mounts[at].parent)
                && mounts[parent].point == point
            {
                overmounted.insert(parent);
            }
        }
    }
    // A mount on the root of its parent hides its siblings: `covered` has found those, all paths being below it.
    let mut all: Vec<usize> = hidden.iter().copied().collect();
    while let Some(at) = all.pop() {
        for &child in children.get(&mounts[at].id).into_iter().flatten() {
            if hidden.insert(child) {
                all.push(child);
            }
        }
    }
    for at in overmounted {
        mounts[at].overmounted = true;
    }
    for at in hidden {
        mounts[at].hidden = true;
    }
}

/// Proper prefixes of a path, itself left out: `/a/b` has `/a` and `/`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if rest == "/" || rest.is_empty() {
            return None;
        }
        let slash = rest.rfind('/')?;
        rest = if slash == 0 { "/" } else { &rest[..slash] };
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n\
        24 22 0:30 / /run rw - tmpfs tmpfs rw\n\
        25 24 0:4 net:[4026532246] /run/netns/a\\040b rw shared:7 master:1 propagate_from:2 - nsfs nsfs rw\n\
        26 24 0:31 / /run rw - tmpfs tmpfs ro\n\
        27 22 0:32 / /mnt ro unbindable - tmpfs tmpfs rw\n\
        nonsense\n";

    #[test]
    fn what_hides_what() {
        let (mounts, broken) = parse(TEXT);
        assert_eq!((mounts.len(), broken), (6, 1));
        let at = |id| mounts.iter().find(|m| m.id == id).expect("in the table");
        assert_eq!(at(25).point, "/run/netns/a b");
        assert_eq!((at(25).shared, at(25).master, at(25).propagate_from), (Some(7), Some(1), Some(2)));
        assert!(at(24).overmounted && !at(24).hidden, "its root is covered");
        assert!(at(25).hidden, "26 lies on the way");
        assert!(!at(26).hidden && at(26).read_only && !at(26).overmounted);
        assert!(at(27).read_only && at(27).unbindable && !at(27).hidden);
        assert!(!at(22).hidden && !at(22).overmounted);
    }

    #[test]
    fn below() {
        assert!(is_below("/a/b", "/a") && is_below("/a", "/a") && is_below("/a", "/"));
        assert!(!is_below("/ab", "/a") && !is_below("/", "/a"));
        assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a", "/"]);
        assert_eq!(ancestors("/").count(), 0);
    }

    proptest! {
        #[test]
        fn no_content_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[0-9: /\\\\a-]{0,60}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
            let _ = unescape(&text);
        }
    }
}
