//! `uid_map` and `gid_map` (user_namespaces(7)); pure.

use serde::Serialize;

/// One line: `count` ids from `inside` are the ids from `outside` of the reader's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// Ids of a user namespace; none of the others exist in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct IdMap(pub Vec<Extent>);

impl IdMap {
    /// Lines that are not what the kernel writes are left out.
    pub fn parse(text: &[u8]) -> Self {
        let extent = |line: &[u8]| {
            let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
            let mut next = || fields.next()?.ok();
            Some(Extent { inside: next()?, outside: next()?, count: next()? })
        };
        Self(text.split(|&b| b == b'\n').filter_map(extent).collect())
    }

    /// Every id is itself, as in the initial user namespace.
    pub fn is_identity(&self) -> bool {
        matches!(self.0.as_slice(), [Extent { inside: 0, outside: 0, count: u32::MAX }])
    }

    /// The id that `outside` has inside.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        self.0.iter().find_map(|e| {
            let offset = outside.checked_sub(e.outside)?;
            (offset < e.count).then(|| e.inside.checked_add(offset)).flatten()
        })
    }

    /// The id that `inside` is outside.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        self.0.iter().find_map(|e| {
            let offset = inside.checked_sub(e.inside)?;
            (offset < e.count).then(|| e.outside.checked_add(offset)).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rootless() {
        let map = IdMap::parse(b"         0       1000          1\n         1     100000      65536\n");
        assert_eq!(map.0.len(), 2);
        assert_eq!((map.inside(1000), map.inside(100_000), map.inside(0)), (Some(0), Some(1), None));
        assert_eq!((map.outside(0), map.outside(65_536), map.outside(65_537)), (Some(1000), Some(165_535), None));
        assert!(!map.is_identity());
        assert!(IdMap::parse(b"         0          0 4294967295\n").is_identity());
    }

    proptest! {
        #[test]
        fn there_and_back(inside in any::<u32>(), extents in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 0..3)) {
            let map = IdMap(extents.into_iter().map(|(inside, outside, count)| Extent { inside, outside, count }).collect());
            if map.0.len() == 1 && let Some(outside) = map.outside(inside) {
                prop_assert_eq!(map.inside(outside), Some(inside));
            }
        }
    }
}
