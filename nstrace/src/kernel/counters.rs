//! What the kernel could not deliver: records for which there was no room, and program runs that were skipped.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuHashMap},
    programs::Program,
};
use nstrace_common::record::hook;

use super::{bpf_calls, drops::Drops, facts::Hook, kprobe_links::KprobeLinks, report::AttachMode, together::Together};

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
        hook::FILE_OPEN => "security_file_open",
        hook::RECEIVE_FD => "receive_fd",
        hook::PTRACE_ACCESS => "ptrace_access_check",
        hook::GET_TREE => "vfs_get_tree",
        hook::MOUNT => "mount",
        hook::HANDLE_OPEN => "open_by_handle_at",
        hook::UNIX_CONNECT => "unix_connect",
        hook::KERNEL_LOAD => "kernel_load",
        hook::HELPER => "call_usermodehelper",
        hook::CGROUP_ATTACH => "cgroup_attach_task",
        hook::ID_MAP => "map_write",
        hook::FS_ROOT => "set_fs_root",
        hook::FS_PWD => "set_fs_pwd",
        hook::MKNOD => "mknod",
        hook::CAPABLE => "capable",
        _ => "unknown",
    }
}

/// Programs that run at every clone of the machine and have something to say only about one that asked for namespaces and
/// failed. A skipped run of theirs is, but for chance, no lost record; taking it for one would ask for a census each time.
/// [`Counters::skipped`] has them all the same. What `copy_namespaces` made is told again by the child's birth; if there is none,
/// nobody was ever in it. See [`Hook::bare`].
const SPEAK_RARELY: [&str; 4] = ["copy_namespaces", "sys_exit_clone", "sys_exit_clone3", "kernel_clone"];

/// Loss counters of the running programs.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct Counters {
    drops: Drops,
    floods: PerCpuHashMap<MapData, [u64; 2], u64>,
    programs: Vec<Attached>,
    /// Copies all of which can be preempted.
    together: Vec<Together>,
    /// What all copies of a program can have missed, so far.
    missed_by_all: u64,
}

#[derive(Debug)]
struct Attached {
    hook: Hook,
    fd: OwnedFd,
    /// Empty of programs that are no kprobes.
    kprobes: KprobeLinks,
    /// It has seldom anything to say: see [`SPEAK_RARELY`] and [`Hook::is_deed`].
    rare: bool,
    /// A skipped run is a lost record: no other program is attached to the same place, and it nearly always reports.
    loses: bool,
    /// What [`Counters::skipped_alone_since`] has seen already.
    told: u64,
}

impl Counters {
    /// Takes the drop counters out of the object; remembers the programs of `hooks`.
    ///
    /// # Errors
    /// When the object is not ours, or its counters cannot be mapped.
    pub fn new(ebpf: &mut Ebpf, hooks: &[Hook], preemptible: bool) -> anyhow::Result<Self> {
        let map = ebpf.take_map("DROPS").ok_or_else(|| anyhow::anyhow!("the object has no map DROPS"))?;
        let mut programs: Vec<Attached> = Vec::new();
        let is_kprobe = |hook: &Hook| hook.attach.mode() == Some(AttachMode::Kprobe);
        let mut kprobe_links = if hooks.iter().any(is_kprobe) { KprobeLinks::by_program() } else { HashMap::new() };
        for hook in hooks {
            let known = programs.iter().any(|p| p.hook.program == hook.program);
            if !known && let Some(fd) = ebpf.program(hook.program).and_then(program_fd) {
                let doubled = hooks.iter().any(|h| h.is_copy_of(*hook));
                let rare = hook.is_deed() || SPEAK_RARELY.contains(&hook.bare());
                let loses = !doubled && !rare;
                let id = || Some(bpf_calls::program_info(fd.as_fd()).ok()?.id);
                let links = is_kprobe(hook).then(id).flatten().and_then(|id| kprobe_links.remove(&id));
                let kprobes = links.unwrap_or_default();
                programs.push(Attached { hook: *hook, fd, kprobes, rare, loses, told: 0 });
            }
        }
        let floods = ebpf.take_map("FLOODS").ok_or_else(|| anyhow::anyhow!("the object has no map FLOODS"))?;
        let together = if preemptible { copies(&programs) } else { Vec::new() };
        Ok(Self {
            drops: Drops::map(map)?,
            floods: PerCpuHashMap::try_from(floods)?,
            programs,
            together,
            missed_by_all: 0,
        })
    }

    /// Lets go of the links of kprobes: they last as long as anybody has them open.
    pub fn close_links(&mut self) {
        self.programs.iter_mut().for_each(|program| program.kprobes = KprobeLinks::default());
    }

    /// Records that were not written so far, because the ring or another map had no room, per hook that lost any.
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let by_hook = (0_u16..).zip(self.drops.by_hook());
        by_hook.filter(|(_, sum)| *sum > 0).map(|(by, sum)| (hook_name(by), sum)).collect()
    }

    /// As [`Self::dropped`], of all hooks together. Costs next to nothing.
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.by_hook().into_iter().sum()
    }

    /// Of the dropped records of a hook, how many while a task of which cgroup (its 64-bit id) ran. A kernel map that forgets
    /// keeps them, so they can be fewer than were dropped.
    pub fn dropped_by_cgroup(&self, hook: &str) -> Vec<(u64, u64)> {
        let entries = self.floods.iter().filter_map(Result::ok);
        entries
            .filter(|([_, by], _)| u16::try_from(*by).is_ok_and(|by| hook_name(by) == hook))
            .map(|([cgroup, _], counts)| (cgroup, counts.iter().sum()))
            .collect()
    }

    /// Skipped runs of every program that has any: those that the kernel passed over because the program, or for kprobes any
    /// program or kprobe, was already running on that CPU.
    pub fn skipped(&self) -> Vec<(&str, u64)> {
        self.programs.iter().map(|p| (p.hook.program, p.skipped())).filter(|(_, skipped)| *skipped > 0).collect()
    }

    /// Skipped runs of the programs that speak rarely, nearly all of which had nothing to say; and what all copies of a program can
    /// have missed at most, nearly all of which one of them saw.
    pub fn skipped_in_silence(&self) -> u64 {
        let rare = self.programs.iter().filter(|p| p.rare);
        rare.map(Attached::skipped).sum::<u64>() + self.missed_by_all
    }

    /// As [`Counters::skipped`], but only what came since the last call, and only of programs without a copy that saw what they
    /// missed.
    pub fn skipped_alone_since(&mut self) -> Vec<(&'static str, u64)> {
        let programs = &mut self.programs;
        let new: Vec<u64> = programs
            .iter_mut()
            .map(|program| {
                let skipped = program.skipped();
                skipped.saturating_sub(std::mem::replace(&mut program.told, skipped))
            })
            .collect();
        let alone = programs.iter().zip(&new).filter(|(program, new)| program.loses && **new > 0);
        let lost: Vec<_> = alone.map(|(program, new)| (program.hook.program, *new)).collect();
        let now = Instant::now();
        for copies in &mut self.together {
            self.missed_by_all += copies.missed(|member| new[member], now);
        }
        lost
    }
}

impl Attached {
    /// `recursion_misses` (5.12+) of the program and `missed` (6.7+) of its kprobes.
    fn skipped(&self) -> u64 {
        let recursion = bpf_calls::program_info(self.fd.as_fd()).map_or(0, |info| info.recursion_misses);
        recursion + self.kprobes.missed()
    }
}

/// The programs of which only others that can be preempted, too, tell the same.
fn copies(programs: &[Attached]) -> Vec<Together> {
    let is_exempt = |i: &usize| !programs[*i].hook.attach.is_preemptible();
    let mut together = Vec::new();
    for (first, program) in programs.iter().enumerate().filter(|(_, program)| !program.rare) {
        let tells_the_same = |i: &usize| *i == first || programs[*i].hook.is_copy_of(program.hook);
        let members: Vec<usize> = (0..programs.len()).filter(tells_the_same).collect();
        if members.len() > 1 && members[0] == first && !members.iter().any(is_exempt) {
            together.push(Together::new(members, Instant::now()));
        }
    }
    together
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
