//! The chain: each entry's hash covers the entry and the hash before it.

use super::entry::Entry;

/// blake3.
pub type Hash = [u8; 32];

/// What the first entry continues. Hashes of other things never collide with those of a recording.
const CONTEXT: &str = "nstrace 2026-11-22 recording entry";

/// The hash before the first entry.
pub const START: Hash = [0; 32];

/// The hash of an entry that follows one with the hash `before`.
///
/// Covers the hash before it (32 bytes); id, boot_first, boot_last, utc_first, utc_last, first_fact, facts, raw_bytes
/// (8 bytes each, little endian); length (8 bytes) and bytes of kind; length and bytes of data.
pub fn hash(before: &Hash, entry: &Entry) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(before);
    let Entry { id, kind, span, first_fact, facts, raw_bytes, data } = entry;
    for number in [id, &span.boot.0, &span.boot.1, &span.utc.0, &span.utc.1, first_fact, facts, raw_bytes] {
        hasher.update(&number.to_le_bytes());
    }
    for bytes in [kind.name().as_bytes(), data] {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// As people compare it.
pub fn hex(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::with_capacity(2 * hash.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash of 64 hexadecimal digits.
pub fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = START;
    if text.len() != 2 * hash.len() || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::entry::{Kind, Span};

    #[test]
    fn every_column_counts() {
        let entry = Entry {
            id: 1,
            kind: Kind::Facts,
            span: Span { boot: (2, 3), utc: (4, 5) },
            first_fact: 6,
            facts: 7,
            raw_bytes: 8,
            data: b"nine".to_vec(),
        };
        let changes: [fn(&mut Entry); 10] = [
            |e| e.id = 0,
            |e| e.kind = Kind::End,
            |e| e.span.boot.0 = 0,
            |e| e.span.boot.1 = 0,
            |e| e.span.utc.0 = 0,
            |e| e.span.utc.1 = 0,
            |e| e.first_fact = 0,
            |e| e.facts = 0,
            |e| e.raw_bytes = 0,
            |e| e.data.push(0),
        ];
        let mut hashes = vec![hash(&START, &entry), hash(&[1; 32], &entry)];
        for change in changes {
            let mut other = entry.clone();
            change(&mut other);
            hashes.push(hash(&START, &other));
        }
        let all = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
    }

    #[test]
    fn hexadecimal_goes_there_and_back() {
        let hash: Hash = std::array::from_fn(|i| u8::try_from(i * 7).unwrap_or(255));
        assert_eq!(from_hex(&hex(&hash)), Some(hash));
        assert_eq!(from_hex("00"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
        assert_eq!(from_hex(&"+1".repeat(32)), None);
    }
}
