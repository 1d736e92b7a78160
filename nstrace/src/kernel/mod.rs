//! The only place that names aya, BTF, a kernel function or a kernel version.

mod attach;
pub mod btf;
mod counters;
mod environment;
mod facts;
mod layout;
mod object;
pub mod plan;
pub mod report;
mod ring;
mod task_iterator;
mod tracer;

pub use counters::{Counters, hook_name};
pub use environment::initial_namespaces;
pub use ring::{Batch, RingReader};
pub use tracer::{Options, Tracer, doctor, start};
