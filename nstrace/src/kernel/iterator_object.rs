//! An object of BPF iterators, ready in the kernel.
//!
//! aya's loader reads and indexes the kernel's whole BTF three times before an iterator runs, which takes fifty
//! milliseconds; a census is to take less. `aya_obj` does here what needs no kernel: it reads the object and relocates it.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::Arc,
};

use anyhow::{Context, bail};
use aya_obj::{
    EbpfSectionKind, Object,
    btf::BtfFeatures,
    generated::{BPF_CALL, BPF_JMP, BPF_PSEUDO_KFUNC_CALL, bpf_insn},
};
use nstrace_common::layout::RDONLY_CAST;
use zerocopy::IntoBytes as _;

use super::{attach::Refusal, bpf_calls};

/// Most that the kernel hands out in a call, in bytes.
const PART: usize = 32 << 10;
/// Where the output goes is as good for numbers of 64 bits as the kernel's own memory.
const WORD: usize = size_of::<u64>();

/// Global variables by name.
pub(super) type Globals<'g> = HashMap<&'g str, (&'g [u8], bool)>;

/// An object that was read, for any number of [`IteratorObject`]s; independent of the kernel's structures.
#[derive(Debug)]
pub(super) struct Iterators {
    object: Object,
    btf: Option<OwnedFd>,
}

impl Iterators {
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut object = Object::parse(bytes).context("cannot read the eBPF object")?;
        // What 5.10 knows: functions, global ones, sections. Newer kinds of types are replaced, as nothing here needs them.
        let features = BtfFeatures::new(true, true, true, false, false, false, false, false);
        let btf = object.fixup_and_sanitize_btf(&features).context("cannot prepare the eBPF object's BTF")?;
        let btf = match btf.map(|btf| btf.to_bytes()) {
            Some(bytes) => Some(bpf_calls::load_btf(&bytes).context("cannot load the eBPF object's BTF")?),
            None => None,
        };
        // The kernel has it.
        object.btf = None;
        object.btf_ext = None;
        Ok(Self { object, btf })
    }
}

#[derive(Debug)]
pub(super) struct IteratorObject {
    iterators: Arc<Iterators>,
    object: Object,
    maps: HashMap<String, OwnedFd>,
    programs: HashMap<String, OwnedFd>,
}

impl IteratorObject {
    /// Creates the maps; programs are loaded when they are first read. `entries` overrides sizes of maps; `rdonly_cast` is the
    /// number of `bpf_rdonly_cast` in the kernel's BTF, when the programs call it.
    pub fn open(
        iterators: Arc<Iterators>,
        globals: Globals<'_>,
        entries: &[(&str, u32)],
        rdonly_cast: Option<u32>,
    ) -> anyhow::Result<Self> {
        let mut object = iterators.object.clone();
        object.patch_map_data(globals).context("cannot fill in the eBPF object")?;
        let mut maps = HashMap::new();
        for (name, map) in &mut object.maps {
            if let Some((_, entries)) = entries.iter().find(|(sized, _)| sized == name) {
                map.set_max_entries(*entries);
            }
            let fd = bpf_calls::create_map(name, map).with_context(|| format!("cannot create the map {name}"))?;
            if map.section_kind() == EbpfSectionKind::Rodata {
                bpf_calls::update(fd.as_fd(), 0, map.data()).with_context(|| format!("cannot fill the map {name}"))?;
                bpf_calls::freeze(fd.as_fd()).with_context(|| format!("cannot freeze the map {name}"))?;
            }
            maps.insert(name.clone(), fd);
        }
        let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let definitions = object.maps.clone();
        let known = maps.iter().filter_map(|(name, fd)| Some((name.as_str(), fd.as_raw_fd(), definitions.get(name)?)));
        object.relocate_maps(known, &sections).context("cannot relocate the eBPF object")?;
        object.relocate_calls(&sections).context("cannot relocate the eBPF object")?;
        if let Some(number) = rdonly_cast {
            object.functions.values_mut().for_each(|function| call_rdonly_cast(&mut function.instructions, number));
        }
        Ok(Self { iterators, object, maps, programs: HashMap::new() })
    }

    /// `value` has the map's value size.
    pub fn set(&self, map: &str, key: u32, value: &[u8]) -> anyhow::Result<()> {
        let map_fd = self.maps.get(map).with_context(|| format!("the object has no map {map}"))?;
        bpf_calls::update(map_fd.as_fd(), key, value).with_context(|| format!("cannot write the map {map}"))
    }

    /// `value` has the map's value size.
    pub fn get(&self, map: &str, key: u32, value: &mut [u8]) -> anyhow::Result<()> {
        let map_fd = self.maps.get(map).with_context(|| format!("the object has no map {map}"))?;
        bpf_calls::look_up(map_fd.as_fd(), key, value).with_context(|| format!("cannot read the map {map}"))
    }

    /// Loads an iterator, once. `target` is the type number of `bpf_iter_TARGET` in the kernel's BTF.
    pub fn load(&mut self, name: &str, target: u32) -> anyhow::Result<()> {
        if !self.programs.contains_key(name) {
            let program = self.verified(name, target)?;
            self.programs.insert(name.to_owned(), program);
        }
        Ok(())
    }

    /// Hands all that a loaded iterator has to say to `take`, in parts, each at an address that suits `u64`. It returns how many
    /// bytes it took; what it left comes again in front of the next part.
    pub fn read(&self, name: &str, mut take: impl FnMut(&[u8]) -> usize) -> anyhow::Result<()> {
        let program = self.programs.get(name).with_context(|| format!("{name} is not loaded"))?;
        let output = bpf_calls::open_iterator(program.as_fd()).with_context(|| format!("cannot start {name}"))?;
        let mut words = vec![0_u64; 2 * PART / WORD];
        let part = words.as_mut_bytes();
        let mut left = 0;
        loop {
            // Never empty: whoever takes nothing of so much is at its end.
            if part.len() == left {
                return Ok(());
            }
            match rustix::io::read(&output, &mut part[left..]) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    let end = left + n;
                    let taken = take(&part[..end]).min(end);
                    part.copy_within(taken..end, 0);
                    left = end - taken;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => bail!("cannot read what {name} says: {error}"),
            }
        }
    }

    fn verified(&self, name: &str, target: u32) -> anyhow::Result<OwnedFd> {
        let program = self.object.programs.get(name).with_context(|| format!("the object has no program {name}"))?;
        let function = self.object.functions.get(&program.function_key());
        let function = function.with_context(|| format!("the object's program {name} has no code"))?;
        let program = bpf_calls::Iterator {
            name,
            license: &program.license,
            instructions: &function.instructions,
            btf: self.iterators.btf.as_ref().map(|btf| (btf.as_fd(), &function.func_info, function.func_info_rec_size)),
            target,
        };
        bpf_calls::load_iterator(&program)
            .map_err(|(error, said)| anyhow::anyhow!("{}", Refusal::at_load(&error, said).reason))
    }
}

/// Puts the kernel's own function in the place of [`RDONLY_CAST`], which aya_obj does not know of.
fn call_rdonly_cast(instructions: &mut [bpf_insn], number: u32) {
    const CALL: u8 = (BPF_JMP | BPF_CALL) as u8;
    let is_it = |i: &&mut bpf_insn| i.code == CALL && i.src_reg() == 0 && usize::try_from(i.imm) == Ok(RDONLY_CAST);
    for instruction in instructions.iter_mut().filter(is_it) {
        instruction.set_src_reg(BPF_PSEUDO_KFUNC_CALL as u8);
        instruction.imm = number.cast_signed();
    }
}
