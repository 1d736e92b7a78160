//! The ladder of sources: the best one that works is asked, and what a worse one cannot tell is said.

use std::{collections::HashMap, sync::Arc, thread};

use anyhow::{Context, bail};

use super::{Census, build::Builder, from_kernel, from_mounts, from_proc, mounts};
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

/// As [`census`], with the best source given: readers of the kernel's objects, or why there are none.
pub(super) fn census_by(
    proc: &Proc,
    mut kernel: Result<Vec<CensusIterators>, String>,
    depth: Depth,
    containers: bool,
) -> anyhow::Result<Census> {
    let mut builder = Builder::default();
    let (mut missing, mut uncounted) = (Vec::new(), Vec::new());
    if let Ok(slots) = proc.initial_slots() {
        builder.initial(Slot::ALL.into_iter().filter_map(|slot| slots.get(slot)).map(|name| name.inum));
    }
    let mut files = Err(String::new());
    match kernel.as_mut().map(|readers| from_kernel::processes(readers, &mut builder, depth)) {
        Ok(Ok(leads)) => files = leads.map_err(|error| format!("{error:#}")),
        Ok(Err(error)) => kernel = Err(format!("{error:#}")),
        Err(_) => {}
    }
    if let Err(reason) = &kernel {
        let missed = from_proc::tasks(proc, &mut builder).context("cannot read the tasks of /proc")?;
        missing.push(format!(
            "zombies, sockets, files in flight, reference counts, owners and parents, because the kernel's own lists \
             cannot be read: {reason}"
        ));
        note(&mut missing, "namespaces of tasks", &missed);
    }
    let mut memory = Memory::Unread;
    if depth == Depth::Holders {
        let leads = match files {
            Ok(leads) => leads,
            Err(reason) => {
                if kernel.is_ok() {
                    missing.push(format!("sockets and files in flight: {reason}"));
                }
                let missed = mounts::descriptors(proc, &mut builder).context("cannot read /proc")?;
                note(&mut missing, "descriptors", &missed);
                from_kernel::Leads::default()
            }
        };
        let walked = match &mut kernel {
            Ok(readers) => by_walks(proc, readers, &mut builder, leads, &mut uncounted, &mut memory),
            Err(reason) => Err(reason.clone()),
        };
        match walked {
            Ok(0) => {}
            Ok(torn) => missing.push(format!("mounts of {torn} mount namespaces that changed meanwhile: run it again")),
            Err(reason) => {
                if kernel.is_ok() {
                    missing.push(format!("mounts in mount namespaces without a process: {reason}"));
                }
                let missed = mounts::of_members(proc, &mut builder).context("cannot read /proc")?;
                note(&mut missing, "mount tables", &missed);
            }
        }
    }
    let mut settled = builder.settle();
    // There are many memory areas. Beside shared memory they keep user namespaces only, by credentials and file systems.
    if memory == Memory::IfUnexplained
        && settled.has_unexplained(NsType::User)
        && let Some(reader) = kernel.as_mut().ok().and_then(|readers| readers.first_mut())
    {
        match from_kernel::memory(reader) {
            Ok(found) => settled.add(found),
            Err(error) => uncounted.push(unread_memory(&error)),
        }
    }
    let mut census = settled.census;
    census.missing = missing;
    census.uncounted = uncounted;
    census.boot_id = proc.boot_id().unwrap_or_default();
    if containers {
        name_containers(proc, &mut census);
    }
    Ok(census)
}

/// Whether memory areas have to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// They have been, or cannot be.
    Unread,
    /// When a reference to a user namespace stays unexplained.
    IfUnexplained,
}

fn unread_memory(error: &anyhow::Error) -> String {
    format!("mapped files and attached shared memory: {error:#}")
}

/// What only walks over the kernel's own objects find. Returns what the walk over the mounts came to.
fn by_walks(
    proc: &Proc,
    readers: &mut [CensusIterators],
    builder: &mut Builder,
    mut leads: from_kernel::Leads,
    uncounted: &mut Vec<String>,
    memory: &mut Memory,
) -> Result<usize, String> {
    // The trees that are known now are walked beside the other lists, where there is a second reader.
    let trees = from_mounts::trees(readers, builder, &leads);
    let (lists, found) = thread::scope(|scope| {
        let (first, second) = readers.split_at_mut(1);
        let found = second.first_mut().map(|reader| scope.spawn(|| from_mounts::walk(reader, trees)));
        let lists = first.first_mut().map(|reader| {
            if let Err(error) = from_kernel::queues(reader, builder, &mut leads) {
                uncounted.push(format!("files in flight and registered with io_uring: {error:#}"));
            }
            from_kernel::lists(reader, builder)
        });
        (lists, found.map(|found| found.join().unwrap_or_else(|_| bail!("a reader has failed"))))
    });
    let lists = lists.unwrap_or(Ok(()));
    // With every namespace known, it is known as well whether any has shared memory.
    let all_known = lists.is_ok() && readers.iter().all(CensusIterators::has_all_lists);
    if let Err(error) = lists {
        uncounted.push(format!("namespaces that no visible holder leads to: {error:#}"));
    } else if !all_known {
        uncounted.push(
            "namespaces that nothing leads to which can be seen: this kernel lists network namespaces only, 6.18 and newer \
             list all"
                .to_owned(),
        );
    }
    let found = found.unwrap_or_else(|| Ok(from_mounts::Walked::default()));
    let walked = found.and_then(|found| from_mounts::mounts(readers, proc, builder, &leads, found));
    if all_known && builder.has_no_segments() {
        *memory = Memory::IfUnexplained;
    } else if let Some(reader) = readers.first_mut() {
        match from_kernel::memory(reader) {
            Ok(found) => builder.absorb(found),
            Err(error) => uncounted.push(unread_memory(&error)),
        }
    }
    walked.map_err(|error| format!("{error:#}"))
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
