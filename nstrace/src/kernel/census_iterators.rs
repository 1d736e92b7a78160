//! The census of the kernel's own objects by BPF iterators: tasks, namespaces, open files.
//!
//! An object of its own is loaded, with only the programs that are asked for. Nothing is attached, no reference is taken.

use std::io::Read;

use anyhow::{Context, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::Iter,
};
use nstrace_common::{
    census::{File, Head, Mount, Namespace, Task, WALKS, Walk, kind},
    layout::{ABSENT, Layout},
    slots::TYPES,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::ns::NsType;

use super::{
    btf::Btf,
    census_layout,
    environment::{config, is_privileged},
    layout, object,
};

/// One record of an iterator.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    Task(Task),
    Namespace(Namespace),
    File(File),
    Mount(Mount),
}

/// Loaded iterators.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct CensusIterators {
    ebpf: Ebpf,
    btf: aya::Btf,
    layout: Layout,
    has_all_lists: bool,
}

/// Address of a `struct mnt_namespace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountTree(pub u64);

/// Address of the `ns_common` that a key stands for.
fn address(key: u64, inum: u32) -> u64 {
    key ^ u64::from(inum) << 32
}

/// Most passes over the tasks for one walk.
const MAX_RUNS: u32 = 1000;

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
        let own_btf = &Btf::of_running_kernel()?;
        let btf = aya::Btf::from_sys_fs().context("/sys/kernel/btf/vmlinux")?;
        let layout = layout::resolve(own_btf).layout;
        let census = census_layout::resolve(own_btf);
        let config = config(false, own_btf, [0; TYPES]);
        super::tracer::raise_memlock();
        let ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("LAYOUT", layout.as_bytes(), true)
            .override_global("CENSUS", census.as_bytes(), true)
            .override_global("CONFIG", config.as_bytes(), true)
            .load(object)
            .context("cannot load the eBPF object")?;
        Ok(Self { ebpf, btf, layout, has_all_lists: census.ns_common_list != ABSENT })
    }

    /// Every thread, each namespace it refers to before it.
    pub fn tasks(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_task", "task")
    }

    /// Every open file that holds a namespace. Namespaces that [`Self::tasks`] described are not described again.
    pub fn files(&mut self) -> anyhow::Result<Vec<u8>> {
        self.read("census_file", "task_file")
    }

    /// Every attached System V shared memory segment. 5.12 and newer.
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
        let mut bytes = Vec::new();
        let mut torn = 0;
        for some in trees.chunks(WALKS) {
            let mut list: Array<_, u64> = Array::try_from(self.ebpf.map_mut("TREES").context("no map TREES")?)?;
            for (at, &tree) in (0_u32..).zip(some) {
                list.set(at, tree, 0)?;
            }
            // No more than WALKS.
            let count = u32::try_from(some.len())?;
            let mut walk = Walk { count, ..Walk::default() };
            let mut runs = 0;
            while walk.to.index < count {
                self.place()?.set(0, Plain(Walk { visit: 0, ..walk }), 0)?;
                bytes.append(&mut self.read(program, "task")?);
                let Plain(after) = self.place()?.get(&0, 0)?;
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

    fn place(&mut self) -> anyhow::Result<Array<&mut MapData, Plain>> {
        Ok(Array::try_from(self.ebpf.map_mut("WALK").context("no map WALK")?)?)
    }

    fn read(&mut self, name: &str, target: &str) -> anyhow::Result<Vec<u8>> {
        let program: &mut Iter =
            self.ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?.try_into()?;
        match program.load(target, &self.btf) {
            Ok(()) | Err(aya::programs::ProgramError::AlreadyLoaded) => {}
            Err(error) => {
                let refusal = super::attach::Refusal::from(error);
                bail!("{}", refusal.reason);
            }
        }
        let link = program.attach()?;
        let mut file = program.take_link(link)?.into_file()?;
        let mut bytes = Vec::new();
        // A large buffer: the kernel hands out at most its own 32 KiB a call, but never splits for a smaller one.
        let mut chunk = vec![0; 1 << 16];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(bytes),
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain(Walk);

// SAFETY: zerocopy has checked that a `Walk` has no padding and that any bytes are one.
unsafe impl aya::Pod for Plain {}

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
