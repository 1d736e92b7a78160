//! From deeds to the lines that `nstrace watch -J` owes: ARCHITECTURE.md, "Semantics the model keeps", written down once
//! more, from the outside.

mod book;
mod calls;
mod ends;

pub use book::{Book, Expect, Generation, Release, Who};

use crate::deed::Deed;

impl Book {
    /// The expectations of everything in `deeds`.
    pub fn of(deeds: &[Deed]) -> Self {
        let mut book = Self::default();
        for deed in deeds {
            book.learn(deed);
        }
        book.close();
        book
    }
}
