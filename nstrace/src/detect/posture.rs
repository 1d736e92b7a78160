//! NST-021: what a container was given of the host when it was sealed.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Found, Severity, Sight, catalogue::POSTURE, homes::Grade, leave::CAP_SYS_ADMIN, lineage::seen_in, words};
use crate::{deed::Placed, event::SlotSet, model::World, ns::NsType};

/// Something of the host that a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// It is in the initial namespace of this type.
    HostPid,
    HostNet,
    HostIpc,
    HostUts,
    HostCgroup,
    HostUser,
    /// Its first program had `CAP_SYS_ADMIN` over the initial user namespace.
    SysAdmin,
    /// No seccomp filter narrowed its system calls.
    NoSeccomp,
}

impl Grant {
    pub const ALL: [Self; 8] = [
        Self::HostPid,
        Self::HostNet,
        Self::HostIpc,
        Self::HostUts,
        Self::HostCgroup,
        Self::HostUser,
        Self::SysAdmin,
        Self::NoSeccomp,
    ];

    /// The word for it in exceptions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostPid => "host-pid",
            Self::HostNet => "host-net",
            Self::HostIpc => "host-ipc",
            Self::HostUts => "host-uts",
            Self::HostCgroup => "host-cgroup",
            Self::HostUser => "host-user",
            Self::SysAdmin => "sys-admin",
            Self::NoSeccomp => "no-seccomp",
        }
    }

    /// The type of namespace that is shared.
    const fn shared(self) -> Option<NsType> {
        match self {
            Self::HostPid => Some(NsType::Pid),
            Self::HostNet => Some(NsType::Net),
            Self::HostIpc => Some(NsType::Ipc),
            Self::HostUts => Some(NsType::Uts),
            Self::HostCgroup => Some(NsType::Cgroup),
            Self::HostUser => Some(NsType::User),
            Self::SysAdmin | Self::NoSeccomp => None,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// "unknown posture 'x'", with the list of known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown posture '{}': use some of {}", .0.escape_debug(), Grant::ALL.map(Grant::name).join(" "))]
pub struct UnknownGrant(pub String);

impl FromStr for Grant {
    type Err = UnknownGrant;

    fn from_str(text: &str) -> Result<Self, UnknownGrant> {
        Self::ALL.into_iter().find(|grant| grant.name() == text).ok_or_else(|| UnknownGrant(text.to_owned()))
    }
}

/// What a task that stands there has of the host. What cannot be read is not among it.
pub(super) fn granted(world: &World, placed: &Placed) -> BTreeSet<Grant> {
    let is_initial = |ns_type| is_initial(world, &placed.slots, ns_type);
    let is_over_host = |capability: u32| {
        // `task_struct->cred`: effective and permitted are over the task's own user namespace.
        is_initial(NsType::User) && (placed.task.cap_effective | placed.cap_permitted) >> capability & 1 == 1
    };
    let has = |grant: &Grant| match grant {
        Grant::SysAdmin => is_over_host(CAP_SYS_ADMIN),
        Grant::NoSeccomp => placed.seccomp == Some(0),
        other => other.shared().is_some_and(is_initial),
    };
    Grant::ALL.into_iter().filter(has).collect()
}

fn is_initial(world: &World, slots: &SlotSet, ns_type: NsType) -> bool {
    seen_in(world, slots, ns_type).is_some_and(|ns| ns.initial)
}

/// A home was founded by an execve(2) of this task.
pub(super) fn founded(sight: Sight<'_>, placed: &Placed, found: &mut Vec<Found>) {
    let home = sight.lineage.home(&placed.task);
    let Some(home) = sight.lineage.homes.get(home).filter(|home| home.grade == Grade::Container) else { return };
    let has = |grant| home.granted.contains(&grant);
    // The initial user namespace is every plain container's; it matters with what can be done over it.
    let told: Vec<&str> = home
        .granted
        .iter()
        .filter(|&&grant| !matches!(grant, Grant::HostUser | Grant::NoSeccomp))
        .map(|grant| grant.name())
        .collect();
    if told.is_empty() {
        return;
    }
    let severity = if has(Grant::HostPid) || has(Grant::SysAdmin) { Severity::Low } else { Severity::Info };
    let narrowed = match (placed.seccomp, placed.no_new_privs) {
        (Some(0), Some(false)) => "; neither seccomp nor no_new_privs narrow what it may do",
        (Some(0), _) => "; no seccomp filter narrows what it may do",
        _ => "",
    };
    let explain = format!(
        "{} starts a container that has of the host: {}{narrowed}",
        words::who(sight.world, &placed.task),
        told.join(" ")
    );
    found.push(
        Found::new(&POSTURE, &placed.task, explain)
            .with_severity(severity)
            .with_object(home.root.map_or(0, |(dev, ino)| ino ^ u64::from(dev) << 32)),
    );
}

#[cfg(test)]
mod tests {
    use super::Grant;

    #[test]
    fn grants_are_read_as_they_are_written() {
        for grant in Grant::ALL {
            assert_eq!(grant.name().parse(), Ok(grant));
            assert_eq!(serde_json::to_value(grant).expect("a word"), grant.name());
        }
        assert!("host-mnt".parse::<Grant>().is_err());
    }
}
