//! Discovery against made-up trees and against this machine.

pub(crate) mod fake;
mod made_up;
mod native;
mod native_liveness;
