//! What the kernel could not deliver: records that found the ring full, and program runs that were skipped.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    programs::Program,
};
use nstrace_common::record::hook;

/// Name of each `record::hook`, for people.
pub const fn hook_name(by: u16) -> &'static str {
    match by {
        hook::TASK_NEWTASK => "task_newtask",
        hook::SCHED_PROCESS_EXEC => "sched_process_exec",
        hook::SCHED_PROCESS_EXIT => "sched_process_exit",
        hook::SWITCH_TASK_NAMESPACES => "switch_task_namespaces",
        hook::COMMIT_CREDS => "commit_creds",
        hook::COPY_NAMESPACES => "copy_namespaces",
        hook::UNSHARE => "unshare",
        hook::SETNS => "setns",
        hook::CLONE => "clone",
        hook::PROC_FREE_INUM => "proc_free_inum",
        hook::NSFS_INIT => "nsfs_init_inode",
        hook::NSFS_EVICT => "nsfs_evict",
        hook::NS_INSTALL => "ns_install",
        hook::NS_TREE_ADD => "ns_tree_add",
        hook::ITER_TASK => "iter_task",
        _ => "unknown",
    }
}

/// Loss counters of the running programs.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct Counters {
    drops: PerCpuArray<MapData, u64>,
    /// Name and fd of each attached program.
    programs: Vec<(String, OwnedFd)>,
    /// What [`Counters::skipped_since`] has told already, per program.
    told: Vec<u64>,
}

impl Counters {
    /// Takes the drop counters out of the object; remembers the loaded programs.
    pub fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = ebpf.take_map("DROPS").ok_or_else(|| anyhow::anyhow!("the object has no map DROPS"))?;
        let mut programs = Vec::new();
        for (name, program) in ebpf.programs() {
            if let Some(fd) = program_fd(program) {
                programs.push((name.to_owned(), fd));
            }
        }
        let told = vec![0; programs.len()];
        Ok(Self { drops: PerCpuArray::try_from(map)?, programs, told })
    }

    /// Records lost to a full ring so far, per hook that lost any.
    pub fn ring_full(&self) -> anyhow::Result<Vec<(&'static str, u64)>> {
        let mut lost = Vec::new();
        for by in 0..hook::COUNT as u16 {
            let sum: u64 = self.drops.get(&u32::from(by), 0)?.iter().sum();
            if sum > 0 {
                lost.push((hook_name(by), sum));
            }
        }
        Ok(lost)
    }

    /// `recursion_misses` (5.12+) of every program that has any: runs that the kernel skipped because the program, or for
    /// kprobes any program, was already running on that CPU. From `/proc/self/fdinfo`.
    pub fn skipped(&self) -> Vec<(&str, u64)> {
        self.programs
            .iter()
            .filter_map(|(name, fd)| Some((name.as_str(), recursion_misses(fd)?)))
            .filter(|(_, misses)| *misses > 0)
            .collect()
    }

    /// As [`Counters::skipped`], but only what came since the last call.
    pub fn skipped_since(&mut self) -> Vec<(String, u64)> {
        let mut new = Vec::new();
        for (told, (name, fd)) in self.told.iter_mut().zip(&self.programs) {
            let now = recursion_misses(fd).unwrap_or(0);
            if now > *told {
                new.push((name.clone(), now - *told));
                *told = now;
            }
        }
        new
    }
}

fn recursion_misses(fd: &OwnedFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    info.lines().find_map(|l| l.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

fn program_fd(program: &Program) -> Option<OwnedFd> {
    let fd = match program {
        Program::BtfTracePoint(p) => p.fd(),
        Program::FEntry(p) => p.fd(),
        Program::FExit(p) => p.fd(),
        Program::KProbe(p) => p.fd(),
        Program::TracePoint(p) => p.fd(),
        _ => return None,
    };
    fd.ok()?.as_fd().try_clone_to_owned().ok()
}
