//! Limits and device rules of a container's cgroups.

use std::{collections::BTreeSet, path::Path};

use rustix::{
    fd::AsFd,
    fs::{CWD, Mode, OFlags},
};

use crate::{
    audit::{facts::DeviceRules, resources::CONTROLLERS},
    discover::{Placement, cgroup::CgroupTree, snapshot::canonical},
    inspect::{Places, cgroup, seen::Seen, task_dir::read_at},
    kernel::device_filters,
};

/// Limits of a task, by its `cgroup` file.
pub(super) fn limits(places: &Places, placement: &[u8]) -> Seen<cgroup::CgroupView> {
    let Some(path) = Placement::parse(placement).path().cloned() else { return Seen::Absent };
    let v2 = CgroupTree::find(&places.proc).ok().flatten().map(|tree| tree.mount_point().to_owned());
    let mut view = cgroup::view(placement, &path, v2.as_deref(), &places.cgroup);
    view.path = canonical(Some(&places.oci()), &path).to_string();
    Seen::Is(view)
}

/// What decides on devices for a task, by its `cgroup` file.
pub(super) fn device_rules(places: &Places, placement: &[u8]) -> DeviceRules {
    let text = String::from_utf8_lossy(placement);
    let path_of = |wanted: &dyn Fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            // `..`: outside of the reader's cgroup namespace.
            let here = !path.split('/').any(|name| name == "..");
            (here && wanted(hierarchy, controllers)).then(|| (controllers.to_owned(), path.to_owned()))
        })
    };
    if let Some((controllers, path)) = path_of(&|_, names| names.split(',').any(|name| name == "devices")) {
        let file = places.cgroup.join(controllers).join(path.trim_start_matches('/')).join("devices.list");
        return match read_at(CWD, &file) {
            Ok(rules) => {
                DeviceRules::List { rules: String::from_utf8_lossy(&rules).lines().map(str::to_owned).collect() }
            }
            Err(_) => DeviceRules::Unknown,
        };
    }
    let unified = path_of(&|hierarchy, names| hierarchy == "0" && names.is_empty());
    let tree = CgroupTree::find(&places.proc).ok().flatten();
    match unified.zip(tree) {
        Some(((_, path), tree)) => {
            programs(tree.mount_point(), &path).map_or(DeviceRules::Unknown, |count| DeviceRules::Programs { count })
        }
        None => DeviceRules::Unknown,
    }
}

/// Controllers in whose root cgroup a task is, by its `cgroup` file.
pub(super) fn in_root(placement: &[u8]) -> BTreeSet<&'static str> {
    let text = String::from_utf8_lossy(placement);
    let mut roots = BTreeSet::new();
    let mut elsewhere = BTreeSet::new();
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(hierarchy), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if hierarchy == "0" && names.is_empty() {
            unified = Some(path);
        }
        for controller in CONTROLLERS.into_iter().filter(|wanted| names.split(',').any(|name| name == *wanted)) {
            if path == "/" {
                roots.insert(controller)
            } else {
                elsewhere.insert(controller)
            };
        }
    }
    // What no version 1 hierarchy has is with version 2.
    if unified == Some("/") {
        roots.extend(CONTROLLERS.into_iter().filter(|controller| !elsewhere.contains(controller)));
    }
    roots
}

fn programs(root: &Path, path: &str) -> Option<u32> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::openat(CWD, root.join(path.trim_start_matches('/')), flags, Mode::empty()).ok()?;
    device_filters::count(cgroup.as_fd()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_cgroups_by_controller() {
        let of = |text: &str| in_root(text.as_bytes()).into_iter().collect::<Vec<_>>();
        assert_eq!(of("0::/\n"), ["cpu", "memory", "pids"]);
        assert_eq!(of("0::/x.scope\n"), [""; 0]);
        assert_eq!(of("4:cpu,cpuacct:/\n3:pids:/a\n0::/x\n"), ["cpu"]);
        assert_eq!(of("3:pids:/a\n0::/\n"), ["cpu", "memory"]);
        assert_eq!(of("nonsense\n"), [""; 0]);
    }
}
