//! Runs of kprobes that the kernel skipped before it came to their program: a kprobe that is hit while another one is being
//! handled on that CPU (from an interrupt, say) is passed over. `recursion_misses` knows nothing of these.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_link_info, bpf_link_type::BPF_LINK_TYPE_PERF_EVENT};

use super::bpf_calls;

/// `BPF_PERF_EVENT_KPROBE`, `BPF_PERF_EVENT_KRETPROBE` of `enum bpf_perf_event_type`.
const KPROBES: [u32; 2] = [3, 4];

/// The attachments of one program to kprobes.
#[derive(Debug, Default)]
pub(super) struct KprobeLinks(Vec<OwnedFd>);

impl KprobeLinks {
    /// Those of the program with this id, as the kernel lists them (aya keeps the links' descriptors to itself). None before
    /// 5.15, where kprobes have no links.
    pub fn of(program_id: u32) -> Self {
        let is_its_own =
            |link: &OwnedFd| bpf_calls::link_info(link.as_fd()).is_ok_and(|info| info.prog_id == program_id);
        Self(bpf_calls::links().filter(is_its_own).collect())
    }

    /// `missed` (6.7+) of all of them; 0 where the kernel does not tell.
    pub fn missed(&self) -> u64 {
        self.0.iter().filter_map(|link| missed(link.as_fd())).sum()
    }
}

fn missed(link: BorrowedFd<'_>) -> Option<u64> {
    let info: bpf_link_info = bpf_calls::link_info(link).ok()?;
    if info.type_ != BPF_LINK_TYPE_PERF_EVENT as u32 {
        return None;
    }
    // SAFETY: the union's member for this type; plain numbers, zero where the kernel wrote nothing.
    unsafe {
        let event = info.__bindgen_anon_1.perf_event;
        KPROBES.contains(&event.type_).then_some(event.__bindgen_anon_1.kprobe.missed)
    }
}
