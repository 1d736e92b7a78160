//! NST-018: a contained task moves itself, or another, out of the cgroup in which its container was sealed. Whoever tells containers by their
//! cgroups loses sight of it.

use std::collections::BTreeMap;

use nstrace_common::deed::cgroup::{BELOW, OTHER_HIERARCHY};
use serde::{Deserialize, Serialize};

use super::{Found, Sight, catalogue::CGROUP, words};
use crate::deed::{Act, Deed};

/// Paths that are remembered; of more the oldest cgroups are forgotten.
const REMEMBERED: usize = 16_384;

/// Paths of cgroups by their id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Paths {
    paths: BTreeMap<u64, String>,
}

impl Paths {
    pub fn learn(&mut self, cgroup: u64, path: &str) {
        self.paths.insert(cgroup, path.to_owned());
        if self.paths.len() > REMEMBERED {
            self.paths.pop_first();
        }
    }
}

/// `path` is `top`, or below it.
fn is_below(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn deed(sight: Sight<'_>, paths: &Paths, deed: &Deed, found: &mut Vec<Found>) {
    let Sight { world, lineage } = sight;
    if deed.act != Act::Cgroup {
        return;
    }
    let Some(home) = lineage.homes.get(lineage.home(&deed.task)) else { return };
    // Known paths name the container as its runtime would; those of the kernel do not.
    let known = paths.paths.get(&deed.number).map(String::as_str);
    let to = if deed.detail.is_empty() { known.unwrap_or_default() } else { deed.detail.as_str() };
    let is_own = if deed.flags & OTHER_HIERARCHY != 0 {
        // Where the container is in that hierarchy is not known; in the root of one no container is.
        to != "/"
    } else {
        // A container whose service manager spreads its services over siblings of the first cgroup is one by its name.
        let same = || world.whose_cgroup(deed.number).is_some_and(|to| Some(to) == world.whose_cgroup(home.cgroup));
        let below = || deed.flags & BELOW != 0 && deed.task.cgroup == home.cgroup;
        let top = paths.paths.get(&home.cgroup);
        deed.number == home.cgroup || below() || same() || top.is_none_or(|top| is_below(known.unwrap_or(to), top))
    };
    if is_own {
        return;
    }
    let moved = deed.other.as_ref().map_or(deed.task, |(other, _)| *other);
    let explain =
        format!("{} moved pid {} out of its container to cgroup '{to}'", words::who(world, &deed.task), moved.tgid);
    found.push(Found::new(&CGROUP, &deed.task, explain).with_object(deed.number));
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn whole_names_count() {
        assert!(is_below("/a/b", "/a") && is_below("/a", "/a") && is_below("/a", "/"));
        assert!(!is_below("/ab", "/a") && !is_below("/", "/a"));
    }
}
