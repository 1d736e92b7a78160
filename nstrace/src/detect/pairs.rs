//! Maps in a keyframe: lists of pairs in the order of their keys, so that one state is always the same bytes.

use std::hash::Hash;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Map;

pub fn serialize<K: Ord + Serialize, V: Serialize, S: Serializer>(map: &Map<K, V>, to: S) -> Result<S::Ok, S::Error> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    to.collect_seq(pairs)
}

pub fn deserialize<'de, K, V, D>(from: D) -> Result<Map<K, V>, D::Error>
where
    K: Eq + Hash + Deserialize<'de>,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
}
