//! The only place that names aya, BTF, a kernel function or a kernel version.

mod attach;
mod bpf_calls;
pub mod btf;
pub mod btf_reduce;
pub mod census_iterators;
pub mod census_layout;
mod counters;
mod debug_log;
mod deed_facts;
pub mod deed_layout;
mod detectors;
pub mod device_filters;
mod drops;
mod environment;
pub mod facts;
mod iterator_object;
mod kprobe_links;
pub mod layout;
mod object;
pub mod plan;
mod preempt_functions;
pub mod report;
mod ring;
mod task_iterator;
mod together;
mod tracer;
mod unreturned;

pub use counters::{Counters, hook_name};
pub use ring::{Batch, Drained, RingReader};
pub use task_iterator::iterator_records;
pub use tracer::{Options, Surroundings, Tracer, doctor, start};
