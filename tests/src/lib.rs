//! Black-box tests of nstrace: a program that changes namespaces and says what the kernel answered (`actor`), and an
//! engine that turns those answers into the lines `nstrace watch -J` owes and compares the two.
//!
//! ```text
//! actor ─► Deed (ground truth, JSON Lines) ─► expect ─┐
//!                                                     ├─► matching ─► Verdict
//! nstrace watch -J ─► Line (what the tool said) ──────┘
//! ```
//!
//! Nothing here depends on nstrace's own code: the contract is interface.md and the semantics of ARCHITECTURE.md. The
//! engine compares two lists, so the lines of a replay can be judged like those of a live watch: `NSTRACE_KEEP=FOLDER`
//! makes live tests leave both lists behind.

pub mod container;
pub mod deed;
pub mod doctor;
pub mod escape;
pub mod expect;
pub mod held;
pub mod kinds;
pub mod line;
pub mod live;
pub mod matching;
pub mod members;
pub mod nsfs;
pub mod program;
pub mod sys;
pub mod watch;
