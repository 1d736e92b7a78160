//! Discovery against made-up trees and against this machine.

mod fake;
mod made_up;
mod native;
mod native_liveness;
