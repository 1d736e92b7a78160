//! The flight recorder: the facts of a stream in a file, kept so that nothing of them can be changed unseen.
//!
//! A recording is an SQLite database (WAL) with one table, [`schema`]. Each of its rows, an [`entry::Entry`], is a link of
//! a blake3 chain ([`chain`]); most of them are blocks of facts ([`block`]), the others say under which circumstances
//! these came to be ([`document`]). What a fact is, and how facts become events, is [`crate::source::fact`]; nothing that was
//! concluded from facts is evidence. Keyframes are the one conclusion that is kept: they make a reader start in the middle.
//! They are links of the chain like the rest, and `verify` derives them anew.

pub mod block;
pub mod chain;
pub mod containers;
pub mod document;
pub mod entry;
mod keep;
mod read;
pub mod schema;
pub mod seal;
pub mod verify;
mod write;

pub use keep::Keep;
pub(crate) use read::uri;
pub use read::{ReadError, Recording};
pub use write::{Options, WriteError, Writer};
