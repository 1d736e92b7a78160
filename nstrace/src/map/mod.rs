//! The structure of the system: pid trees, user namespaces, mounts, networks. Views print it.

pub mod mnt;
pub mod mount_table;
pub mod net;
mod net_peers;
pub mod pid;
pub mod signals;
pub mod socket_owner;
pub mod user;
