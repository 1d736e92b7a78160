//! The ladder of sources: the best one that works is asked, and what a worse one cannot tell is said.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;

use super::{Census, build::Builder, from_kernel, from_proc, mounts};
use crate::{
    container,
    discover::{Missed, Proc, cgroup::CgroupTree, clock, oci::OciState, snapshot},
    kernel::census_iterators::CensusIterators,
    model::Container,
    ns::{NsType, Slot},
};

/// How much is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Members, pending ones, children and owners: tasks alone are read.
    Members,
    /// Every holder.
    #[default]
    Holders,
}

/// Takes the census of the running system.
///
/// # Errors
/// Only when not even `/proc` can be read.
pub fn census(proc: &Proc, depth: Depth, containers: bool) -> anyhow::Result<Census> {
    let kernel = CensusIterators::open().map_err(|error| format!("{error:#}"));
    census_by(proc, kernel, depth, containers)
}

/// As [`census`], with the best source given: iterators, or why there are none.
pub(super) fn census_by(
    proc: &Proc,
    mut kernel: Result<CensusIterators, String>,
    depth: Depth,
    containers: bool,
) -> anyhow::Result<Census> {
    let mut builder = Builder::default();
    let (mut missing, mut uncounted) = (Vec::new(), Vec::new());
    if let Ok(slots) = proc.initial_slots() {
        builder.initial(Slot::ALL.into_iter().filter_map(|slot| slots.get(slot)).map(|name| name.inum));
    }
    if let Ok(iterators) = &mut kernel
        && let Err(error) = from_kernel::tasks(iterators, &mut builder)
    {
        kernel = Err(format!("{error:#}"));
    }
    if let Err(reason) = &kernel {
        let missed = from_proc::tasks(proc, &mut builder).context("cannot read the tasks of /proc")?;
        missing.push(format!(
            "zombies, sockets, files in flight, reference counts, owners and parents, because the kernel's own lists \
             cannot be read: {reason}"
        ));
        note(&mut missing, "namespaces of tasks", &missed);
    }
    if depth == Depth::Holders {
        holders(proc, &mut kernel, &mut builder, &mut missing, &mut uncounted)?;
    }
    let mut census = builder.finish();
    census.missing = missing;
    census.uncounted = uncounted;
    census.boot_id = proc.boot_id().unwrap_or_default();
    if containers {
        name_containers(proc, &mut census);
    }
    Ok(census)
}

fn holders(
    proc: &Proc,
    kernel: &mut Result<CensusIterators, String>,
    builder: &mut Builder,
    missing: &mut Vec<String>,
    uncounted: &mut Vec<String>,
) -> anyhow::Result<()> {
    let files = match kernel {
        Ok(iterators) => from_kernel::files(iterators, builder).map_err(|error| format!("{error:#}")),
        Err(reason) => Err(reason.clone()),
    };
    let leads = match files {
        Ok(leads) => leads,
        Err(reason) => {
            if kernel.is_ok() {
                missing.push(format!("sockets and files in flight: {reason}"));
            }
            let missed = mounts::descriptors(proc, builder).context("cannot read /proc")?;
            note(missing, "descriptors", &missed);
            from_kernel::Leads::default()
        }
    };
    let walked = match kernel {
        Ok(iterators) => by_walks(proc, iterators, builder, leads, uncounted),
        Err(reason) => Err(reason.clone()),
    };
    match walked {
        Ok(0) => {}
        Ok(torn) => missing.push(format!("mounts of {torn} mount namespaces that changed meanwhile: run it again")),
        Err(reason) => {
            if kernel.is_ok() {
                missing.push(format!("mounts in mount namespaces without a process: {reason}"));
            }
            let missed = mounts::of_members(proc, builder).context("cannot read /proc")?;
            note(missing, "mount tables", &missed);
        }
    }
    Ok(())
}

/// What only walks over the kernel's own objects find. Returns what the walk over the mounts came to.
fn by_walks(
    proc: &Proc,
    iterators: &mut CensusIterators,
    builder: &mut Builder,
    mut leads: from_kernel::Leads,
    uncounted: &mut Vec<String>,
) -> Result<u32, String> {
    if let Err(error) = from_kernel::places(iterators, builder, &mut leads) {
        uncounted.push(format!("what directories and programs of tasks hold: {error:#}"));
    }
    if let Err(error) = from_kernel::queues(iterators, builder, &mut leads) {
        uncounted.push(format!("files in flight and registered with io_uring: {error:#}"));
    }
    let lists = from_kernel::lists(iterators, builder);
    // With every namespace known, it is known as well whether any has shared memory.
    let all_known = lists.is_ok() && iterators.has_all_lists();
    if let Err(error) = lists {
        uncounted.push(format!("namespaces that no visible holder leads to: {error:#}"));
    } else if !all_known {
        uncounted.push(
            "namespaces that nothing leads to which can be seen: this kernel lists network namespaces only, 6.18 and newer \
             list all"
                .to_owned(),
        );
    }
    let walked = from_kernel::mounts(iterators, proc, builder, &leads).map_err(|error| format!("{error:#}"));
    // There are many memory areas. Beside shared memory they keep user namespaces only, by credentials and file systems.
    if (!all_known || !builder.has_no_segments() || builder.has_unexplained(NsType::User))
        && let Err(error) = from_kernel::memory(iterators, builder, &mut leads)
    {
        uncounted.push(format!("mapped files and attached shared memory: {error:#}"));
    }
    walked
}

fn note(missing: &mut Vec<String>, what: &str, missed: &Missed) {
    if missed.denied > 0 {
        let first = missed.first_denied.as_deref().unwrap_or("/proc");
        missing
            .push(format!("{what} of other users ({first} and {} more were refused): run as root", missed.denied - 1));
    }
    if missed.other > 0 {
        let first = missed.first_other.as_deref().unwrap_or("/proc");
        missing.push(format!("{what} that could not be read ({first}, {} in all)", missed.other));
    }
}

/// The container of each namespace: that of its members, when they are all of one.
fn name_containers(proc: &Proc, census: &mut Census) {
    let Some(mut tree) = CgroupTree::find(proc).ok().flatten() else { return };
    let oci = OciState::default();
    let now = clock::boot_ns();
    let mut known: HashMap<u64, Option<Arc<Container>>> = HashMap::new();
    for at in 0..census.namespaces.len() {
        let Some(first) = census.namespaces[at].first else { continue };
        let cgroup = census.task(first).cgroup;
        let container = known
            .entry(cgroup)
            .or_insert_with(|| {
                let path = tree.path_of(cgroup, now, now)?;
                container::from_cgroup_path(&snapshot::canonical(Some(&oci), &path)).map(Arc::new)
            })
            .clone();
        census.namespaces[at].container = container;
    }
}
