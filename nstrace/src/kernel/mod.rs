//! The only place that names aya, BTF, a kernel function or a kernel version.

pub mod report;
