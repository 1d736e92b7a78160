//! What the escape program did and what the kernel said about it: one JSON object per line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One technique, tried once by one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub technique: String,
    /// As the task's own pid namespace counts it.
    pub pid: u32,
    /// In the task's own user namespace.
    pub uid: u32,
    /// Inode numbers of the task's namespaces, by the name below `/proc/PID/ns`.
    pub before: BTreeMap<String, u32>,
    pub after: BTreeMap<String, u32>,
    /// The namespace that was reached for.
    pub target: Option<Target>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A namespace by type and inode number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    #[serde(rename = "type")]
    pub ns_type: String,
    pub inum: u32,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It worked; what shows it.
    Done { detail: String },
    /// The kernel refused.
    Denied { errno: String },
    /// This kernel or container has not what it takes.
    Skipped { why: String },
}

/// What a performer has to know about the host; a file in the container's root ([`GIVEN`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// A process in the initial namespaces that expects to be attacked.
    pub host_pid: u32,
    /// Address of [`SECRET`] in it.
    pub address: u64,
    /// A descriptor of it, of a file on the host.
    pub fd: i32,
    /// Name of its abstract socket.
    pub abstract_name: String,
    /// Path of [`SECRET_FILE`] on the host.
    pub secret_path: String,
    /// File handle of it (name_to_handle_at(2)): type and bytes.
    pub handle: (i32, Vec<u8>),
    /// A process on the host whose executable may be overwritten.
    pub prey_pid: u32,
    /// A process in another container.
    pub neighbour_pid: u32,
    /// Major and minor number of a block device of the host, and the file system on it.
    pub device: Option<(u32, u32, String)>,
    /// A module that this kernel takes and nobody needs, in `/shared`.
    pub module: Option<String>,
    /// This machine is a guest made for tests: what belongs to the whole machine may be changed for a moment.
    pub guest: bool,
    /// The container's root, as the host calls it.
    pub host_root: String,
}

/// The file with [`Given`], in the container.
pub const GIVEN: &str = "/shared/given.json";

/// Contents of the file that no container is meant to read.
pub const SECRET: &str = "the host's own\n";

/// Its name, in the folder `outside` of the stage.
pub const SECRET_FILE: &str = "secret";

/// Descriptor by which a careless runtime leaks the folder `outside`.
pub const LEAKED_FD: i32 = 100;
