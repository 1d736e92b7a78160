//! Where events come from: the live kernel or a recording. Nothing right of here knows which.

mod endings;
pub mod fact;
mod live;
mod losses;
mod moment;
pub mod numbers;
mod order;
mod paced;
mod places;
mod recensus;
mod recount;
mod replay;

use std::time::Duration;

pub use live::{Live, doctor};
pub use moment::world_at;
pub use paced::Paced;
pub use replay::Replay;

use crate::{event::Stamped, ns::NsName};

/// A stream of events in the order in which they are to be applied.
pub trait Source {
    /// Waits at most `wait` for the next events. An empty vector: nothing yet. None: the stream has ended.
    fn next(&mut self, wait: Duration) -> anyhow::Result<Option<Vec<Stamped>>>;

    /// Asks for an [`crate::event::Event::Freed`] when one of these namespaces, which have no known member any more, is gone.
    /// Only a live source on a kernel without a destruction hook has to do anything.
    fn await_end(&mut self, suspects: &[NsName]);

    /// Asks for an [`crate::event::Event::Accounted`]. Only a live source that sees changes of namespaces where they take effect
    /// has to answer.
    fn account(&mut self) {}

    /// What is still owed when [`Source::next`] is called no more: losses of the last moment, and the census that repairs them.
    fn finish(&mut self) -> anyhow::Result<Vec<Stamped>> {
        Ok(Vec::new())
    }

    /// Skipped runs of programs that only speak of failed clones, for the summary: nearly all had nothing to say, so they
    /// are not told as lost records.
    fn skipped(&self) -> u64 {
        0
    }
}
