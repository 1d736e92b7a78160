//! What the machine allows before anything is attached: BTF, privileges, lockdown, tracefs.

use std::{fs, path::Path};

use nstrace_common::{layout::Config, slots::TYPES};

use super::{
    btf::{Btf, BtfError},
    facts::{Attach, FACTS, Fact},
    plan::Offer,
    report::Check,
};

/// Where syscall tracepoints live.
const TRACEFS: &str = "/sys/kernel/tracing";
const TRACEFS_OLD: &str = "/sys/kernel/debug/tracing";

/// `CAP_SYS_ADMIN`, `CAP_PERFMON`, `CAP_BPF` (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// The machine as `doctor` sees it.
#[derive(Debug)]
pub struct Environment {
    pub release: String,
    pub machine: String,
    pub checks: Vec<Check>,
    pub btf: Result<Btf, BtfError>,
    /// `none`, `integrity` or `confidentiality`; None where the kernel does not say.
    pub lockdown: Option<String>,
    pub privileged: bool,
    /// Tasks can be preempted inside the kernel: see [`preemptible`].
    pub preemptible: bool,
}

impl Environment {
    pub fn inspect() -> Self {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy().into_owned();
        let machine = uname.machine().to_string_lossy().into_owned();
        let btf = Btf::of_running_kernel();
        let lockdown = lockdown();
        let privileged = is_privileged();
        let checks = vec![
            check("btf", btf.as_ref().map(|_| "/sys/kernel/btf/vmlinux".to_owned()).map_err(ToString::to_string)),
            check(
                "capabilities",
                if privileged {
                    Ok("CAP_BPF and CAP_PERFMON".to_owned())
                } else {
                    Err("neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON: run as root".to_owned())
                },
            ),
            check(
                "lockdown",
                match lockdown.as_deref() {
                    Some("confidentiality") => {
                        Ok("confidentiality: kernel memory is read through typed pointers only".to_owned())
                    }
                    Some(level) => Ok(level.to_owned()),
                    None => Ok("not reported (securityfs not mounted or no lockdown module)".to_owned()),
                },
            ),
            check("tracefs", ensure_tracefs()),
            check("kprobes", kprobes()),
        ];
        let preemptible = preemptible(
            &uname.version().to_string_lossy(),
            fs::read_to_string("/sys/kernel/debug/sched/preempt").ok().as_deref(),
        );
        Self { release, machine, checks, btf, lockdown, privileged, preemptible }
    }

    /// What the kernel offers to the planner.
    pub fn offer(&self) -> Offer {
        let mut offer = Offer { preemptible: self.preemptible, ..Offer::default() };
        match &self.btf {
            Ok(btf) => {
                let of_fact = |f: &'static Fact| f.candidates.iter().flat_map(|c| c.hooks).chain(f.again);
                for attach in FACTS.iter().flat_map(of_fact).map(|h| h.attach) {
                    let target = attach.target();
                    match attach {
                        Attach::TpBtf(_) if btf.has_tracepoint(target) => {
                            offer.tracepoints.insert(target.to_owned());
                        }
                        _ if btf.has_function(target) => {
                            offer.functions.insert(target.to_owned());
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => {
                for kind in ["tp_btf", "fentry", "fexit", "kprobe", "kretprobe", "tracepoint"] {
                    offer.unusable.insert(kind, error.to_string());
                }
            }
        }
        for (name, kinds) in [
            ("tracefs", &["tracepoint"][..]),
            ("kprobes", &["kprobe", "kretprobe"]),
            ("capabilities", &["tp_btf", "fentry", "fexit", "kprobe", "kretprobe", "tracepoint"]),
        ] {
            if let Some(failed) = self.checks.iter().find(|c| c.name == name && !c.ok) {
                for kind in kinds {
                    offer.unusable.entry(kind).or_insert_with(|| failed.detail.clone());
                }
            }
        }
        offer
    }
}

fn check(name: &'static str, found: Result<String, String>) -> Check {
    let ok = found.is_ok();
    Check { name, ok, detail: found.unwrap_or_else(|problem| problem) }
}

/// The bracketed word of `/sys/kernel/security/lockdown`.
fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let start = text.find('[')? + 1;
    let end = text[start..].find(']')? + start;
    Some(text[start..end].to_owned())
}

/// This process may load tracing programs.
pub fn is_privileged() -> bool {
    let caps = effective_capabilities();
    caps & CAP_SYS_ADMIN != 0 || caps & (CAP_BPF | CAP_PERFMON) == CAP_BPF | CAP_PERFMON
}

/// `CapEff` of this process.
fn effective_capabilities() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}

/// Finds tracefs, mounting it at its usual place when nobody has (as libtracefs does).
fn ensure_tracefs() -> Result<String, String> {
    let there = |root: &str| Path::new(root).join("events/syscalls/sys_exit_setns/id").exists();
    for root in [TRACEFS, TRACEFS_OLD] {
        if there(root) {
            return Ok(root.to_owned());
        }
    }
    if fs::read_dir(TRACEFS).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err("no syscall tracepoints: the kernel needs CONFIG_FTRACE_SYSCALLS".to_owned());
    }
    rustix::mount::mount("tracefs", TRACEFS, "tracefs", rustix::mount::MountFlags::empty(), None).map_err(|error| {
        format!("tracefs is not mounted and cannot be ({error}): mount -t tracefs tracefs {TRACEFS}")
    })?;
    if there(TRACEFS) {
        Ok(format!("{TRACEFS} (mounted by nstrace)"))
    } else {
        Err("no syscall tracepoints: the kernel needs CONFIG_FTRACE_SYSCALLS".to_owned())
    }
}

fn kprobes() -> Result<String, String> {
    let pmu = "/sys/bus/event_source/devices/kprobe/type";
    if Path::new(pmu).exists() {
        Ok("perf kprobe events".to_owned())
    } else {
        Err("the kernel has no kprobe events: it needs CONFIG_KPROBE_EVENTS".to_owned())
    }
}

/// The programs' configuration on this machine. `preempt_disable`: they can keep themselves from being preempted.
pub fn config(typed: bool, preemptible: bool, preempt_disable: bool, btf: &Btf, initial: [u32; TYPES]) -> Config {
    Config {
        self_tgid: std::process::id(),
        typed: u32::from(typed),
        // The helper came with 5.15; its BTF id list function did too.
        pt_regs_helper: u32::from(btf.has_function("bpf_task_pt_regs")),
        initial,
        casts: 0,
        share: 0,
        doubled: u32::from(preemptible),
        preempt_disable: u32::from(preempt_disable),
    }
}

/// Whether tasks can be preempted inside the kernel. `version` is that of `uname -v`: `PREEMPT`, `PREEMPT_DYNAMIC`,
/// `PREEMPT_LAZY` or `PREEMPT_RT` in it says that they can. A dynamic kernel has chosen at boot, and `choice`
/// (`/sys/kernel/debug/sched/preempt`, as `none (voluntary) full`) says what; where that cannot be read they can.
fn preemptible(version: &str, choice: Option<&str>) -> bool {
    let never = choice.is_some_and(|choice| choice.contains("(none)") || choice.contains("(voluntary)"));
    version.contains("PREEMPT") && !never
}

#[cfg(test)]
mod tests {
    use super::preemptible;

    #[test]
    fn a_dynamic_kernel_is_what_it_has_chosen() {
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)";
        assert!(!preemptible(debian, Some("none (voluntary) full \n")));
        assert!(!preemptible(debian, Some("(none) voluntary full lazy \n")));
        assert!(preemptible(debian, Some("none voluntary full (lazy) \n")));
        assert!(preemptible(debian, None), "not to be read: assume the worse");
        assert!(!preemptible("#1 SMP Debian 5.10.223-1 (2024-08-10)", None));
    }
}
