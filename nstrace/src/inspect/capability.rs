//! Capability sets by name, and over which user namespaces they count (capabilities(7), user_namespaces(7)); pure.

use serde::Serialize;

use super::user_tree::UserTree;

/// Names of the bits of a set, ascending; bits that this build does not know as `CAP_<number>`.
pub fn names(bits: u64) -> Vec<String> {
    let mut known: Vec<caps::Capability> = caps::all().into_iter().collect();
    known.sort_unstable_by_key(caps::Capability::index);
    (0..64)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| match known.iter().find(|cap| cap.index() == bit) {
            Some(cap) => cap.to_string(),
            None => format!("CAP_{bit}"),
        })
        .collect()
}

/// Whether a set holds all that `all` holds.
pub fn is_full(bits: u64, all: u64) -> bool {
    all != 0 && bits & all == all
}

/// What the effective set of a task is worth over a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The task's own user namespace or one below it: exactly its effective set.
    Effective,
    /// Its effective uid made a user namespace right below its own, and this is that one or lies below it: all.
    All,
    /// Neither its own nor below it: none, whatever the set says.
    None,
    /// The way up to the task's own user namespace cannot be seen from here.
    Unknown,
}

/// `cap_capable` (security/commoncap.c) for a task with effective uid `euid` in the user namespace `own`, asked for
/// `target`. Numbers are inode numbers of user namespaces.
pub fn standing(tree: &UserTree, own: u32, euid: u32, target: u32) -> Standing {
    let mut at = target;
    // A chain of user namespaces is at most 33 long (create_user_ns).
    for _ in 0..64 {
        if at == own {
            return Standing::Effective;
        }
        let Some(node) = tree.get(at) else { return Standing::Unknown };
        if node.initial {
            return Standing::None;
        }
        let Some(parent) = node.parent else { return Standing::Unknown };
        if parent == own && node.owner_uid == Some(euid) {
            return Standing::All;
        }
        at = parent;
    }
    Standing::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::user_tree::UserNode;

    #[test]
    fn names_of_bits() {
        assert_eq!(names(0b101), ["CAP_CHOWN", "CAP_DAC_READ_SEARCH"]);
        assert_eq!(names(1 << 21 | 1 << 63), ["CAP_SYS_ADMIN", "CAP_63"]);
        assert!(is_full(u64::MAX, 0x1ff) && !is_full(0xff, 0x1ff) && !is_full(0, 0));
    }

    /// 1 initial, 2 made by 1000 in it, 3 made by 0 in 2, 4 made by 1001 in 1.
    fn tree() -> UserTree {
        let mut tree = UserTree::default();
        tree.insert(1, UserNode { id: None, parent: None, owner_uid: Some(0), initial: true });
        for (inum, parent, uid) in [(2, 1, 1000), (3, 2, 0), (4, 1, 1001)] {
            tree.insert(inum, UserNode { id: None, parent: Some(parent), owner_uid: Some(uid), initial: false });
        }
        tree
    }

    #[test]
    fn as_the_kernel_judges() {
        let tree = tree();
        assert_eq!(standing(&tree, 1, 0, 1), Standing::Effective);
        assert_eq!(standing(&tree, 1, 0, 3), Standing::Effective, "capabilities count downwards");
        assert_eq!(standing(&tree, 1, 1000, 2), Standing::All, "its creator");
        assert_eq!(standing(&tree, 1, 1000, 3), Standing::All, "and what lies below");
        assert_eq!(standing(&tree, 1, 1000, 4), Standing::Effective, "another's");
        assert_eq!(standing(&tree, 2, 1000, 1), Standing::None, "never upwards");
        assert_eq!(standing(&tree, 2, 0, 4), Standing::None, "never sideways");
        assert_eq!(standing(&tree, 2, 0, 99), Standing::Unknown);
    }
}
