//! The kernel's own functions by which a program keeps itself from being preempted, put into the object: aya does not know them.

use anyhow::Context;
use aya_obj::generated::{BPF_CALL, BPF_JMP, BPF_PSEUDO_KFUNC_CALL};
use nstrace_common::layout::{PREEMPT_DISABLE, PREEMPT_ENABLE};
use object::{Object, ObjectSection, SectionKind};

use super::btf::Btf;

/// Type numbers of `bpf_preempt_disable` and `bpf_preempt_enable` in the kernel's BTF.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreemptFunctions {
    disable: u32,
    enable: u32,
}

impl PreemptFunctions {
    /// None: the kernel has none (they came with 6.10), or its verifier lets no global function be called between them, as our
    /// programs do. That it does came with 6.15, as `bpf_res_spin_lock` did.
    pub fn of(btf: &Btf) -> Option<Self> {
        let names = ["bpf_preempt_disable", "bpf_preempt_enable", "bpf_res_spin_lock"].map(str::to_owned);
        let [Some(disable), Some(enable), Some(_)] = btf.functions_named(&names) else { return None };
        Some(Self { disable, enable })
    }

    /// The `object` with calls of these functions in the place of [`PREEMPT_DISABLE`] and [`PREEMPT_ENABLE`].
    ///
    /// # Errors
    /// When it is no ELF file.
    pub fn put_into(self, object: &[u8]) -> anyhow::Result<Vec<u8>> {
        let file = object::File::parse(object).context("cannot read the eBPF object")?;
        let code = file.sections().filter(|section| section.kind() == SectionKind::Text);
        let places: Vec<(u64, u64)> = code.filter_map(|section| section.file_range()).collect();
        let mut patched = object.to_vec();
        for (offset, size) in places {
            let (offset, size) = (usize::try_from(offset)?, usize::try_from(size)?);
            let section = patched.get_mut(offset..offset + size).context("the eBPF object is cut off")?;
            let (instructions, _) = section.as_chunks_mut();
            instructions.iter_mut().for_each(|instruction| self.put_into_instruction(instruction));
        }
        Ok(patched)
    }

    /// `struct bpf_insn`: code, registers (the source in the high half), offset, immediate.
    fn put_into_instruction(self, instruction: &mut [u8; 8]) {
        const CALL: u8 = (BPF_JMP | BPF_CALL) as u8;
        let [CALL, 0, 0, 0, immediate @ ..] = instruction else { return };
        let function = match usize::try_from(u32::from_ne_bytes(*immediate)) {
            Ok(PREEMPT_DISABLE) => self.disable,
            Ok(PREEMPT_ENABLE) => self.enable,
            _ => return,
        };
        *immediate = function.to_ne_bytes();
        instruction[1] = (BPF_PSEUDO_KFUNC_CALL as u8) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_marks_are_replaced() {
        let functions = PreemptFunctions { disable: 7, enable: 8 };
        let put = |mut instruction: [u8; 8]| {
            functions.put_into_instruction(&mut instruction);
            instruction
        };
        let call = |source: u8, number: usize| {
            let [a, b, c, d] = u32::try_from(number).expect("a mark has 32 bits").to_ne_bytes();
            [0x85, source << 4, 0, 0, a, b, c, d]
        };
        assert_eq!(put(call(0, PREEMPT_DISABLE)), call(2, 7));
        assert_eq!(put(call(0, PREEMPT_ENABLE)), call(2, 8));
        assert_eq!(put(call(0, 5)), call(0, 5), "a helper");
        assert_eq!(put(call(1, PREEMPT_DISABLE)), call(1, PREEMPT_DISABLE), "a function of the object's own");
    }

    #[test]
    fn an_object_that_is_none_is_refused() {
        let functions = PreemptFunctions { disable: 7, enable: 8 };
        assert!(functions.put_into(b"not an object").is_err());
    }
}
