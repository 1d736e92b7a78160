//! Everything attached: the programs, the ring reader, the counters, and the report of what is seen.

use std::borrow::Cow;

use anyhow::{Context, bail};
use aya::{Ebpf, EbpfLoader, maps::RingBuf};
use nstrace_common::{
    layout::{Config, Layout},
    slots::TYPES,
};
use zerocopy::IntoBytes;

use super::{
    attach::{attach, unload, unload_all},
    counters::Counters,
    debug_log,
    deed_facts::SWITCHES,
    deed_layout,
    detectors::detectors,
    drops::Drops,
    environment::{Environment, config},
    facts::{CALL_ENTRY, Hook},
    layout::resolve,
    object,
    plan::{PROBE_READS, Plan, plan},
    preempt_functions::PreemptFunctions,
    report::{AttachMode, Check, Coverage, Report},
    ring::RingReader,
    task_iterator::read_tasks,
    unreturned::Unreturned,
};

/// How to attach.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// None = the best per fact.
    pub attach: Option<AttachMode>,
    /// Size of the ring buffer in bytes: a power of two, at least a page. None = the object's default.
    pub ring_bytes: Option<u32>,
}

/// What only `/proc` and nsfs tell, found out before attaching.
#[derive(Debug)]
pub struct Surroundings {
    /// Inode numbers of the initial namespaces, by [`crate::ns::NsType::index`]; 0 = unknown, then tasks in it are reported.
    pub initial: [u32; TYPES],
    /// Whether nsfs file handles can be opened, or why not.
    pub handles: Result<(), String>,
}

/// Running programs. Dropping it detaches everything.
#[expect(missing_debug_implementations, reason = "aya's map types have none")]
pub struct Tracer {
    ebpf: Ebpf,
    btf: aya::Btf,
    pub ring: RingReader,
    pub counters: Counters,
    /// None where no return is missed, or calls are not what changes are told by.
    pub unreturned: Option<Unreturned>,
    pub report: Report,
    /// What the programs were told of this kernel's structures.
    pub layout: Layout,
}

/// Attaches and starts; fails with one sentence and its remedy.
pub fn start(options: &Options, surroundings: &Surroundings) -> anyhow::Result<Tracer> {
    start_in(&Environment::inspect(), options, surroundings)
}

fn start_in(environment: &Environment, options: &Options, surroundings: &Surroundings) -> anyhow::Result<Tracer> {
    let own_btf = match &environment.btf {
        Ok(btf) => btf,
        Err(reason) => bail!("{reason}"),
    };
    if !environment.privileged {
        bail!("tracing needs root, or CAP_BPF and CAP_PERFMON: run it with sudo");
    }
    let btf = aya::Btf::from_sys_fs().context("/sys/kernel/btf/vmlinux")?;
    let resolved = resolve(own_btf);
    let mut offer = environment.offer();
    if let Err(reason) = &surroundings.handles {
        offer.unusable.insert("nsfs handle", reason.clone());
    }
    // Lockdown's confidentiality level takes bpf_probe_read_kernel away; typed loads remain. The variable lets tests take
    // that way on any kernel.
    let typed = environment.lockdown.as_deref() == Some("confidentiality")
        || std::env::var_os("NSTRACE_TYPED_LOADS").is_some_and(|v| v == "1");
    if typed {
        offer.unusable.insert(PROBE_READS, "lockdown forbids bpf_probe_read_kernel".to_owned());
    }
    raise_memlock();
    let preempt = if environment.preemptible { PreemptFunctions::of(own_btf) } else { None };
    let config = config(typed, environment.preemptible, preempt.is_some(), own_btf, surroundings.initial);
    let mut ebpf = load(&config, options, &resolved.layout, own_btf, &btf, preempt)?;

    debug_log::start(&mut ebpf);
    let mut attached: Vec<Hook> = Vec::new();
    let mut refusals = Vec::new();
    // Every refusal makes a new plan without that hook, until a plan holds.
    let chosen = loop {
        let chosen = plan(&offer, options.attach);
        drop_unplanned(&mut ebpf, &mut attached, &chosen);
        let todo: Vec<Hook> = chosen.hooks.iter().copied().filter(|h| !attached.contains(h)).collect();
        let mut refused = false;
        for hook in todo {
            match attach(&mut ebpf, &btf, hook) {
                Ok(()) => attached.push(hook),
                Err(refusal) => {
                    offer.refused.insert(hook, refusal.reason);
                    refusals.push((hook, refusal.verifier));
                    refused = true;
                    break;
                }
            }
        }
        if !refused {
            break chosen;
        }
    };
    let Some(ring) = ebpf.take_map("EVENTS") else { bail!("the object has no map EVENTS") };
    let counters = Counters::new(&mut ebpf, &chosen.hooks, environment.preemptible)?;
    let pairs = environment.preemptible && chosen.hooks.iter().any(|hook| hook.program == CALL_ENTRY);
    let unreturned = if pairs { Some(Unreturned::new(&mut ebpf)?) } else { None };
    let mut report = report(environment, &resolved.missing, options.attach, chosen);
    for (hook, log) in refusals.into_iter().filter(|(_, log): &(Hook, String)| !log.is_empty()) {
        report.add_verifier_log(hook.attach.kind(), hook.attach.target(), &log);
    }
    let ring = RingReader::start(RingBuf::try_from(ring)?)?;
    Ok(Tracer { ebpf, btf, ring, counters, unreturned, report, layout: resolved.layout })
}

impl Tracer {
    /// All tasks now; see [`read_tasks`].
    pub fn read_tasks(&mut self) -> anyhow::Result<Vec<u8>> {
        read_tasks(&mut self.ebpf, &self.btf)
    }

    /// Changes of namespaces are told where they take effect, not by the calls that ask for them.
    pub fn sees_switches(&self) -> bool {
        self.report.facts.iter().any(|f| f.fact == SWITCHES && f.coverage == Coverage::Full)
    }

    /// Destruction is only learned by asking.
    pub fn polls_for_destruction(&self) -> bool {
        self.report.facts.iter().flat_map(|f| &f.hooks).any(|h| h.kind == "nsfs handle" && h.rejected.is_none())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.counters.close_links();
        unload_all(&mut self.ebpf);
    }
}

/// The report alone: attaches, looks, detaches.
pub fn doctor(options: &Options, surroundings: &Surroundings) -> Report {
    let environment = Environment::inspect();
    match start_in(&environment, options, surroundings) {
        Ok(tracer) => tracer.report.clone(),
        Err(error) => {
            let mut offer = environment.offer();
            for kind in ["tp_btf", "fentry", "fexit", "kprobe", "kretprobe", "tracepoint", "nsfs handle"] {
                offer.unusable.entry(kind).or_insert_with(|| format!("{error:#}"));
            }
            let chosen = plan(&offer, options.attach);
            report(&environment, &[], options.attach, chosen)
        }
    }
}

fn report(environment: &Environment, missing: &[String], attach: Option<AttachMode>, chosen: Plan) -> Report {
    let mut checks = environment.checks.clone();
    checks.push(Check {
        name: "layout",
        ok: missing.is_empty(),
        detail: if missing.is_empty() {
            "every structure member found in BTF".to_owned()
        } else {
            format!("not in this kernel's BTF: {}", missing.join(" "))
        },
    });
    Report {
        kernel: environment.release.clone(),
        machine: environment.machine.clone(),
        checks,
        attach,
        detectors: detectors(&chosen.facts),
        facts: chosen.facts,
    }
}

fn load(
    config: &Config,
    options: &Options,
    layout: &Layout,
    own_btf: &super::btf::Btf,
    btf: &aya::Btf,
    preempt: Option<PreemptFunctions>,
) -> anyhow::Result<Ebpf> {
    let Some(object) = object::embedded() else {
        bail!(
            "this binary was built without its eBPF programs: build it with `cargo xtask run` or `cargo xtask build`"
        );
    };
    let object = match preempt {
        Some(functions) => Cow::Owned(functions.put_into(object)?),
        None => Cow::Borrowed(object),
    };
    let mut loader = EbpfLoader::new();
    loader.btf(Some(btf)).override_global("LAYOUT", layout.as_bytes(), true).override_global(
        "CONFIG",
        config.as_bytes(),
        true,
    );
    let deeds = deed_layout::resolve(own_btf);
    loader.override_global("DEEDS", deeds.as_bytes(), true);
    loader.map_max_entries("DROPS", Drops::entries()?);
    if let Some(bytes) = options.ring_bytes {
        loader.map_max_entries("EVENTS", bytes);
    }
    loader.load(&object).context("cannot load the eBPF object")
}

fn drop_unplanned(ebpf: &mut Ebpf, attached: &mut Vec<Hook>, chosen: &Plan) {
    let unplanned: Vec<&'static str> =
        attached.iter().filter(|h| !chosen.hooks.contains(h)).map(|h| h.program).collect();
    for program in unplanned {
        unload(ebpf, program);
        // Unloading takes every attachment of the program; those still planned are attached anew.
        attached.retain(|h| h.program != program);
    }
}

/// Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK.
pub(super) fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Where this is not allowed it is not needed, or loading fails with EPERM and says so.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}
