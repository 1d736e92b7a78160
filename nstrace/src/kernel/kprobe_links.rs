//! Runs of kprobes that the kernel skipped before it came to their program: a kprobe that is hit while another one is being
//! handled on that CPU (from an interrupt, say) is passed over. `recursion_misses` knows nothing of these.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{bpf_link_info, bpf_link_type::BPF_LINK_TYPE_PERF_EVENT};

use super::bpf_calls;

/// `BPF_PERF_EVENT_KPROBE`, `BPF_PERF_EVENT_KRETPROBE` of `enum bpf_perf_event_type`.
const KPROBES: [u32; 2] = [3, 4];

/// The attachments of one program to kprobes, where the kernel tells how many runs of them were skipped.
#[derive(Debug, Default)]
pub(super) struct KprobeLinks(Vec<OwnedFd>);

impl KprobeLinks {
    /// Those of every program that has any, by its id, as the kernel lists them (aya keeps the links' descriptors to itself). Empty
    /// before 6.6, where links to kprobes do not say so.
    pub fn by_program() -> HashMap<u32, Self> {
        let mut all: HashMap<u32, Self> = HashMap::new();
        for link in bpf_calls::links() {
            if let Some((program, _)) = kprobe(link.as_fd()) {
                all.entry(program).or_default().0.push(link);
            }
        }
        all
    }

    /// `missed` (6.7+) of all of them.
    pub fn missed(&self) -> u64 {
        self.0.iter().filter_map(|link| kprobe(link.as_fd())).map(|(_, missed)| missed).sum()
    }
}

/// Of a program's attachment to a kprobe: the id of the program, and how many runs were skipped.
fn kprobe(link: BorrowedFd<'_>) -> Option<(u32, u64)> {
    let info: bpf_link_info = bpf_calls::link_info(link).ok()?;
    if info.type_ != BPF_LINK_TYPE_PERF_EVENT as u32 {
        return None;
    }
    // SAFETY: the union's member for this type; plain numbers, zero where the kernel wrote nothing.
    let event = unsafe { info.__bindgen_anon_1.perf_event };
    // SAFETY: as above.
    let missed = unsafe { event.__bindgen_anon_1.kprobe.missed };
    KPROBES.contains(&event.type_).then_some((info.prog_id, missed))
}
