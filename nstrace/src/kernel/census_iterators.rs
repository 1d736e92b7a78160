//! The census of the kernel's own objects by BPF iterators: tasks, namespaces, open files.
//!
//! An object of its own is loaded, with only the programs that are asked for. Nothing is attached, no reference is taken.

use std::fs;

use anyhow::{Context, bail};
use nstrace_common::{
    census::{CensusLayout, File, Head, LOOSE_MOUNT, Mount, Namespace, Task, WALKS, Walk, kind, queue_of},
    layout::{ABSENT, Config, Layout},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::ns::NsType;

use super::{btf::Btf, census_layout, environment::is_privileged, iterator_object::IteratorObject, layout, object};

/// One record of an iterator.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    Task(Task),
    Namespace(Namespace),
    File(File),
    Mount(Mount),
}

/// Loaded iterators.
#[derive(Debug)]
pub struct CensusIterators {
    object: IteratorObject,
    /// As [`TARGETS`]: type numbers in the kernel's BTF; None where this kernel has no such iterator.
    targets: [Option<u32>; TARGETS.len()],
    layout: Layout,
    census: CensusLayout,
    has_all_lists: bool,
    /// `Config::direct`: on until the verifier refuses it, which 5.10's does.
    is_direct: bool,
}

/// Address of a `struct mnt_namespace`, or a marked one of a mount in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountTree(pub u64);

impl MountTree {
    /// The tree that the mount at this address is in, which is in no mount namespace.
    pub fn loose(mount: u64) -> Self {
        Self(mount | LOOSE_MOUNT)
    }
}

/// Files that are in no file table, by the address of what has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileList {
    /// `struct sock` of a unix socket: in its messages.
    Sock(u64),
    /// `struct sock` of a TCP socket: connections that nobody accepted.
    Connections(u64),
    /// `struct io_ring_ctx`: registered with it.
    Ring(u64),
    /// `struct fsnotify_group`: no files, inodes that it watches.
    Watches(u64),
}

impl FileList {
    fn marked(self) -> u64 {
        match self {
            Self::Sock(address) => address | u64::from(queue_of::SOCK),
            Self::Connections(address) => address | u64::from(queue_of::CONNECTIONS),
            Self::Ring(address) => address | u64::from(queue_of::RING),
            Self::Watches(address) => address | u64::from(queue_of::WATCHES),
        }
    }
}

/// Address of the `ns_common` that a key stands for.
fn address(key: u64, inum: u32) -> u64 {
    key ^ u64::from(inum) << 32
}

/// What is iterated over, in the names of the kernel's `bpf_iter_*` functions.
const TARGETS: [&str; 3] = ["task", "task_file", "task_vma"];

/// Namespaces that are known to be described already, for each thread of the system, and at least and at most.
const SEEN: u32 = 8;
const SEEN_LEAST: u32 = 1 << 15;
const SEEN_MOST: u32 = 1 << 18;

/// Most passes over the tasks for one walk: a visit of a task finds one file at most, and a million can be in flight.
const MAX_RUNS: u32 = 20_000;

impl CensusIterators {
    /// Prepares the object; programs are loaded when they are first read.
    ///
    /// # Errors
    /// One sentence with its remedy: no privileges, no BTF, no programs in this binary.
    pub fn open() -> anyhow::Result<Self> {
        let Some(object) = object::census() else {
            bail!("this binary was built without its eBPF programs: build it with `cargo xtask build`");
        };
        // Not the whole environment: finding it out may mount tracefs.
        if !is_privileged() {
            bail!("neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON: run as root");
        }
        let btf = &Btf::of_running_kernel()?;
        let layout = layout::resolve(btf).layout;
        let census = census_layout::resolve(btf);
        super::tracer::raise_memlock();
        let object = prepare(object, &layout, &census, true)?;
        let targets = btf.functions_named(&TARGETS.map(|target| format!("bpf_iter_{target}")));
        let has_all_lists = census.ns_common_list != ABSENT;
        Ok(Self { object, targets, layout, census, has_all_lists, is_direct: true })
    }

    /// Every thread, each namespace it refers to before it.
    pub fn tasks(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_task", "task")
    }

    /// Every open file that holds a namespace. Namespaces that [`Self::tasks`] described are not described again.
    pub fn files(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_file", "task_file")
    }

    /// What every task holds by its root and working directory, and by the program it runs.
    pub fn places(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_place", "task")
    }

    /// What the files in these lists hold. Each part comes with the number of the list that its records count from.
    pub fn queues(&mut self, lists: &[FileList]) -> anyhow::Result<Vec<(usize, Vec<u8>)>> {
        let addresses: Vec<u64> = lists.iter().map(|list| list.marked()).collect();
        let mut parts = Vec::new();
        for (number, some) in addresses.chunks(WALKS).enumerate() {
            parts.push((number * WALKS, self.walk("census_queue", some)?.0));
        }
        Ok(parts)
    }

    /// Every mapped file that holds a namespace, System V shared memory included. 5.12 and newer.
    pub fn memory(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_memory", "task_vma")
    }

    /// Every mount that holds a namespace, in the trees of these mount namespaces. The second value counts trees that
    /// changed under the walk, of which a part is missing.
    pub fn mounts(&mut self, trees: &[MountTree]) -> anyhow::Result<(Vec<u8>, u32)> {
        let addresses: Vec<u64> = trees.iter().map(|tree| tree.0).collect();
        self.walk("census_mount", &addresses)
    }

    /// The tree of mounts of the mount namespace with this key and inode number.
    pub fn tree_of(&self, key: u64, inum: u32) -> MountTree {
        MountTree(address(key, inum).wrapping_sub(self.common(NsType::Mnt)))
    }

    fn common(&self, t: NsType) -> u64 {
        self.layout.ns_common[t.index()].into()
    }

    /// Every namespace on the kernel's lists, entered at the namespaces of these types, keys and inode numbers, which are
    /// to be of all types: there is one list for all types (6.19+), one for each (6.18), or one of network namespaces only.
    pub fn listed(&mut self, entries: &[(NsType, u64, u32)]) -> anyhow::Result<Vec<u8>> {
        let entries: Vec<u64> = if self.has_all_lists {
            entries.iter().map(|&(_, key, inum)| address(key, inum)).collect()
        } else {
            let nets = entries.iter().filter(|(t, ..)| *t == NsType::Net);
            nets.map(|&(_, key, inum)| address(key, inum).wrapping_sub(self.common(NsType::Net))).collect()
        };
        Ok(self.walk("census_list", &entries)?.0)
    }

    /// The kernel lists the namespaces of all types, so that none can stay unseen.
    pub fn has_all_lists(&self) -> bool {
        self.has_all_lists
    }

    /// Runs a walk to its end.
    fn walk(&mut self, program: &str, trees: &[u64]) -> anyhow::Result<(Vec<u8>, u32)> {
        // Before the maps are filled: another object has other maps.
        self.load(program, "task")?;
        let mut bytes = Vec::new();
        let mut torn = 0;
        for some in trees.chunks(WALKS) {
            for (at, tree) in (0_u32..).zip(some) {
                self.object.set("TREES", at, tree.as_bytes())?;
            }
            // No more than WALKS.
            let count = u32::try_from(some.len())?;
            let mut walk = Walk { count, ..Walk::default() };
            let mut runs = 0;
            while walk.to.index < count {
                self.object.set("WALK", 0, Walk { visit: 0, ..walk }.as_bytes())?;
                bytes.append(&mut self.read(program, "task")?);
                let mut after = Walk::default();
                self.object.get("WALK", 0, after.as_mut_bytes())?;
                runs += 1;
                // Memory that is used again under the walk could lead it in circles.
                if after.to == walk.to || runs > MAX_RUNS {
                    bail!("the walk did not come to an end: run it again");
                }
                walk = after;
            }
            torn += walk.torn;
        }
        Ok((bytes, torn))
    }

    fn read(&mut self, program: &str, target: &str) -> anyhow::Result<Vec<u8>> {
        self.load(program, target)?;
        self.object.read(program)
    }

    fn load(&mut self, program: &str, target: &str) -> anyhow::Result<()> {
        let at = TARGETS.iter().position(|known| *known == target);
        let id = at.and_then(|at| self.targets[at]);
        let id = id.with_context(|| format!("this kernel has no iterator over {target}"))?;
        if self.is_direct && self.object.load(program, id).is_err() {
            // What is described already is described again, no more.
            let object = object::census().context("the object is part of this binary")?;
            self.object = prepare(object, &self.layout, &self.census, false)?;
            self.is_direct = false;
        }
        self.object.load(program, id)
    }
}

/// The object with its maps, for this kernel.
fn prepare(object: &[u8], layout: &Layout, census: &CensusLayout, direct: bool) -> anyhow::Result<IteratorObject> {
    let config = Config { self_tgid: std::process::id(), direct: u32::from(direct), ..Config::DEFAULT };
    let globals = [("LAYOUT", layout.as_bytes()), ("CENSUS", census.as_bytes()), ("CONFIG", config.as_bytes())];
    let globals = globals.into_iter().map(|(name, bytes)| (name, (bytes, true))).collect();
    IteratorObject::open(object, globals, &[("SEEN", seen_entries())])
}

/// Room for the namespaces of so many threads as there are now (proc_loadavg(5), fourth field).
fn seen_entries() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let threads = text.split_whitespace().nth(3).and_then(|field| field.split_once('/')?.1.parse().ok());
    threads.map_or(SEEN_MOST, |threads: u32| threads.saturating_mul(SEEN).clamp(SEEN_LEAST, SEEN_MOST))
}

/// Splits what an iterator gave into records; ends early at a record of unknown kind, which cannot come from our object.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Record> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, _) = Head::read_from_prefix(rest).ok()?;
        let (record, after) = rest.split_at_checked(usize::try_from(head.len).ok()?)?;
        rest = after;
        Some(match head.kind {
            kind::TASK => Record::Task(Task::read_from_bytes(record).ok()?),
            kind::NAMESPACE => Record::Namespace(Namespace::read_from_bytes(record).ok()?),
            kind::FILE => Record::File(File::read_from_bytes(record).ok()?),
            kind::MOUNT => Record::Mount(Mount::read_from_bytes(record).ok()?),
            _ => return None,
        })
    })
}
