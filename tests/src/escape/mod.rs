//! Attacks from containers and the honest work that looks like them, really performed, and the findings they owe.
//!
//! ```text
//! Stage (host side: victim, sockets, disk, roots)
//!   └─ container (the suite's own runtime, runc, crun, podman, docker) ─► escape run TECHNIQUE ─► Act
//! nstrace watch -J ─► findings ─► judge (table: technique → rule) ◄───────────────────────────────┘
//! ```

pub mod act;
pub mod cgroup;
pub mod engines;
pub mod finding;
pub mod honest;
pub mod judge;
pub mod stage;
pub mod table;
