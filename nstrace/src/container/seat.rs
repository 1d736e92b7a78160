//! What the host says of a cgroup, and nobody inside of it can: the outermost unit and container of its path. Whoever has a
//! cgroup of its own may make others below it and call them what it likes.

use serde::{Deserialize, Serialize};

use crate::model::Container;

/// See the module. Names are hostile, but not chosen by those who are in the cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// systemd.service(5) or systemd.scope(5).
    pub unit: Option<String>,
    /// Id of the outermost container.
    pub container: Option<String>,
    /// Uid of its pod.
    pub pod: Option<String>,
}

impl Seat {
    /// None: the path names neither.
    pub fn of(path: &str, container_of: fn(&str) -> Option<Container>) -> Option<Self> {
        let mut seat = Self::default();
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        let mut start = usize::from(path.starts_with('/'));
        for end in ends {
            let name = path.get(start..end).unwrap_or_default();
            start = end + 1;
            if seat.unit.is_none() && (name.ends_with(".service") || name.ends_with(".scope")) {
                seat.unit = Some(name.to_owned());
            }
            if let Some(container) = path.get(..end).and_then(container_of) {
                seat.container = Some(container.id);
                seat.pod = container.pod;
                break;
            }
        }
        (seat != Self::default()).then_some(seat)
    }
}

/// What an engine told of a container. Hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerFacts {
    pub id: String,
    pub name: Option<String>,
    pub image: Option<String>,
    /// `sha256:` and hexadecimal digits.
    pub image_digest: Option<String>,
    pub pod: Option<String>,
    pub kubernetes_namespace: Option<String>,
    pub service_account: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::from_cgroup_path;

    #[test]
    fn the_outermost_counts() {
        let (outer, inner) = ("a".repeat(64), "b".repeat(64));
        let path = format!("/system.slice/docker-{outer}.scope/kured.service/docker-{inner}.scope");
        let seat = Seat::of(&path, from_cgroup_path).expect("it names one");
        assert_eq!(seat.container, Some(outer.clone()));
        assert_eq!(seat.unit, Some(format!("docker-{outer}.scope")));
        let service = Seat::of("/system.slice/kured.service/x", from_cgroup_path).expect("it names one");
        assert_eq!((service.unit.as_deref(), service.container), (Some("kured.service"), None));
        assert_eq!(Seat::of("/", from_cgroup_path), None);
        assert_eq!(Seat::of("", from_cgroup_path), None);
        assert_eq!(Seat::of("/user.slice/x", from_cgroup_path), None);
    }
}
