//! Facts one after the other: u8 origin (1 ring, 2 iterator, 3 told), u32 length (little endian), bytes.

use crate::source::fact::{Fact, Written};

/// Facts of one block; a commit takes one block.
pub const MAX_FACTS: usize = 1000;
/// A block that is as large as this is closed.
pub const MAX_BYTES: usize = 512 << 10;

const RING: u8 = 1;
const ITERATOR: u8 = 2;
const TOLD: u8 = 3;

/// Why the inside of a block is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    #[error("fact {0} of the block is cut off")]
    CutOff(usize),
    #[error("fact {place} of the block has the unknown origin {origin}")]
    Origin { place: usize, origin: u8 },
    #[error("the block has more than {MAX_FACTS} facts")]
    Many,
}

/// Appends one fact.
pub fn push(block: &mut Vec<u8>, fact: Fact<'_>) {
    let (origin, bytes) = match fact {
        Fact::Record(Written::Ring, bytes) => (RING, bytes),
        Fact::Record(Written::Iterator, bytes) => (ITERATOR, bytes),
        Fact::Told(bytes) => (TOLD, bytes),
    };
    // Nothing comes near 4 GiB: records have a fixed size, paths a bounded one.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    block.push(origin);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&bytes[..length as usize]);
}

/// The facts of a block; ends after the first error.
pub fn facts(block: &[u8]) -> impl Iterator<Item = Result<Fact<'_>, BlockError>> {
    let mut rest = Some(block);
    let mut place = 0;
    std::iter::from_fn(move || {
        let now = rest.take().filter(|now| !now.is_empty())?;
        let taken = if place < MAX_FACTS { take(now, place) } else { Err(BlockError::Many) };
        place += 1;
        Some(taken.map(|(fact, after)| {
            rest = Some(after);
            fact
        }))
    })
}

fn take(block: &[u8], place: usize) -> Result<(Fact<'_>, &[u8]), BlockError> {
    let cut_off = BlockError::CutOff(place);
    let (&origin, rest) = block.split_first().ok_or(cut_off)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(cut_off)?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(cut_off)?;
    let fact = match origin {
        RING => Fact::Record(Written::Ring, bytes),
        ITERATOR => Fact::Record(Written::Iterator, bytes),
        TOLD => Fact::Told(bytes),
        origin => return Err(BlockError::Origin { place, origin }),
    };
    Ok((fact, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_out_as_they_went_in() {
        let all =
            [Fact::Record(Written::Ring, b"ring"), Fact::Record(Written::Iterator, b""), Fact::Told(b"{\"x\":1}")];
        let mut block = Vec::new();
        for fact in all {
            push(&mut block, fact);
        }
        assert_eq!(facts(&block).collect::<Result<Vec<_>, _>>(), Ok(all.to_vec()));
        assert_eq!(facts(&block[..block.len() - 1]).last(), Some(Err(BlockError::CutOff(2))));
        block.extend([9, 0, 0, 0, 0]);
        assert_eq!(facts(&block).last(), Some(Err(BlockError::Origin { place: 3, origin: 9 })));
        // A length that nothing follows.
        assert_eq!(facts(&[1, 255, 255, 255, 255]).collect::<Vec<_>>(), [Err(BlockError::CutOff(0))]);
    }
}
