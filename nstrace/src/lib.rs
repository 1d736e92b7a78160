//! nstrace: what happens to Linux namespaces, told from kernel objects.
//!
//! ARCHITECTURE.md draws the data flow; each module says which part it is.

pub mod audit;
pub mod census;
pub mod cli;
pub mod container;
pub mod decode;
pub mod deed;
pub mod detect;
pub mod discover;
pub mod engine;
pub mod event;
pub mod filter;
pub mod inspect;
pub mod kernel;
pub mod map;
pub mod model;
pub mod ns;
pub mod policy;
pub mod query;
pub mod recording;
pub mod source;
pub mod view;
