//! The detections: identifier, severity, title and technique of each. No condition of any of them knows a name of a program, an
//! image, or a path of a container runtime: they rest on kernel objects.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is, for a workload that was not meant to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A layer that could be there and is not.
    Low,
    /// A layer that others rely on is missing, or a step towards the host.
    Medium,
    /// One step from the host.
    High,
    /// The host is reached, or reachable as it is.
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One detection.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable: `NST-001`.
    pub id: &'static str,
    pub severity: Severity,
    pub title: &'static str,
    /// MITRE ATT&CK techniques.
    pub mitre: &'static [&'static str],
}

const ESCAPE: &str = "T1611";

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal $severity:ident $title:literal [$($mitre:expr),*];)+) => {
        $($(#[$doc])* pub static $name: Rule =
            Rule { id: $id, severity: Severity::$severity, title: $title, mitre: &[$($mitre),*] };)+

        /// Every detection, by identifier.
        pub static RULES: &[&Rule] = &[$(&$name),+];
    };
}

rules! {
    LEAVE = "NST-001" Critical "A contained task entered a namespace outside its container" [ESCAPE];
    FOREIGN_HANDLE = "NST-002" High "A contained task got hold of a foreign namespace" [ESCAPE];
    LOCATION = "NST-003" Critical "A contained task reached a file outside its mount namespace" [ESCAPE];
    TASK_ACCESS = "NST-004" High "A contained task accessed a task outside its container" ["T1055.008", ESCAPE];
    HOST_SINK = "NST-005" Critical "A file that controls the whole host was opened for writing from a container" [ESCAPE];
    HELPER = "NST-006" Critical "The kernel ran a program of a container on the host" [ESCAPE];
    BLOCK_DEVICE = "NST-007" Critical "A contained task mounted or opened a block device" [ESCAPE, "T1006"];
    KERNEL_FILE_SYSTEM = "NST-008" High "A contained task mounted a file system that controls the host" [ESCAPE];
    HANDLE_OPEN = "NST-009" Critical "A contained task opened a file by its handle" [ESCAPE];
    HOST_SOCKET = "NST-010" High "A contained task reached a control socket of the host" [ESCAPE, "T1610"];
    KERNEL_EXTENSION = "NST-011" Critical "A contained task extended the kernel" ["T1547.006", "T1014", ESCAPE];
    FORGED = "NST-012" Critical "Namespaces or credentials were switched outside any call that does so" ["T1068", ESCAPE];
    MISMATCH = "NST-013" Critical "Namespaces or credentials changed without a transition" ["T1068", ESCAPE];
    HOST_EXECUTABLE = "NST-014" Critical "A contained task opened a host executable for writing" [ESCAPE, "T1554"];
    USER_NAMESPACE = "NST-015" Medium "A user namespace was made to reach a privileged kernel subsystem" ["T1068"];
    ID_MAP = "NST-016" High "An id map gives ids that its writer did not own" ["T1548"];
    LATERAL = "NST-017" High "A contained task entered another container" [ESCAPE, "T1021"];
    CGROUP = "NST-018" High "A contained task moved out of its container's cgroup" ["T1562", ESCAPE];
    HOST_MOUNT = "NST-019" High "A contained task mounted into the host or made the host its root" [ESCAPE];
    FOREIGN_CODE = "NST-020" Critical "A task of the host executed a file of a container" [ESCAPE];
    POSTURE = "NST-021" Info "A container started with less isolation than its own namespaces" ["T1610", ESCAPE];
    ORPHAN = "NST-022" Low "A namespace outlived its members and is kept" ["T1564"];
    HIDING = "NST-023" Low "A container made a mount or pid namespace of its own" ["T1564"];
    BLIND = "NST-024" High "The tracer was blind for a while" ["T1562.001"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_in_order_and_techniques_are_well_formed() {
        assert!(RULES.is_sorted_by(|a, b| a.id < b.id));
        for rule in RULES {
            assert!(rule.id.strip_prefix("NST-").is_some_and(|n| n.len() == 3 && n.parse::<u16>().is_ok()));
            assert!(!rule.mitre.is_empty());
            for technique in rule.mitre {
                let digits = technique.strip_prefix('T').expect("a technique");
                let (technique, sub) = digits.split_once('.').unwrap_or((digits, "000"));
                assert!(technique.len() == 4 && sub.len() == 3);
                assert!(technique.bytes().chain(sub.bytes()).all(|b| b.is_ascii_digit()));
            }
        }
    }
}
