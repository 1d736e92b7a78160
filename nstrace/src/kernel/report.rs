//! What this kernel and these privileges let nstrace see: the content of `doctor`.

use serde::Serialize;

/// How an event can be had from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    Kprobe,
    Fentry,
    Tracepoint,
}

impl AttachMode {
    pub const ALL: [Self; 3] = [Self::Kprobe, Self::Fentry, Self::Tracepoint];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kprobe => "kprobe",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// One hook that is (or would be) attached for a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookUse {
    /// `fentry`, `fexit`, `kprobe`, `kretprobe`, `tp_btf`, `tracepoint`, `iter`, or `nsfs handle` (polling).
    pub kind: &'static str,
    /// Kernel function, tracepoint or iterator.
    pub target: String,
    /// Why it was not taken; None = attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// All that the verifier printed when it refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
}

/// How much of a fact is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Every occurrence, at once.
    Full,
    /// Something of it is invisible or late; `invisible` says what.
    Partial,
    None,
}

/// One fact and where it comes from on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactReport {
    /// Short stable name, e.g. `setns-unshare`.
    pub fact: &'static str,
    /// What it means, half a sentence.
    pub meaning: &'static str,
    pub coverage: Coverage,
    /// Candidates in order of preference, taken and rejected.
    pub hooks: Vec<HookUse>,
    /// What stays unseen, and what (privilege, kernel feature) would show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invisible: Option<String>,
    /// Detectors judge by it and nothing else needs it.
    #[serde(skip)]
    pub for_detectors: bool,
}

/// How much of what a detector judges by is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DetectorReport {
    /// Its id, e.g. `NST-003`.
    pub detector: &'static str,
    pub coverage: Coverage,
    /// Facts that are not (wholly) seen.
    pub unseen: Vec<&'static str>,
}

/// One precondition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// e.g. `btf`, `lockdown`, `capabilities`, `tracefs`.
    pub name: &'static str,
    pub ok: bool,
    /// What was found, and the remedy where it is not ok.
    pub detail: String,
}

/// The whole of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `uname -r`.
    pub kernel: String,
    pub machine: String,
    pub checks: Vec<Check>,
    /// Mode asked for; None = auto.
    pub attach: Option<AttachMode>,
    pub facts: Vec<FactReport>,
    pub detectors: Vec<DetectorReport>,
}

impl Report {
    /// Nothing stays invisible.
    pub fn is_complete(&self) -> bool {
        self.facts.iter().all(|f| f.coverage == Coverage::Full)
    }

    /// Puts the verifier's words to a refused hook, wherever it is a candidate.
    pub fn add_verifier_log(&mut self, kind: &str, target: &str, log: &str) {
        let candidates = self.facts.iter_mut().flat_map(|fact| &mut fact.hooks);
        for hook in candidates.filter(|hook| hook.rejected.is_some() && hook.kind == kind && hook.target == target) {
            hook.verifier = Some(log.to_owned());
        }
    }

    /// The facts with something invisible, in one line for stderr; None when complete. Those that only detectors judge by are
    /// summed up as the detectors that are blind without them.
    pub fn missing_line(&self) -> Option<String> {
        let unseen = self.facts.iter().filter(|f| f.coverage != Coverage::Full);
        let mut missing: Vec<String> = unseen
            .clone()
            .filter(|f| !f.for_detectors)
            .map(|f| format!("{}: {}", f.fact, f.invisible.as_deref().unwrap_or("not seen")))
            .collect();
        if unseen.clone().any(|f| f.for_detectors) {
            let ids = |coverage| {
                let with = self.detectors.iter().filter(|d| d.coverage == coverage).map(|d| d.detector);
                with.collect::<Vec<_>>().join(" ")
            };
            let said =
                [("detectors that cannot see: ", ids(Coverage::None)), ("that see in part: ", ids(Coverage::Partial))];
            let said: Vec<String> =
                said.iter().filter(|(_, ids)| !ids.is_empty()).map(|(words, ids)| format!("{words}{ids}")).collect();
            missing.push(format!("{} (nstrace doctor says why)", said.join(", ")));
        }
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}
