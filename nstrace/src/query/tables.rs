//! The tables that a statement can read, as `nstrace query --tables` describes them.

use std::fmt::Write as _;

use super::event_columns::EVENT_COLUMNS;
use crate::recording::schema;

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub name: &'static str,
    pub about: &'static str,
    /// Name, type, meaning. Empty: those of the events.
    columns: &'static [(&'static str, &'static str, &'static str)],
    /// What follows the columns in its declaration.
    keys: &'static str,
    /// Indexes, as statements.
    indexes: &'static str,
}

pub const EVENTS: Table =
    Table { name: "events", about: "every event, as replay prints them", columns: &[], keys: "", indexes: "" };

pub const NAMESPACES: Table = Table {
    name: "namespaces",
    about: "every namespace of the recording, one row for each use of an inode number",
    columns: &[
        ("ns_key", "INTEGER PRIMARY KEY", "the namespace in this recording, never reused"),
        ("type", "TEXT", "mnt pid net ipc uts user cgroup time"),
        ("ns", "INTEGER", "inode number"),
        ("nsid", "INTEGER", "64-bit id of the kernel (6.18 and newer)"),
        ("initial", "INTEGER", "1 for a namespace that the kernel booted with"),
        ("state", "TEXT", "at the end of the recording: live or destroyed"),
        ("nprocs", "INTEGER", "processes in it at the end; NULL for initial ones, whose members are not followed"),
        ("first_seen", "TEXT", "time of the first event about it"),
        ("created", "TEXT", "time it was made; NULL: before the recording"),
        ("via", "TEXT", "by which call"),
        ("flags", "TEXT", "CLONE_* flags of that call"),
        ("pid", "INTEGER", "process that made it"),
        ("comm", "TEXT", "and its name"),
        ("uid", "INTEGER", "and its user id"),
        ("runtime", "TEXT", "what runs the container of that process"),
        ("container", "TEXT", "id of that container"),
        ("pod", "TEXT", "uid of its Kubernetes pod"),
        ("owner", "INTEGER", "inode number of the owning user namespace"),
        ("parent", "INTEGER", "inode number of the parent (pid, user)"),
        ("destroyed", "TEXT", "time the kernel freed it; NULL: not in the recording"),
        ("destroyed_via", "TEXT", "the last release"),
        ("destroyed_pid", "INTEGER", "process of the last release"),
        ("destroyed_comm", "TEXT", "and its name"),
        ("lifetime_ns", "INTEGER", "nanoseconds from created to destroyed"),
    ],
    keys: "",
    indexes: "",
};

pub const TASKS: Table = Table {
    name: "tasks",
    about: "every task that did something, or was in a namespace other than the initial ones at the start",
    columns: &[
        ("tid", "INTEGER", "thread id in the initial pid namespace"),
        ("start_ns", "INTEGER", "when it started, CLOCK_BOOTTIME: with tid it names one task"),
        ("pid", "INTEGER", "its process"),
        ("comm", "TEXT", "its last name, chosen by itself"),
        ("uid", "INTEGER", "its last real user id"),
        ("euid", "INTEGER", "its last effective user id"),
        ("pids", "TEXT", "its ids from the initial pid namespace inwards"),
        ("runtime", "TEXT", "what runs its container"),
        ("container", "TEXT", "id of that container"),
        ("pod", "TEXT", "uid of its Kubernetes pod"),
        ("first_seen", "TEXT", "time of its first event"),
        ("last_seen", "TEXT", "time of its last event"),
        ("events", "INTEGER", "how many events it caused"),
    ],
    keys: ", PRIMARY KEY (tid, start_ns)",
    indexes: "",
};

pub const HOLDERS: Table = Table {
    name: "holders",
    about: "open files and mounts that keep namespaces",
    columns: &[
        ("ns_key", "INTEGER", "the namespace"),
        ("type", "TEXT", "its type"),
        ("ns", "INTEGER", "its inode number"),
        ("nsid", "INTEGER", "its 64-bit id"),
        ("kind", "TEXT", "fd or mount (found at the start), nsfs (the first of one or more, while recording)"),
        ("pid", "INTEGER", "fd: its process; nsfs: the process that made it"),
        ("comm", "TEXT", "nsfs: name of that process"),
        ("fd", "INTEGER", "fd: its number"),
        ("mnt_ns", "INTEGER", "mount: inode number of the mount namespace it is in"),
        ("path", "TEXT", "mount: its path there"),
        ("since", "TEXT", "NULL: before the recording"),
        ("since_via", "TEXT", "by which call"),
        ("until", "TEXT", "time when none was left; NULL: not in the recording"),
        ("until_via", "TEXT", "by which call the last one went"),
    ],
    keys: "",
    indexes: "CREATE INDEX temp.open_holders ON holders (ns_key) WHERE until IS NULL;",
};

pub const MEMBERSHIPS: Table = Table {
    name: "memberships",
    about: "which process was in which namespace, and when",
    columns: &[
        ("ns_key", "INTEGER", "the namespace"),
        ("type", "TEXT", "its type"),
        ("ns", "INTEGER", "its inode number"),
        ("nsid", "INTEGER", "its 64-bit id"),
        (
            "initial",
            "INTEGER",
            "1 for a namespace that the kernel booted with: only moves out and in are followed there",
        ),
        ("pid", "INTEGER", "the process"),
        ("comm", "TEXT", "its name when it was last heard of here"),
        ("uid", "INTEGER", "its real user id"),
        ("container", "TEXT", "id of its container"),
        ("joined", "TEXT", "NULL: before the recording"),
        ("joined_via", "TEXT", "by which call"),
        ("left", "TEXT", "NULL: still in it at the end"),
        ("left_via", "TEXT", "by which call"),
    ],
    keys: "",
    indexes: "CREATE INDEX temp.open_memberships ON memberships (ns_key, pid) WHERE \"left\" IS NULL;",
};

pub const FINDINGS: Table = Table {
    name: "findings",
    about: "what the detectors said",
    columns: &[
        ("seq", "INTEGER", "number of the event in the stream"),
        ("time", "TEXT", "RFC 3339 in UTC"),
        ("rule", "TEXT", "stable id: NST-..."),
        ("severity", "TEXT", "info low medium high critical"),
        ("title", "TEXT", "in a few words"),
        ("mitre", "TEXT", "ATT&CK techniques, spaces between"),
        ("explain", "TEXT", "one sentence with the names and numbers"),
        ("evidence", "TEXT", "seq of the events behind it, spaces between"),
        ("count", "INTEGER", "how often it was so by then: told again at each power of ten"),
        ("suppressed", "TEXT", "the exception that covers it; NULL: none"),
        ("pid", "INTEGER", "process it is about"),
        ("container", "TEXT", "id of its container"),
    ],
    keys: "",
    indexes: "",
};

pub const CONTAINERS: Table = Table {
    name: "containers",
    about: "what container engines told while recording: join with container of the other tables",
    columns: &[
        ("container", "TEXT PRIMARY KEY", "its id"),
        ("runtime", "TEXT", "docker podman containerd ..."),
        ("name", "TEXT", "its name"),
        ("image", "TEXT", "by the name it was started with"),
        ("image_id", "TEXT", "sha256: and the digest of the image's configuration"),
        ("pod", "TEXT", "name of its pod, or the uid"),
        ("pod_namespace", "TEXT", "the Kubernetes namespace of the pod"),
        ("pid", "INTEGER", "its init on the host"),
        ("learned", "TEXT", "when that was told last"),
    ],
    keys: "",
    indexes: "",
};

pub const ALL: [Table; 7] = [EVENTS, NAMESPACES, TASKS, HOLDERS, MEMBERSHIPS, CONTAINERS, FINDINGS];

impl Table {
    fn columns(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        if self.columns.is_empty() {
            EVENT_COLUMNS.iter().map(|column| (column.name, column.kind, column.about)).collect()
        } else {
            self.columns.to_vec()
        }
    }

    /// `CREATE TABLE` under this name.
    pub(super) fn declaration(&self, name: &str) -> String {
        let columns: Vec<String> =
            self.columns().iter().map(|(column, kind, _)| format!("\"{column}\" {kind}")).collect();
        format!("CREATE TABLE {name}({}{})", columns.join(", "), self.keys)
    }

    /// The table and its indexes.
    pub(super) fn sql(&self) -> String {
        format!("{};{}", self.declaration(&format!("temp.{}", self.name)), self.indexes)
    }
}

/// All tables and columns, for people.
pub fn description() -> String {
    let mut text = String::new();
    for table in ALL {
        // Writing into memory cannot fail.
        let _ = writeln!(text, "{}: {}", table.name, table.about);
        for (name, kind, about) in table.columns() {
            let kind = kind.split(' ').next().unwrap_or_default();
            let _ = writeln!(text, "  {name:<14} {kind:<8} {about}");
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "rec.entry, rec.head: the file itself, as the sqlite3 shell shows it\n{}\n{}",
        schema::ENTRY,
        schema::HEAD
    );
    text
}
