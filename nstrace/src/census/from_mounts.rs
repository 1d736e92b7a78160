//! Facts from the kernel's trees of mounts, by a walk over each of them.

use std::collections::{HashMap, HashSet};

use nstrace_common::census::{Mount, Namespace, mount_of};

use super::{
    Descriptor, Holder,
    build::{Builder, HolderFact, NamespaceFact, Object},
    from_kernel::Leads,
    holder::MountHolder,
};
use crate::{
    discover::{MountPlace, Proc, listed_mounts},
    kernel::census_iterators::{CensusIterators, MountTree, Record},
};

const IDMAPPED: &str = "idmapped mount";

/// Further walks when a tree changed under one: what was found twice counts once.
const MORE_WALKS: usize = 8;

/// What a walk over mounts found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    trees: Vec<MountTree>,
    namespaces: Vec<Namespace>,
    mounts: Vec<Mount>,
    /// Trees that changed meanwhile.
    torn: usize,
}

/// The trees of the mount namespaces that are known, and of what only a descriptor keeps.
pub(super) fn trees(readers: &[CensusIterators], builder: &Builder, leads: &Leads) -> Vec<MountTree> {
    let of_namespaces =
        builder.mount_namespaces().filter_map(|fact| Some(readers.first()?.tree_of(fact.key, fact.name.inum)));
    let mut trees: Vec<MountTree> = leads.detached.iter().map(|&(tree, _)| tree).chain(of_namespaces).collect();
    trees.sort_unstable();
    trees.dedup();
    trees
}

/// Walks over these trees, without adding anything.
pub(super) fn walk(reader: &mut CensusIterators, trees: Vec<MountTree>) -> anyhow::Result<Walked> {
    let (mut namespaces, mut mounts) = (Vec::new(), Vec::new());
    let mut each = |record: Record<'_>| match record {
        Record::Namespace(record) => namespaces.push(*record),
        Record::Mount(record) => mounts.push(*record),
        Record::Task(_) | Record::File(_) => {}
    };
    let mut torn = reader.mounts(&trees, &mut each)?;
    for _ in 0..MORE_WALKS {
        if torn.is_empty() {
            break;
        }
        torn = reader.mounts(&torn, &mut each)?;
    }
    Ok(Walked { trees, namespaces, mounts, torn: torn.len() })
}

/// Adds the holders among mounts: those that were `found` on a walk, and on further ones over trees that were not known then,
/// as of mount namespaces that only such a mount holds. Returns the number of trees that changed meanwhile.
pub(super) fn mounts(
    readers: &mut [CensusIterators],
    proc: &Proc,
    builder: &mut Builder,
    leads: &Leads,
    mut found: Walked,
) -> anyhow::Result<usize> {
    let mut places = Places::default();
    let mut walked: HashSet<MountTree> = HashSet::new();
    let mut torn = 0;
    loop {
        torn += found.torn;
        walked.extend(&found.trees);
        found.namespaces.iter().for_each(|record| builder.namespace_record(record));
        let records = found.mounts;
        let Some(reader) = readers.first_mut() else { return Ok(torn) };
        let of_namespaces: HashMap<MountTree, NamespaceFact> =
            builder.mount_namespaces().map(|fact| (reader.tree_of(fact.key, fact.name.inum), *fact)).collect();
        let mut wanted: HashMap<MountTree, HashSet<u64>> = HashMap::new();
        for record in &records {
            wanted.entry(MountTree(record.mnt_ns)).or_default().insert(record.id.into());
        }
        for (tree, ids) in &wanted {
            if let Some(fact) = of_namespaces.get(tree) {
                places.learn(proc, fact, builder.members_of_mounts(fact.key), ids);
            }
        }
        for record in records {
            let tree = MountTree(record.mnt_ns);
            let by: Vec<Descriptor> =
                leads.detached.iter().filter(|(other, _)| *other == tree).map(|&(_, at)| at).collect();
            mount(&record, &by, places.of(&record, of_namespaces.get(&tree).map(|fact| fact.name.inum)), builder);
        }
        let mut new = trees(readers, builder, leads);
        new.retain(|tree| !walked.contains(tree));
        let Some(reader) = readers.first_mut().filter(|_| !new.is_empty()) else { return Ok(torn) };
        found = walk(reader, new)?;
    }
}

fn mount(record: &Mount, detached: &[Descriptor], at: MountHolder, builder: &mut Builder) {
    let object = match record.what {
        mount_of::NSFS => Object::Nsfs,
        mount_of::NUMBERS | mount_of::IDMAPPED => Object::Mount(record.super_block),
        mount_of::CREATOR => Object::Cred { cred: record.super_block, ucounts: record.unique_id },
        _ => Object::SuperBlock(record.super_block),
    };
    let ns = record.ns;
    for &by in detached {
        let holder = match record.what {
            mount_of::NSFS => Holder::DetachedMount(by),
            mount_of::PROCFS => Holder::ProcfsFile(by),
            mount_of::IDMAPPED => Holder::Other { at: Some(by), what: IDMAPPED },
            _ => Holder::SuperblockFile(by),
        };
        builder.holder(HolderFact { ns, holder, object });
    }
    if !detached.is_empty() {
        return;
    }
    let holder = match record.what {
        mount_of::NSFS => Holder::Mount(at),
        mount_of::PROCFS => Holder::Procfs(at),
        mount_of::IDMAPPED => Holder::Other { at: None, what: IDMAPPED },
        _ => Holder::Superblock(at),
    };
    builder.holder(HolderFact { ns, holder, object });
}

/// Where mounts are, as far as mount tables tell.
#[derive(Debug, Default)]
struct Places {
    by_id: HashMap<u32, MountHolder>,
    /// Inode numbers of the mount namespaces whose tables were read.
    read: HashSet<u32>,
}

impl Places {
    /// Looks up where these mounts of a mount namespace are: in the tables of its members, or, when no process is in it,
    /// in the kernel's list where there is one. Tables only add paths to what is known, so one that is refused hides nothing.
    fn learn(
        &mut self,
        proc: &Proc,
        fact: &NamespaceFact,
        members: impl Iterator<Item = (u32, u32)>,
        wanted: &HashSet<u64>,
    ) {
        if !self.read.insert(fact.name.inum) {
            return;
        }
        let mut places = proc.mount_places_of(fact.name.inum, members, wanted).unwrap_or_default();
        if places.is_empty() && fact.listing != 0 {
            places = listed_mounts(fact.listing, fact.name.inum);
        }
        for MountPlace { id, mnt_ns, path, hidden } in places {
            if let Ok(id) = u32::try_from(id) {
                self.by_id.insert(id, MountHolder { mnt_ns: Some(mnt_ns), path: Some(path), hidden });
            }
        }
    }

    fn of(&self, record: &Mount, mnt_ns: Option<u32>) -> MountHolder {
        let known = self.by_id.get(&record.id).filter(|place| mnt_ns.is_some() && place.mnt_ns == mnt_ns);
        known.cloned().unwrap_or_else(|| MountHolder::unnamed(mnt_ns))
    }
}
