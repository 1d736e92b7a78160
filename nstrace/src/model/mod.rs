//! The world as the events tell it: which namespaces live, who is in them, what holds them. Pure: no I/O, no clock.

mod change;

pub use change::{Cause, Change, Container, NsSeen, What};

/// A namespace of this stream: never reused, unlike its inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsKey(pub u64);
