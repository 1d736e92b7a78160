//! Which hooks to attach on this kernel: a pure function from what the kernel offers to a plan.

use std::collections::{HashMap, HashSet};

use super::{
    deed_facts::DEED_FACTS,
    facts::{Attach, Auto, Candidate, FACTS, Fact, Hook},
    report::{AttachMode, Coverage, FactReport, HookUse},
};

/// In [`Offer::unusable`]: `bpf_probe_read_kernel`, which the programs of [`Hook::is_deed`] need.
pub const PROBE_READS: &str = "probe reads";

/// What this kernel offers, as far as planning cares.
#[derive(Debug, Default)]
pub struct Offer {
    /// Kernel functions in BTF.
    pub functions: HashSet<String>,
    /// BTF tracepoints.
    pub tracepoints: HashSet<String>,
    /// Tasks can be preempted inside the kernel, and so inside a program.
    pub preemptible: bool,
    /// Why a way of attaching cannot be used at all, by [`Attach::kind`].
    pub unusable: HashMap<&'static str, String>,
    /// Hooks that the kernel refused when they were tried, and what it said.
    pub refused: HashMap<Hook, String>,
}

impl Offer {
    /// Why `hook` cannot be used; None = it can, as far as is known.
    fn objection(&self, hook: Hook) -> Option<String> {
        if let Some(reason) = self.unusable.get(hook.attach.kind()) {
            return Some(reason.clone());
        }
        if let Some(reason) = self.unusable.get(PROBE_READS)
            && hook.is_deed()
        {
            return Some(reason.clone());
        }
        let exists = match hook.attach {
            Attach::Fentry(f) | Attach::Fexit(f) | Attach::Kprobe(f) | Attach::Kretprobe(f) => {
                self.functions.contains(f)
            }
            Attach::TpBtf(t) => self.tracepoints.contains(t),
            Attach::Syscall(_) | Attach::Event(_) | Attach::NsfsHandle => true,
        };
        if !exists {
            return Some("not in this kernel".to_owned());
        }
        self.refused.get(&hook).cloned()
    }
}

/// What to attach, and what `doctor` says about it.
#[derive(Debug)]
pub struct Plan {
    /// Each hook once, in table order.
    pub hooks: Vec<Hook>,
    pub facts: Vec<FactReport>,
}

/// Chooses for each fact the best candidate that `offer` and `mode` (None = auto) allow.
pub fn plan(offer: &Offer, mode: Option<AttachMode>) -> Plan {
    let mut hooks: Vec<Hook> = Vec::new();
    let mut facts = Vec::new();
    for fact in FACTS {
        let (chosen, report) = choose(fact, offer, mode);
        for hook in chosen {
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        facts.push(report);
    }
    Plan { hooks, facts }
}

fn choose(fact: &Fact, offer: &Offer, mode: Option<AttachMode>) -> (Vec<Hook>, FactReport) {
    let mut chosen: Vec<Hook> = Vec::new();
    let mut uses = Vec::new();
    let mut invisible = Some(fact.without.to_owned());
    let mut coverage = Coverage::None;
    let mut candidates: Vec<&Candidate> = fact.candidates.iter().collect();
    if offer.preemptible && fact.auto != Auto::First {
        candidates.sort_by_key(|candidate| candidate.modes != [AttachMode::Kprobe]);
    }
    for candidate in candidates {
        let objections: Vec<Option<String>> = candidate.hooks.iter().map(|&hook| offer.objection(hook)).collect();
        let objection = objections.iter().flatten().next();
        let verdict = match mode {
            Some(mode) if !candidate.modes.contains(&mode) => Some(format!("--attach {}", mode.name())),
            _ if objection.is_some() => objection.cloned(),
            _ if chosen.is_empty() => None,
            _ if fact.auto == Auto::Both && is_second_copy(candidate, &chosen) => None,
            _ => Some("a better one is attached".to_owned()),
        };
        if verdict.is_none() {
            // A second way sees what the first one leaves unseen.
            invisible = candidate.invisible.filter(|_| chosen.is_empty()).map(str::to_owned);
            coverage = if invisible.is_none() { Coverage::Full } else { Coverage::Partial };
            chosen.extend(candidate.hooks);
        }
        for (hook, own) in candidate.hooks.iter().zip(objections) {
            let rejected = verdict.as_ref().map(|because| own.unwrap_or_else(|| because.clone()));
            uses.push(HookUse {
                kind: hook.attach.kind(),
                target: hook.attach.target().to_owned(),
                rejected,
                verifier: None,
            });
        }
    }
    if offer.preemptible || fact.auto == Auto::Both {
        // A softirq comes in between once.
        let wanted = fact.again.iter().filter(|copy| offer.preemptible || !copy.is_third());
        for &copy in wanted {
            let place = |h: &&Hook| h.attach.target() == copy.attach.target();
            let is_at_place = fact.candidates.iter().flat_map(|candidate| candidate.hooks).any(|h| place(&h));
            let is_wanted = if is_at_place {
                let alone = chosen.iter().filter(place).all(|h| h.attach == copy.attach);
                chosen.iter().any(|h| place(&h) && h.is_copy_of(copy)) && alone
            } else {
                let is_allowed = mode.is_none() || copy.attach.mode().is_none_or(|own| mode == Some(own));
                is_allowed && !chosen.is_empty()
            };
            if is_wanted && offer.objection(copy).is_none() {
                let which = match (is_at_place, copy.is_third()) {
                    (true, false) => "second copy",
                    (true, true) => "third copy",
                    (false, _) => "second place",
                };
                chosen.push(copy);
                uses.push(HookUse {
                    kind: copy.attach.kind(),
                    target: format!("{} ({which})", copy.attach.target()),
                    rejected: None,
                    verifier: None,
                });
            }
        }
    }
    let report = FactReport {
        fact: fact.name,
        meaning: fact.meaning,
        coverage,
        hooks: uses,
        invisible,
        for_detectors: DEED_FACTS.iter().any(|deed| deed.name == fact.name),
    };
    (chosen, report)
}

/// The same kernel functions as the chosen hooks, the other way: the copy that sees what these miss.
fn is_second_copy(candidate: &Candidate, chosen: &[Hook]) -> bool {
    let is_other_way = |one: Attach, other: Attach| {
        let ways = [one.mode(), other.mode()];
        one.target() == other.target()
            && ways.contains(&Some(AttachMode::Kprobe))
            && ways.contains(&Some(AttachMode::Fentry))
    };
    candidate.hooks.iter().all(|hook| chosen.iter().any(|c| is_other_way(c.attach, hook.attach)))
}
