//! The isolation posture of every container, from kernel facts: [`collect`] reads them once, [`from_world`] takes
//! what a recording has of them, the checks are pure functions
//! over [`facts::Facts`], and [`report::Report`] is what they say.

pub mod checks;
pub mod collect;
pub mod control;
pub mod facts;
pub mod from_world;
pub mod host_directories;
pub mod kernel_files;
pub mod layers;
mod leftovers;
mod mounts;
mod namespaces;
mod outside;
pub mod privileges;
pub mod report;
mod resources;
pub mod verdict;
