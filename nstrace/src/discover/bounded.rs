//! A map that forgets what was not used for long.

use std::{collections::HashMap, hash::Hash};

/// Holds at most twice `capacity` entries: a young and an old half. When the young half is full it becomes the old one
/// and what was old is dropped; what is used moves back to the young half.
#[derive(Debug)]
pub(super) struct BoundedMap<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> BoundedMap<K, V> {
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(key.clone(), value.clone());
        Some(value)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_stays_bounded() {
        let mut map = BoundedMap::new(4);
        for n in 0..1000 {
            map.insert(n, n * 2);
            assert_eq!(map.get(&0), Some(0), "used all the time");
            assert!(map.young.len() + map.old.len() <= 8);
        }
        assert_eq!(map.get(&999), Some(1998));
        assert_eq!(map.get(&1), None);
        map.insert(999, 7);
        assert_eq!(map.get(&999), Some(7));
    }
}
