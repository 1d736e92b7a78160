//! `*ns_install(nsset, ns)`: setns(2) asks a type whether the caller may enter one namespace; the verdict is its result. A refusal
//! is told with the namespace; what was permitted is told when it takes effect.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{fexit, kprobe, kretprobe, map},
    maps::LruHashMap,
    programs::{FExitContext, ProbeContext, RetProbeContext},
};
use nstrace_common::record::{Install, hook, kind};

use crate::{
    emit::{lose, reserve},
    kernel_memory::Kptr,
    namespace::write_common_ref,
    preempt::uninterrupted,
    syscall::write_call,
    task::{current, is_self, write_task},
};

macro_rules! fexit_install {
    ($($program:ident $function:literal)+) => {
        $(
            #[fexit(function = $function)]
            pub fn $program(ctx: FExitContext) -> u32 {
                let _guard = uninterrupted();
                installed(ctx.arg(1), ctx.arg::<i32>(2));
                0
            }
        )+
    };
}

fexit_install! {
    fexit_mntns_install "mntns_install"
    fexit_pidns_install "pidns_install"
    fexit_netns_install "netns_install"
    fexit_ipcns_install "ipcns_install"
    fexit_utsns_install "utsns_install"
    fexit_userns_install "userns_install"
    fexit_cgroupns_install "cgroupns_install"
    fexit_timens_install "timens_install"
}

/// The `ns_common` under question, by tid, between entry and return.
#[map]
static INSTALLING: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);

/// Attached to all eight functions.
#[kprobe]
pub fn kprobe_ns_install(ctx: ProbeContext) -> u32 {
    // SAFETY: no preconditions.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    // SAFETY: only asked whether there is one: then the return of an earlier question was not seen.
    let unseen = unsafe { INSTALLING.get(&tid) }.is_some();
    if INSTALLING.insert(&tid, &ctx.arg::<u64>(1).unwrap_or(0), 0).is_err() || unseen {
        lose(hook::NS_INSTALL);
    }
    0
}

#[kretprobe]
pub fn kretprobe_ns_install(ctx: RetProbeContext) -> u32 {
    // SAFETY: no preconditions; the value is copied out at once.
    let (tid, ns) = unsafe {
        let tid = bpf_get_current_pid_tgid() as u32;
        (tid, INSTALLING.get(&tid).copied())
    };
    if let Some(ns) = ns {
        let _ = INSTALLING.remove(&tid);
        installed(ns as Kptr, ctx.ret::<i32>());
    }
    0
}

#[inline(always)]
fn installed(ns_common: Kptr, ret: i32) {
    if ret >= 0 || is_self() {
        return;
    }
    let Some(mut entry) = reserve::<Install>(kind::INSTALL, hook::NS_INSTALL) else { return };
    let to = entry.as_mut_ptr();
    let task = current();
    // SAFETY: the entry is as large as `Install`.
    unsafe {
        write_call(&raw mut (*to).call, task, ret);
        write_task(&raw mut (*to).task, task);
        write_common_ref(&raw mut (*to).ns, ns_common);
    }
    entry.submit(0);
}
