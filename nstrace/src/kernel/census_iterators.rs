//! The census of the kernel's own objects by BPF iterators: tasks, namespaces, open files.
//!
//! An object of its own is loaded, with only the programs that are asked for. Nothing is attached, no reference is taken.

use std::{fs, sync::Arc, thread};

use anyhow::{Context, bail};
use nstrace_common::{
    census::{CensusLayout, File, Head, LOOSE_MOUNT, Mount, Namespace, TORN, Task, WALKS, Walk, kind, queue_of},
    layout::{ABSENT, Config, Layout},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::ns::NsType;

use super::{
    btf::Btf,
    census_layout,
    environment::is_privileged,
    iterator_object::{IteratorObject, Iterators},
    layout, object,
};

/// One record of an iterator, where it was read to.
#[derive(Clone, Copy, Debug)]
pub enum Record<'r> {
    Task(&'r Task),
    Namespace(&'r Namespace),
    File(&'r File),
    Mount(&'r Mount),
}

/// Iterators over one share of the processes; walks over what is not a process's are the same for every share.
#[derive(Debug)]
pub struct CensusIterators {
    /// Prepared when the first program is loaded.
    object: Option<IteratorObject>,
    kernel: Arc<Kernel>,
    /// `Config::share`.
    share: u32,
    /// `Config::casts`: on until the verifier refuses it.
    casts: bool,
}

/// What is known of the running kernel, and the programs before they know it.
#[derive(Debug)]
struct Kernel {
    iterators: Arc<Iterators>,
    /// As [`TARGETS`]: type numbers in the kernel's BTF; None where this kernel has no such iterator.
    targets: [Option<u32>; TARGETS.len()],
    /// Number of `bpf_rdonly_cast` there, which came with 6.2 and takes any address from 6.17 on.
    rdonly_cast: Option<u32>,
    layout: Layout,
    census: CensusLayout,
    seen_entries: u32,
    /// Of the system, when this began; 0 unknown.
    threads: u32,
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
const TARGETS: [&str; 4] = ["task", "task_file", "task_vma", "bpf_map"];

/// What the walks are run by: of whatever there is little, since each visit takes a walk further.
const ENGINE: &str = "bpf_map";

/// Namespaces that are known to be described already, for each thread of the system, and at least and at most.
const SEEN: u32 = 8;
const SEEN_LEAST: u32 = 1 << 15;
const SEEN_MOST: u32 = 1 << 18;

/// Most runs for one walk: a visit finds one file at most, and a million can be in flight.
const MAX_RUNS: u32 = 200_000;

/// With fewer threads in the system one reader is done before a second one has loaded its programs.
const WORTH_SHARING: u32 = 1000;

impl CensusIterators {
    /// One reader for each share of the processes: two, to be used at the same time, where there are processors and threads
    /// enough. Programs are loaded when they are first read.
    ///
    /// # Errors
    /// One sentence with its remedy: no privileges, no BTF, no programs in this binary.
    pub fn open() -> anyhow::Result<Vec<Self>> {
        let Some(object) = object::census() else {
            bail!("this binary was built without its eBPF programs: build it with `cargo xtask build`");
        };
        // Not the whole environment: finding it out may mount tracefs.
        if !is_privileged() {
            bail!("neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON: run as root");
        }
        super::tracer::raise_memlock();
        // Each takes a millisecond.
        let (btf, iterators) = thread::scope(|scope| {
            let iterators = scope.spawn(|| Iterators::parse(object));
            (Btf::of_running_kernel(), iterators.join().unwrap_or_else(|_| bail!("a reader has failed")))
        });
        let (btf, iterators) = (&btf?, Arc::new(iterators?));
        let mut census = census_layout::resolve(btf);
        census_layout::add_modules(&mut census, btf);
        let threads = threads();
        let [task, task_file, task_vma, bpf_map] = TARGETS.map(|target| format!("bpf_iter_{target}"));
        let [targets @ .., rdonly_cast] =
            btf.functions_named(&[task, task_file, task_vma, bpf_map, "bpf_rdonly_cast".to_owned()]);
        let kernel = Arc::new(Kernel {
            iterators,
            targets,
            rdonly_cast,
            layout: layout::resolve(btf).layout,
            census,
            threads: threads.unwrap_or(0),
            seen_entries: threads.map_or(SEEN_MOST, |n| n.saturating_mul(SEEN).clamp(SEEN_LEAST, SEEN_MOST)),
        });
        let many = threads.is_none_or(|threads| threads >= WORTH_SHARING);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let shares: &[u32] = if many && processors > 1 { &[1, 2] } else { &[0] };
        let casts = rdonly_cast.is_some();
        let reader = |&share| Self { object: None, kernel: Arc::clone(&kernel), share, casts };
        Ok(shares.iter().map(reader).collect())
    }

    /// How many threads the system has, about; 0 when that is not known.
    pub fn threads(&self) -> usize {
        usize::try_from(self.kernel.threads).unwrap_or(0)
    }

    /// Every thread, each namespace it refers to before it.
    pub fn tasks(&mut self, each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        self.read("census_task", "task", each)
    }

    /// As [`Self::tasks`], with what every process holds by its open files, its directories and its program.
    pub fn processes(&mut self, each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        self.read("census_process", "task", each)
    }

    /// What every process holds by open files, without the limit that [`Self::processes`] has to their number: slow.
    pub fn files(&mut self, each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        self.read("census_file", "task_file", each)
    }

    /// What the files in these lists hold. Each record comes with the number of the list that it counts from.
    pub fn queues(&mut self, lists: &[FileList], mut each: impl FnMut(usize, Record<'_>)) -> anyhow::Result<()> {
        let addresses: Vec<u64> = lists.iter().map(|list| list.marked()).collect();
        for (number, some) in addresses.chunks(WALKS).enumerate() {
            self.walk("census_queue", some, |record| each(number * WALKS, record))?;
        }
        Ok(())
    }

    /// Every mapped file that holds a namespace, System V shared memory included. 5.12 and newer.
    pub fn memory(&mut self, each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        self.read("census_memory", "task_vma", each)
    }

    /// Every mount that holds a namespace, in the trees of these mount namespaces. Returns the trees
    /// that changed under the walk, of which a part is missing.
    pub fn mounts(&mut self, trees: &[MountTree], mut each: impl FnMut(Record<'_>)) -> anyhow::Result<Vec<MountTree>> {
        let mut torn = Vec::new();
        for some in trees.chunks(WALKS) {
            let addresses: Vec<u64> = some.iter().map(|tree| tree.0).collect();
            if self.walk("census_mount", &addresses, &mut each)? == 0 {
                continue;
            }
            for (at, &tree) in (0_u32..).zip(some) {
                let mut entry = 0_u64;
                self.object()?.get("TREES", at, entry.as_mut_bytes())?;
                if entry & TORN != 0 {
                    torn.push(tree);
                }
            }
        }
        Ok(torn)
    }

    /// The tree of mounts of the mount namespace with this key and inode number.
    pub fn tree_of(&self, key: u64, inum: u32) -> MountTree {
        MountTree(address(key, inum).wrapping_sub(self.common(NsType::Mnt)))
    }

    fn common(&self, t: NsType) -> u64 {
        self.kernel.layout.ns_common[t.index()].into()
    }

    /// Every namespace on the kernel's lists, entered at the namespaces of these types, keys and inode numbers, which are
    /// to be of all types: there is one list for all types (6.19+), one for each (6.18), or one of network namespaces only.
    pub fn listed(&mut self, entries: &[(NsType, u64, u32)], each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        let entries: Vec<u64> = if self.has_all_lists() {
            entries.iter().map(|&(_, key, inum)| address(key, inum)).collect()
        } else {
            let nets = entries.iter().filter(|(t, ..)| *t == NsType::Net);
            nets.map(|&(_, key, inum)| address(key, inum).wrapping_sub(self.common(NsType::Net))).collect()
        };
        self.walk("census_list", &entries, each).map(drop)
    }

    /// The kernel lists the namespaces of all types, so that none can stay unseen.
    pub fn has_all_lists(&self) -> bool {
        self.kernel.census.ns_common_list != ABSENT
    }

    /// Runs a walk to its end.
    fn walk(&mut self, program: &str, trees: &[u64], mut each: impl FnMut(Record<'_>)) -> anyhow::Result<u32> {
        // Before the maps are filled: another object has other maps.
        self.load(program, ENGINE)?;
        let mut torn = 0;
        for some in trees.chunks(WALKS) {
            for (at, tree) in (0_u32..).zip(some) {
                self.object()?.set("TREES", at, tree.as_bytes())?;
            }
            // No more than WALKS.
            let count = u32::try_from(some.len())?;
            let mut walk = Walk { count, ..Walk::default() };
            let mut runs = 0;
            while walk.to.index < count {
                self.object()?.set("WALK", 0, Walk { visit: 0, ..walk }.as_bytes())?;
                self.read(program, ENGINE, &mut each)?;
                let mut after = Walk::default();
                self.object()?.get("WALK", 0, after.as_mut_bytes())?;
                runs += 1;
                // Memory that is used again under the walk could lead it in circles.
                if after.to == walk.to || runs > MAX_RUNS {
                    bail!("the walk did not come to an end: run it again");
                }
                walk = after;
            }
            torn += walk.torn;
        }
        Ok(torn)
    }

    fn read(&mut self, program: &str, target: &str, mut each: impl FnMut(Record<'_>)) -> anyhow::Result<()> {
        self.load(program, target)?;
        self.object()?.read(program, |bytes| records(bytes, &mut each))
    }

    fn load(&mut self, program: &str, target: &str) -> anyhow::Result<()> {
        let at = TARGETS.iter().position(|known| *known == target);
        let id = at.and_then(|at| self.kernel.targets[at]);
        let id = id.with_context(|| format!("this kernel has no iterator over {target}"))?;
        // From 6.2 to 6.16 there are casts, but only to structures.
        if self.object()?.load(program, id).is_err() && self.casts {
            // What is described already is described again, no more.
            self.object = None;
            self.casts = false;
        }
        self.object()?.load(program, id)
    }

    /// The object with its maps, for this kernel and share.
    fn object(&mut self) -> anyhow::Result<&mut IteratorObject> {
        match &mut self.object {
            Some(object) => Ok(object),
            none => {
                let config = Config {
                    self_tgid: std::process::id(),
                    casts: self.casts.into(),
                    share: self.share,
                    ..Config::DEFAULT
                };
                let Kernel { layout, census, seen_entries, rdonly_cast, .. } = &*self.kernel;
                let iterators = Arc::clone(&self.kernel.iterators);
                let globals =
                    [("LAYOUT", layout.as_bytes()), ("CENSUS", census.as_bytes()), ("CONFIG", config.as_bytes())];
                let globals = globals.into_iter().map(|(name, bytes)| (name, (bytes, true))).collect();
                let cast = rdonly_cast.filter(|_| self.casts);
                Ok(none.insert(IteratorObject::open(iterators, globals, &[("SEEN", *seen_entries)], cast)?))
            }
        }
    }
}

/// Threads there are now (proc_loadavg(5), fourth field).
fn threads() -> Option<u32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// Splits what an iterator gave, which begins at a place for numbers of 64 bits, into records, and returns how many bytes were
/// whole ones. A record of unknown kind, which cannot come from our object, ends it.
fn records(bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> usize {
    let mut rest = bytes;
    while let Some((record, after)) = first(rest) {
        each(record);
        rest = after;
    }
    bytes.len() - rest.len()
}

fn first(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, _) = Head::read_from_prefix(bytes).ok()?;
    let (record, after) = bytes.split_at_checked(usize::try_from(head.len).ok()?)?;
    let record = match head.kind {
        kind::TASK => Record::Task(Task::ref_from_bytes(record).ok()?),
        kind::NAMESPACE => Record::Namespace(Namespace::ref_from_bytes(record).ok()?),
        kind::FILE => Record::File(File::ref_from_bytes(record).ok()?),
        kind::MOUNT => Record::Mount(Mount::ref_from_bytes(record).ok()?),
        _ => return None,
    };
    Some((record, after))
}
