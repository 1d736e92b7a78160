//! The ladder of sources: the best one that works is asked, and what a worse one cannot tell is said.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;

use super::{Census, build::Builder, from_kernel, from_proc, mounts};
use crate::{
    container,
    discover::{Missed, Proc, cgroup::CgroupTree, clock, oci::OciState, snapshot},
    kernel::census_iterators::CensusIterators,
    model::Container,
    ns::Slot,
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
    let mut builder = Builder::default();
    let mut missing = Vec::new();
    if let Ok(slots) = proc.initial_slots() {
        builder.initial(Slot::ALL.into_iter().filter_map(|slot| slots.get(slot)).map(|name| name.inum));
    }
    let mut kernel = CensusIterators::open().map_err(|error| format!("{error:#}"));
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
        holders(proc, &mut kernel, &mut builder, &mut missing)?;
    }
    let mut census = builder.finish();
    census.missing = missing;
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
) -> anyhow::Result<()> {
    let files = match kernel {
        Ok(iterators) => from_kernel::files(iterators, builder).map_err(|error| format!("{error:#}")),
        Err(reason) => Err(reason.clone()),
    };
    let mut rings = Vec::new();
    let detached = match files {
        Ok(leads) => {
            rings = leads.io_urings;
            if let Some(at) = leads.more_in_flight.first() {
                missing.push(format!(
                    "files in flight beyond the first messages of {} sockets (fd {} of {} is one): let them be received",
                    leads.more_in_flight.len(),
                    at.fd,
                    at.pid
                ));
            }
            leads.detached
        }
        Err(reason) => {
            if kernel.is_ok() {
                missing.push(format!("sockets and files in flight: {reason}"));
            }
            let missed = mounts::descriptors(proc, builder).context("cannot read /proc")?;
            note(missing, "descriptors", &missed);
            Vec::new()
        }
    };
    let walked = match kernel {
        Ok(iterators) => {
            let lists = from_kernel::lists(iterators, builder);
            // With every namespace known, it is known as well whether any has shared memory.
            let all_known = lists.is_ok() && iterators.has_all_lists();
            if let Err(error) = lists {
                missing.push(format!("namespaces that no visible holder leads to: {error:#}"));
            }
            if !(all_known && builder.has_no_segments())
                && let Err(error) = from_kernel::memory(iterators, builder)
            {
                missing.push(format!("attached shared memory: {error:#}"));
            }
            from_kernel::mounts(iterators, proc, builder, &detached).map_err(|error| format!("{error:#}"))
        }
        Err(reason) => Err(reason.clone()),
    };
    // After the lists, so that every namespace is known by its key.
    mounts::io_urings(proc, &rings, builder);
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
